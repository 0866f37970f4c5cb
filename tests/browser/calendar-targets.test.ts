// Goal: a wiped calendar comes back from every kind of target with nothing but its URL and credentials in the
// environment. Method: the built server as a real process; an event is added and answered as stored, server and
// keeper are killed in one moment, the machine's folder is deleted, the server starts again. S3, PostgreSQL,
// SFTP and WebDAV are real servers, Dropbox and Google Drive our emulators.
import { afterAll, beforeAll, expect, test } from 'vitest'
import { DropboxEmulator } from '../emulators/dropbox.ts'
import { GoogleDriveEmulator } from '../emulators/google-drive.ts'
import { type RemoteKind, RemoteServers, remoteLeftOut } from '../support/remote-places.ts'
import { buildCalendar, makeMachine } from './calendar-server.ts'

const REMOTE = ['s3', 'postgres', 'sftp', 'webdav'] as const satisfies RemoteKind[]
const EVENT = { user: 'Maja', date: '2026-11-24', time: '18:30', duration: 2, title: 'Choir practice' }

let servers: RemoteServers
let dropbox: DropboxEmulator
let drive: GoogleDriveEmulator
beforeAll(async () => {
  buildCalendar()
  servers = await RemoteServers.start(REMOTE)
  dropbox = await DropboxEmulator.start()
  drive = await GoogleDriveEmulator.start()
}, 240_000)
afterAll(async () => {
  await servers?.stop()
  await dropbox?.stop()
  await drive?.stop()
})

/** Two lives of one calendar on two disks. */
async function expectItComesBack(away: Record<string, string>): Promise<void> {
  const machine = makeMachine(away)
  let server = await machine.start()
  try {
    const answer = await fetch(`${server.url}/api/events`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', origin: server.url },
      body: JSON.stringify(EVENT),
    })
    expect(answer.status).toBe(201)
    const event = await answer.json()
    await server.destroy()
    machine.forget()
    server = await machine.start()
    expect(await (await fetch(`${server.url}/api/events`)).json()).toEqual([event])
  } finally {
    await server.destroy()
    machine.remove()
  }
}

for (const kind of REMOTE) {
  test.skipIf(remoteLeftOut[kind] !== '')(`from ${kind}${remoteLeftOut[kind]}`, async () => {
    const { url, secrets } = servers.place(kind)
    await expectItComesBack({ ...secrets, KVAR_TARGETS: url })
  })
}

test('from Dropbox', () =>
  expectItComesBack({
    KVAR_TARGETS: `dropbox:/Kalender?endpoint=${encodeURIComponent(dropbox.url)}`,
    KVAR_DROPBOX_APP_KEY: dropbox.oauth.app.id,
    KVAR_DROPBOX_REFRESH_TOKEN: dropbox.oauth.newRefreshToken(),
  }))

test('from Google Drive', () =>
  expectItComesBack({
    KVAR_TARGETS: `gdrive:/Kalender?endpoint=${encodeURIComponent(drive.url)}`,
    KVAR_GDRIVE_CLIENT_ID: drive.oauth.app.id,
    KVAR_GDRIVE_CLIENT_SECRET: drive.oauth.app.secret as string,
    KVAR_GDRIVE_REFRESH_TOKEN: drive.oauth.newRefreshToken(),
  }))

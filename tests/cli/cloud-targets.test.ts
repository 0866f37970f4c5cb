/**
 * Goal: an app whose only target is Dropbox or Google Drive comes back on a wiped disk with nothing but URL
 * and sign-in in the environment; Google Drive stands alone or follows, says so, and is refused as the
 * ledger of others. No secret is left anywhere. Method: the real program and a Python app against the emulators.
 */
import * as fs from 'node:fs'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest'
import { DropboxEmulator } from '../emulators/dropbox.ts'
import { GoogleDriveEmulator } from '../emulators/google-drive.ts'
import { KvarWorld, lastOf, PYTHON } from './kvar-world.ts'

let dropbox: DropboxEmulator
let drive: GoogleDriveEmulator
let world: KvarWorld
let secrets: string[]
const outputs: string[] = []

beforeAll(async () => {
  dropbox = await DropboxEmulator.start()
  drive = await GoogleDriveEmulator.start()
})
afterAll(async () => {
  await dropbox.stop()
  await drive.stop()
})
beforeEach(() => {
  world = new KvarWorld()
  outputs.length = 0
  secrets = [...dropbox.oauth.secrets, ...drive.oauth.secrets]
})
afterEach(async () => {
  const found = [...dropbox.oauth.secrets, ...drive.oauth.secrets, ...secrets]
  const written = [...outputs, ...filesBelow(world.folder)].join('\n')
  expect(found.filter((secret) => written.includes(secret))).toEqual([])
  await world.end()
})

function filesBelow(folder: string): string[] {
  const entries = fs.readdirSync(folder, { withFileTypes: true, recursive: true })
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => fs.readFileSync(join(entry.parentPath, entry.name), 'latin1'))
}

function useDropbox(folder: string): string {
  const url = `dropbox:/${folder}?endpoint=${encodeURIComponent(dropbox.url)}`
  const signIn = {
    KVAR_DROPBOX_APP_KEY: dropbox.oauth.app.id,
    KVAR_DROPBOX_REFRESH_TOKEN: dropbox.oauth.newRefreshToken(),
  }
  world.variables = { ...world.variables, ...signIn, KVAR_TARGETS: url }
  return url
}

function useDrive(folder: string): string {
  const url = `gdrive:/${folder}?endpoint=${encodeURIComponent(drive.url)}`
  const signIn = {
    KVAR_GDRIVE_CLIENT_ID: drive.oauth.app.id,
    KVAR_GDRIVE_CLIENT_SECRET: drive.oauth.app.secret as string,
    KVAR_GDRIVE_REFRESH_TOKEN: drive.oauth.newRefreshToken(),
  }
  secrets.push(drive.oauth.app.secret as string)
  world.variables = { ...world.variables, ...signIn, KVAR_TARGETS: url }
  return url
}

async function kvar(words: string[]) {
  const finished = await world.kvar(words)
  outputs.push(finished.stdout, finished.stderr)
  return finished
}

test('Dropbox alone brings the database back on a wiped disk', async () => {
  useDropbox('Kalender')
  await world.add('one')
  world.wipe()
  expect(await world.add('two')).toEqual(['one', 'two'])
  expect(await kvar(['doctor'])).toMatchObject({ code: 0, stdout: expect.stringMatching(/All is well/) })
  expect((await kvar(['verify', '--data'])).code).toBe(0)
})

describe('Google Drive', () => {
  test('alone brings the database back on a wiped disk, and says what it cannot', async () => {
    useDrive('Kalender')
    await world.add('one')
    world.wipe()
    expect(await world.add('two')).toEqual(['one', 'two'])
    const doctor = await kvar(['doctor'])
    expect(doctor).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/look {2}gdrive:.*or be the only one/),
    })
    expect((await kvar(['verify', '--data'])).code).toBe(0)
    const running = world.run(['serve'])
    await running.until(/ready/)
    const { stdout } = await kvar(['status'])
    expect(stdout).toMatch(/gdrive:\S+ cannot refuse a second writer for sure: let only one app write there/)
    running.kill('SIGTERM')
    outputs.push((await running.ended).stderr)
  })

  test('named first follows one that can decide', async () => {
    const url = useDrive('Nextto')
    world.variables.KVAR_TARGETS = `${url} ${world.target}`
    await world.add('one')
    const { stdout } = await kvar(['status', '--json'])
    const { targets } = lastOf(stdout) as { targets: Array<{ url: string; role: string }> }
    const roles = Object.fromEntries(targets.map((target) => [target.url, target.role]))
    expect(roles).toEqual({ [url]: 'follower', [world.target]: 'ledger' })
    // It has the whole log: the other target is not needed to come back.
    world.variables.KVAR_TARGETS = url
    world.wipe()
    expect(await world.add('two')).toEqual(['one', 'two'])
  })

  test('is refused as the ledger of others, before the app starts', async () => {
    const url = useDrive('Wrong')
    world.variables.KVAR_TARGETS = `${url} ${world.target}`
    world.variables.KVAR_LEDGER = url
    const finished = await kvar(['run', '--', PYTHON, '-c', 'print("started")'])
    expect(finished).toMatchObject({ code: 2, stdout: '' })
    expect(finished.stderr).toMatch(/cannot refuse a second writer for sure/)
    expect(finished.stderr).toMatch(/hint: .*KVAR_LEDGER/)
  })
})

/*
 * Goal: with nothing but a URL and credentials in the environment a wiped app is back from every kind of
 * server, and no credential shows up anywhere: not in output, logs, errors, status, metrics, command lines or
 * the files beside the database, also when signing in fails. TLS is verified, and no folder name leads out.
 * Method: the real command line on Ceph, PostgreSQL, OpenSSH and Apache, each started once.
 */
import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import * as fs from 'node:fs'
import * as https from 'node:https'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { type Finished, KvarWorld } from '../cli/kvar-world.ts'
import { freePort, leftOutWithout } from '../servers/server.ts'
import { keeperProcessId } from '../support/keeper-world.ts'
import {
  openPlace,
  REMOTE_KINDS,
  type RemotePlace,
  RemoteServers,
  remoteLeftOut,
} from '../support/remote-places.ts'
import { Seen } from '../support/secret-search.ts'

const KINDS = REMOTE_KINDS.filter((kind) => kind !== 'pgbouncer')
/** What a person may mistype; an SFTP key that is none would already be refused as a setting. */
const WRONG: Record<string, string> = {
  KVAR_S3_SECRET_ACCESS_KEY: 'wr0ng-secret-of-s3',
  KVAR_POSTGRES_PASSWORD: 'wr0ng-secret-of-postgres',
  KVAR_WEBDAV_PASSWORD: 'wr0ng-secret-of-webdav',
}
const DENIED = 7
const SETTING_INVALID = 2

let servers: RemoteServers
beforeAll(async () => {
  servers = await RemoteServers.start(KINDS)
}, 180_000)
afterAll(() => servers?.stop())

let world: KvarWorld
let seen: Seen
beforeEach(() => {
  world = new KvarWorld()
  seen = new Seen()
})
afterEach(() => world.end())

async function use(place: RemotePlace): Promise<void> {
  world.variables = {
    KVAR_DB: world.database,
    KVAR_TARGETS: place.url,
    KVAR_LOG_LEVEL: 'debug',
    KVAR_METRICS_PORT: String(await freePort()),
    KVAR_START_TIMEOUT: '1s',
    ...place.secrets,
  }
}

function note(what: string, { code, stdout, stderr }: Finished): Finished {
  seen.add(`${what} (stdout)`, stdout)
  seen.add(`${what} (stderr)`, stderr)
  return { code, signal: null, stdout, stderr }
}

const add = async (text: string) => note(`run add ${text}`, await world.run(['add', text]).ended)

/** Everything a running app shows. */
async function lookAround(): Promise<void> {
  const running = world.run(['serve'])
  await running.until(/ready/)
  for (const words of [['status'], ['status', '--json'], ['versions', '--json'], ['targets', '--json']])
    note(words.join(' '), await world.kvar(words))
  const doctor = note('doctor', await world.kvar(['doctor', '--json']))
  expect(doctor.stdout).toContain('creates, reads, lists and removes')
  const page = await fetch(`http://127.0.0.1:${world.variables.KVAR_METRICS_PORT}/metrics`)
  seen.add('the metrics page', await page.text())
  for (const id of [running.child.pid, keeperProcessId(world.database)])
    seen.add(`the command line of ${id}`, fs.readFileSync(`/proc/${id}/cmdline`))
  running.kill('SIGTERM')
  note('run serve', await running.ended)
}

/** Fails on purpose: nobody listens, and the server does not know us. */
async function failOn(place: RemotePlace): Promise<void> {
  const nowhere = place.url.replaceAll(new RegExp(`(:|%3A)${place.port}(?!\\d)`, 'g'), '$11')
  const gone = await world.run(['add', 'never'], { variables: { KVAR_TARGETS: nowhere } }).ended
  expect(note('run without a server', gone).code).toBe(5)
  const variables: Record<string, string> = {}
  for (const name of Object.keys(place.secrets)) if (WRONG[name] !== undefined) variables[name] = WRONG[name]
  if (place.kind === 'sftp') variables.KVAR_SFTP_HOST_KEY = `SHA256:${'A'.repeat(43)}`
  const denied = note('run denied', await world.run(['add', 'never'], { variables }).ended)
  expect(denied.code).toBe(DENIED)
  note('status after it', await world.kvar(['status', '--json'], { variables }))
  note('doctor after it', await world.kvar(['doctor'], { variables }))
  seen.add('keeper.log after it', world.keeperLog())
}

/** The fingerprint of a host key is made to be shown. */
function secretsOf({ secrets }: RemotePlace): string[] {
  const { KVAR_SFTP_HOST_KEY: _, ...hidden } = secrets
  return [...Object.values(hidden), ...Object.values(WRONG)]
}

describe.each(KINDS)('on %s', (kind) => {
  const leftOut = remoteLeftOut[kind]

  it.skipIf(leftOut !== '')(
    `a wiped app is back, and nothing tells a secret${leftOut}`,
    { timeout: 240_000 },
    async () => {
      const place = servers.place(kind)
      await use(place)
      const first = await add('milk')
      expect(first.code, first.stderr).toBe(0)
      await lookAround()
      seen.addFolder(world.folder)
      world.wipe()
      const back = await add('bread')
      expect(JSON.parse(back.stdout)).toEqual(expect.arrayContaining(['milk', 'SIGTERM', 'bread']))
      await failOn(place)
      seen.addFolder(world.folder)
      expect(seen.find(secretsOf(place))).toEqual([])
      // The search does find: a row stands in the output, the database, its copies and its WAL.
      expect(seen.find(['bread']).length).toBeGreaterThan(3)
      expect(seen.places.filter((where) => where.endsWith('keeper.log')).length).toBeGreaterThan(0)
    },
  )

  it.skipIf(leftOut !== '')(
    `no folder name leads out of its folder${leftOut}`,
    { timeout: 120_000 },
    async () => {
      // Some servers make only the last folder of a path; and an empty PostgreSQL has no table yet.
      const ground = await openPlace(servers.place(kind, 'fence'))
      await ground.create('ground', new Uint8Array(10), { modifiedAtMs: 1e12 })
      await ground.close()
      const before = new Set(await servers.everythingOn(kind))
      let stored = 0
      for (const name of HOSTILE) {
        // Each lies below `fence`, or is refused.
        const place = servers.place(kind, `fence/${name}`)
        const target = await openPlace(place).catch(() => undefined)
        const outcome = await target
          ?.create('probe/x', new Uint8Array(10), { modifiedAtMs: 1e12 })
          .catch(() => 'no')
        if (outcome === 'created') stored += 1
        await target?.close()
      }
      const fresh = (await servers.everythingOn(kind)).filter((name) => !before.has(name))
      expect(fresh.filter((name) => !name.startsWith('fence/'))).toEqual([])
      expect(stored).toBeGreaterThan(0)
    },
  )
})

const HOSTILE = [
  'plain',
  '..',
  '../..',
  '%2e%2e',
  '%2E%2E%2F%2E%2E',
  'a/../../../b',
  'a%2F..%2F..%2Fb',
  'a%5C..%5C..%5Cb',
  '.',
  'a//b',
  'a%00b',
  'a%0Ab',
  '%E2%80%AEevil',
  '%EF%BC%8E%EF%BC%8E',
  'e%CC%81',
  '%F0%9F%98%80',
  '%C0%AE%C0%AE',
  '%252e%252e',
]

describe(`TLS${leftOutWithout('openssl')}`, () => {
  let server: https.Server
  let port: number
  let asked = 0
  let folder: string

  beforeAll(async () => {
    folder = fs.mkdtempSync('/tmp/kvar-tls-')
    const [key, cert] = [join(folder, 'key'), join(folder, 'cert')]
    const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes']
    const subject = ['-subj', '/CN=127.0.0.1', '-addext', 'subjectAltName=IP:127.0.0.1']
    execFileSync('openssl', ['req', '-x509', ...curve, '-keyout', key, '-out', cert, ...subject], {
      stdio: 'ignore',
    })
    server = https.createServer({ key: fs.readFileSync(key), cert: fs.readFileSync(cert) }, (_, reply) => {
      asked += 1
      reply.end('ok')
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    port = (server.address() as AddressInfo).port
  })
  afterAll(() => {
    server.close()
    fs.rmSync(folder, { recursive: true })
  })

  // PostgreSQL's own: packages/kvar/src/targets/postgres/postgres-target.test.ts
  it.each([
    ['s3', () => `s3://bucket/app?endpoint=https%3A%2F%2F127.0.0.1%3A${port}`],
    ['webdavs', () => `webdavs://anna@127.0.0.1:${port}/app`],
  ])('%s: a certificate that nobody vouches for is refused before anything is said', async (_, url) => {
    world.variables = {
      KVAR_DB: world.database,
      KVAR_TARGETS: url(),
      KVAR_START_TIMEOUT: '1s',
      KVAR_S3_ACCESS_KEY_ID: 'AKIATESTTEST',
      KVAR_S3_SECRET_ACCESS_KEY: 's3cret-behind-tls',
      KVAR_WEBDAV_PASSWORD: 'dav-behind-tls',
      NODE_TLS_REJECT_UNAUTHORIZED: '0',
    }
    const { code, stderr } = note('run', await world.run(['add', 'milk']).ended)
    expect(code, stderr).not.toBe(0)
    expect(stderr).toMatch(/certificate/i)
    expect(asked).toBe(0)
    expect(seen.find(['s3cret-behind-tls', 'dav-behind-tls'])).toEqual([])
  })

  it('without TLS only this machine and private networks are spoken to', async () => {
    world.variables = {
      KVAR_DB: world.database,
      KVAR_TARGETS: 'webdav://anna@cloud.example.com/app',
      KVAR_WEBDAV_PASSWORD: 'dav-behind-tls',
    }
    const { code, stderr } = note('run', await world.run(['add', 'milk']).ended)
    expect(code, stderr).toBe(SETTING_INVALID)
  })
})

/*
 * Goal: a ledger and followers on servers of different kinds: each has its own state and comes after at its
 * own pace, none delays the ledger, a new or lost one is filled, and a start believes no silence (R3).
 * Method: Ceph, PostgreSQL and OpenSSH, started once, each behind a gate that refuses or says nothing; apps
 * and keepers in processes of their own.
 */
import * as fs from 'node:fs'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type { PersistentDbOptions } from '../../packages/kvar/src/index.ts'
import { type GateProxy, startGateProxy } from '../servers/gate-proxy.ts'
import { type ScriptedServer, startScripted } from '../servers/scripted-http.ts'
import { type AppProcess, KeeperWorld, waitFor } from '../support/keeper-world.ts'
import {
  behind,
  leftOutWithoutServers,
  type RemoteKind,
  type RemotePlace,
  RemoteServers,
  rowsAt,
  withLog,
} from '../support/remote-places.ts'

const KINDS = ['s3', 'postgres', 'sftp'] as const
const leftOut = leftOutWithoutServers(...KINDS)
const LIMIT_MS = 60_000
const NOTES = 'SELECT body FROM note ORDER BY id'
/** Short, so that a silent server is known to be silent before a test's patience ends. */
const LIMITS = { targetTries: 2, targetTimeoutMs: 1500 }

let servers: RemoteServers
const gates = new Map<RemoteKind, GateProxy>()
let world: KeeperWorld
/** The same places in every test are fresh ones, seen through the gates. */
let [ledger, second, third]: RemotePlace[] = []

beforeAll(async () => {
  if (leftOut !== '') return
  servers = await RemoteServers.start(KINDS)
  for (const kind of KINDS) gates.set(kind, await startGateProxy(servers.place(kind).port))
}, 180_000)
afterAll(async () => {
  for (const gate of gates.values()) await gate.stop()
  await servers?.stop()
})
beforeEach(() => {
  world = new KeeperWorld()
  ;[ledger, second, third] = KINDS.map((kind) => behind(servers.place(kind), gateOf(kind).port))
})
afterEach(async () => {
  for (const gate of gates.values()) gate.set('open')
  await world.end()
})

function gateOf(kind: RemoteKind): GateProxy {
  const gate = gates.get(kind)
  if (gate === undefined) throw new Error(`no gate before ${kind}`)
  return gate
}

type Options = PersistentDbOptions & { limits?: object; name?: string }

function open(places: Array<RemotePlace | undefined>, options: Options = {}): Promise<AppProcess> {
  const here = places.filter((place) => place !== undefined)
  const { name = 'app', ...rest } = options
  return world.app(world.path(name, 'app.db'), {
    targets: here.map((place) => place.url),
    variables: Object.assign({}, ...here.map((place) => place.secrets)),
    interval: '1h',
    limits: LIMITS,
    ...rest,
  })
}

async function write(app: AppProcess, body: string): Promise<void> {
  await app.sql(
    `CREATE TABLE IF NOT EXISTS note(id INTEGER PRIMARY KEY, body); INSERT INTO note(body) VALUES ('${body}')`,
  )
}

async function bodiesAt(place: RemotePlace | undefined): Promise<string[]> {
  const rows = await rowsAt<{ body: string }>(place as RemotePlace, world.folder, NOTES)
  return rows.map((row) => row.body)
}

async function versionsOf(app: AppProcess): Promise<number[]> {
  return (await app.status()).targets.map((target) => target.version)
}

async function problemOf(app: AppProcess, index: number) {
  return (await app.status()).targets[index]?.problem ?? undefined
}

function allHold(app: AppProcess, version: number): Promise<unknown> {
  const isThere = async () => (await versionsOf(app)).every((held) => held === version)
  return waitFor(`all targets hold version ${version}`, isThere, LIMIT_MS)
}

describe.skipIf(leftOut !== '')(`ledger and followers${leftOut}`, { timeout: 240_000 }, () => {
  it('a slow and a dead follower delay no flush, say so, and come after by themselves', async () => {
    const app = await open([ledger, second, third])
    await write(app, 'everywhere')
    const { version: first } = await app.flush()
    await allHold(app, first)
    gateOf('postgres').set('silent')
    gateOf('sftp').set('refusing')
    for (const body of ['one', 'two', 'three']) {
      await write(app, body)
      // It resolves although neither follower can have it.
      const { targets } = await app.flush()
      expect(targets).toEqual([ledger?.url])
    }
    const { version } = await app.flush()
    expect(await versionsOf(app)).toEqual([version, first, first])
    await waitFor('the slow one is told', () => problemOf(app, 1), LIMIT_MS)
    await waitFor('the dead one is told', () => problemOf(app, 2), LIMIT_MS)
    const { safety, targets } = await app.status()
    expect(safety).not.toBe('safe')
    expect(targets.map(({ role, problem }) => [role, problem === null])).toEqual([
      ['ledger', true],
      ['follower', false],
      ['follower', false],
    ])
    expect(targets[1]?.behindMs).toBeGreaterThan(0)
    gateOf('postgres').set('open')
    await waitFor('the slow one has caught up', async () => (await versionsOf(app))[1] === version, LIMIT_MS)
    expect((await versionsOf(app))[2]).toBe(first)
    gateOf('sftp').set('open')
    await allHold(app, version)
    for (const place of [second, third])
      expect(await bodiesAt(place)).toEqual(['everywhere', 'one', 'two', 'three'])
  })

  it('a follower that is away is waited for with durable "all"', async () => {
    const app = await open([ledger, second], { durable: 'all' })
    await write(app, 'everywhere')
    const { version, targets } = await app.flush()
    expect([...targets].sort()).toEqual([ledger?.url, second?.url].sort())
    gateOf('postgres').set('refusing')
    await write(app, 'waits')
    let isStored = false
    const flushed = app.flush().then((answer) => {
      isStored = true
      return answer
    })
    await waitFor('the ledger has it', async () => (await versionsOf(app))[0] === version + 1, LIMIT_MS)
    await waitFor('the follower is missed', () => problemOf(app, 1), LIMIT_MS)
    expect(isStored).toBe(false)
    gateOf('postgres').set('open')
    expect((await flushed).targets).toHaveLength(2)
    expect(await bodiesAt(second)).toEqual(['everywhere', 'waits'])
  })

  it('a target that is added later is filled; a lost ledger is filled from the freshest follower', async () => {
    const alone = await open([ledger])
    for (const body of ['one', 'two']) {
      await write(alone, body)
      await alone.flush()
    }
    await alone.call('close')
    const both = await open([ledger, third])
    await allHold(both, (await both.flush()).version)
    expect(await bodiesAt(third)).toEqual(['one', 'two'])
    await both.call('close')
    const later = await open([ledger, second], { durable: 'all' })
    await write(later, 'three')
    await later.flush()
    await later.call('close')

    // The server lost the bucket; the disk is new too. PostgreSQL is fresher than SFTP.
    const anew = behind(servers.place('s3'), gateOf('s3').port)
    const again = await open([anew, third, second], { name: 'new disk' })
    expect(again.report).toMatchObject({ restored: true })
    expect((await again.all<{ body: string }>(NOTES)).map((row) => row.body)).toEqual(['one', 'two', 'three'])
    await write(again, 'four')
    await allHold(again, (await again.flush()).version)
    for (const place of [anew, second, third])
      expect(await bodiesAt(place)).toEqual(['one', 'two', 'three', 'four'])
  })

  it('the log of another database is refused by name, as ledger and as follower', async () => {
    const other = await open([second], { name: 'other' })
    await write(other, 'of another family')
    await other.flush()
    await other.call('close')
    const alone = await open([ledger])
    await write(alone, 'ours')
    await alone.flush()
    await alone.call('close')
    const app = await open([ledger, second])
    const problem = await waitFor('the stranger is told', () => problemOf(app, 1), LIMIT_MS)
    expect(problem).toMatchObject({ code: 'LINEAGE_MISMATCH' })
    expect(problem.message).toContain(second?.url)
    await app.call('close')
    await expect(open([second])).rejects.toMatchObject({ code: 'LINEAGE_MISMATCH' })
    await expect(open([second])).rejects.toThrow(second?.url)
    expect(await bodiesAt(second)).toEqual(['of another family'])
    expect(await bodiesAt(ledger)).toEqual(['ours'])
  })
})

describe.skipIf(leftOut !== '')(
  `a ledger that does not answer at start${leftOut}`,
  { timeout: 240_000 },
  () => {
    let broken: ScriptedServer
    beforeAll(async () => {
      broken = await startScripted(() => ({ status: 503, body: 'Service Unavailable' }))
    })
    afterAll(() => broken?.stop())

    /** The ledger with a past, and where it is asked for now. */
    async function past(): Promise<RemotePlace> {
      const app = await open([ledger])
      await write(app, 'before')
      await app.flush()
      await app.call('close')
      return ledger as RemotePlace
    }
    function shut(gate: 'refusing' | 'silent', place: RemotePlace): RemotePlace {
      gateOf('s3').set(gate)
      return place
    }
    const WAYS: Array<[string, (place: RemotePlace) => RemotePlace]> = [
      ['refuses', (place) => shut('refusing', place)],
      ['says nothing', (place) => shut('silent', place)],
      ['answers 503', (place) => behind(place, Number(new URL(broken.url).port))],
    ]

    it.each(WAYS)(
      'and %s: onUnreachable "fail" ends after startTimeout, and nothing is changed',
      async (_, make) => {
        const place = make(await past())
        fs.rmSync(world.path('app'), { recursive: true })
        // With the limits of every day: six tries of 30 s each would be three minutes.
        const started = open([place], { startTimeout: '1s', limits: {} })
        await expect(started).rejects.toMatchObject({ code: 'UNREACHABLE' })
        expect(fs.existsSync(world.path('app', 'app.db'))).toBe(false)
      },
    )

    it('and comes back in time: the start waits for it', async () => {
      const place = await past()
      fs.rmSync(world.path('app'), { recursive: true })
      gateOf('s3').set('refusing')
      const before = gateOf('s3').turnedAway
      const started = open([place], { startTimeout: '60s' })
      await waitFor('it was asked', () => gateOf('s3').turnedAway > before, LIMIT_MS)
      gateOf('s3').set('open')
      expect((await started).report).toMatchObject({ action: 'restored-from-log', restored: true })
    })

    it('onUnreachable "stale" goes on with what is here, and stores it when the ledger is back', async () => {
      const place = await past()
      gateOf('s3').set('silent')
      const app = await open([place], { startTimeout: '1s', onUnreachable: 'stale' })
      expect(app.report).toMatchObject({ action: 'stale' })
      expect((await app.status()).safety).toBe('not-safe')
      await write(app, 'meanwhile')
      const flushed = app.flush()
      gateOf('s3').set('open')
      await flushed
      expect(await bodiesAt(place)).toEqual(['before', 'meanwhile'])
      expect(await withLog(place, async (log) => (await log.findHead())?.version)).toBeGreaterThan(1)
    })
  },
)

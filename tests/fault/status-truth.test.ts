// Goal: what the first line of the status says is true at every moment, and a watcher hears of every
// turn, also of those that time alone brings.
// Method: real keepers with short limits; targets on another disk that are taken away and put back. Every
// status a watcher was sent is held against what lay on the targets meanwhile. Waits are only compared
// with how long they can have lasted, never with a deadline.
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { DatabasePersistence, KeeperStatus } from '../../packages/kvar/src/index.ts'
import { newestVersionIn, waitFor } from '../support/keeper-world.ts'
import { StatusWorld, Watched } from '../support/status-world.ts'

const FIRST_WORDS: Record<KeeperStatus['safety'], RegExp> = {
  safe: /^Safe: everything up to \d\d:\d\d:\d\d is stored on (\d) of \1 targets/,
  late: /^(Late: everything up to|Starting: )/,
  'only-here': /^Only on this machine: /,
  'not-safe': /^Not safe: /,
}

let world: StatusWorld
let path: string
beforeEach(() => {
  world = new StatusWorld()
  path = world.path('app.db')
})
afterEach(() => world.end())

function open(names: string[], options: object = {}, limits: object = {}): Promise<DatabasePersistence> {
  const quiet = { scrubAfterMs: 0, drillAfterMs: 0, targetTries: 1 }
  const targets = names.map((name) => `folder:${world.place(name)}`)
  return world.open(path, { targets, interval: '50ms', ...options, limits: { ...quiet, ...limits } })
}

function table(): (text: string) => void {
  const database = world.database(path)
  database.exec('PRAGMA journal_mode=WAL; CREATE TABLE note(body)')
  return (text) => database.exec(`INSERT INTO note VALUES ('${text}')`)
}

function expectTrueSentences(seen: KeeperStatus[]): void {
  for (const status of seen) {
    if (status.state === 'waiting' || status.state === 'closing') continue
    expect(status.sentence).toMatch(FIRST_WORDS[status.safety])
    const missing = status.targets.filter((target) => target.version < status.durableVersion)
    if (missing.length > 0) expect(status.safety).not.toBe('safe')
    if (status.safety === 'safe') expect(status.problem).toBe(null)
  }
}

describe('the verdict', { timeout: 120_000 }, () => {
  it('turns to late, then not safe, while the ledger is away, and back when it is there', async () => {
    const persistence = await open(['ledger'], {}, { lateAfterMs: 300 })
    const write = table()
    write('before')
    const { version } = await persistence.flush()
    const watched = new Watched(persistence)
    await watched.until('it is safe', ({ safety }) => safety === 'safe', 0)
    world.takeAway('ledger')
    const from = watched.seen.length
    const begunMs = performance.now()
    write('while it is away')
    const bad = await watched.until('it is not safe', ({ safety }) => safety === 'not-safe', from)
    expect(bad.waitingMs).toBeLessThanOrEqual(performance.now() - begunMs)
    expect(bad.waitingMs).toBeGreaterThan(300)
    expect(bad).toMatchObject({
      durableVersion: version,
      problem: { code: expect.stringMatching(/^TARGET_/) },
    })
    expect(bad.targets[0]?.nextTryAt).not.toBe(null)
    const whileAway = watched.seen.slice(watched.seen.indexOf(bad))
    expect(whileAway.filter(({ safety }) => safety === 'safe')).toEqual([])
    const back = watched.seen.length
    world.bringBack('ledger')
    const good = await watched.until('it is safe again', ({ safety }) => safety === 'safe', back)
    expect(good.durableVersion).toBeGreaterThan(version)
    expect(await newestVersionIn(world.place('ledger'))).toBeGreaterThanOrEqual(good.durableVersion)
    expectTrueSentences(watched.seen)
  })

  it('is never safe while a follower lacks a confirmed version', async () => {
    const persistence = await open(['ledger', 'follower'])
    const write = table()
    write('before')
    const { version } = await persistence.flush()
    const watched = new Watched(persistence)
    await watched.until(
      'both have it',
      ({ safety, durableVersion }) => safety === 'safe' && durableVersion >= version,
      0,
    )
    // Idle for a while: the age of what is missing counts from its own confirmation, not from the last one.
    await new Promise((resolve) => setTimeout(resolve, 1200))
    world.takeAway('follower')
    const [from, begunMs] = [watched.seen.length, performance.now()]
    write('missing there')
    const { version: missing } = await persistence.flush()
    const late = await watched.until(
      'its trouble is told',
      ({ targets }) => targets[1]?.problem != null,
      from,
    )
    expect(late.safety).toBe('late')
    expect(late.sentence).toMatch(/is stored on 1 of 2 targets\./)
    expect(late.targets[1]?.behindMs).toBeLessThanOrEqual(performance.now() - begunMs)
    const whileAway = watched.seen.slice(from).filter((status) => status.durableVersion >= missing)
    expect(whileAway.length).toBeGreaterThan(0)
    expect(whileAway.filter(({ safety }) => safety === 'safe')).toEqual([])
    world.bringBack('follower')
    await watched.until('it has caught up', ({ safety }) => safety === 'safe')
    expect(await newestVersionIn(world.place('follower'))).toBeGreaterThanOrEqual(missing)
    expectTrueSentences(watched.seen)
  })

  it('turns by waiting alone: nothing fails, nothing happens, and a watcher hears it', async () => {
    const limits = { lateAfterMs: 400, notSafeAfterMs: 1600 }
    const persistence = await open(['ledger'], { interval: '1h' }, limits)
    const write = table()
    await persistence.flush()
    const watched = new Watched(persistence)
    await watched.until('it is safe', ({ safety }) => safety === 'safe', 0)
    const from = watched.seen.length
    write('cut in an hour')
    const late = await watched.until('it is late', ({ safety }) => safety === 'late', from)
    expect(late.sentence).toMatch(/^Late: everything up to .* is stored on 1 of 1 targets\./)
    const bad = await watched.until('it is not safe', ({ safety }) => safety === 'not-safe', from)
    expect(bad.sentence).toMatch(/^Not safe: what was committed after \d\d:\d\d:\d\d is not stored away/)
    expect([late.problem, bad.problem]).toEqual([null, null])
    expect(Date.parse(bad.storedUpTo ?? '')).toBeLessThanOrEqual(Date.now() - bad.waitingMs)
    await persistence.flush()
    await watched.until('it is safe again', ({ safety }) => safety === 'safe')
    expectTrueSentences(watched.seen)
  })

  it('does not call a new commit late because the last one was long ago', async () => {
    const persistence = await open(['ledger'], { interval: '300ms' }, { lateAfterMs: 1000 })
    const write = table()
    await persistence.flush()
    await new Promise((resolve) => setTimeout(resolve, 1500))
    const watched = new Watched(persistence)
    const begunMs = performance.now()
    write('after a while')
    const waiting = await watched.until('it is seen', ({ waitingMs }) => waitingMs > 0, 0)
    expect(waiting.waitingMs).toBeLessThanOrEqual(performance.now() - begunMs)
    await watched.until('it is stored', ({ waitingMs, version }) => waitingMs === 0 && version > 0)
    // On a machine that stood still for a second it may truly have been late.
    if (performance.now() - begunMs < 1000)
      expect(watched.seen.map(({ safety }) => safety)).not.toContain('late')
  })

  it('says up to when everything is stored: a commit from before that moment is in the log', async () => {
    const persistence = await open(['ledger'])
    const write = table()
    for (let round = 0; round < 20; round++) {
      write(`round ${round}`)
      const committedMs = Date.now()
      const status = await waitFor('the moment has passed', async () => {
        const now = await persistence.status()
        return Date.parse(now.storedUpTo ?? '') > committedMs ? now : undefined
      })
      // Nothing else is written: if a flush has nothing to add, the row was in the log already.
      expect((await persistence.flush()).version).toBe(status.durableVersion)
    }
    await waitFor('an idle keeper moves on', async () => {
      const { storedUpTo, confirmedAt } = await persistence.status()
      return Date.parse(storedUpTo ?? '') > Date.parse(confirmedAt ?? '') + 1000
    })
  })
})

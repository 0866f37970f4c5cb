/*
 * Goal: several targets side by side, each with its own state: a follower that is away delays nobody,
 * comes after by itself, and what it held against the ledger is kept (R3).
 * Method: folder targets that are renamed away and back, or written to by a stranger; real keepers.
 */
import * as fs from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { DatabasePersistence, TargetStatus } from '../../packages/kvar/src/index.ts'
import { branchesIn, KeeperWorld, newestVersionIn, rowsIn, waitFor } from '../support/keeper-world.ts'

const COUNT = 'SELECT count(*) AS n FROM note'
/** Far below what a follower that stands still would cost: its first pause alone is a second. */
const AT_ONCE_MS = 800

let world: KeeperWorld
let path: string
let places: { ledger: string; near: string; far: string }
beforeEach(() => {
  world = new KeeperWorld()
  path = world.path('app.db')
  places = { ledger: world.path('ledger'), near: world.path('near'), far: world.path('far') }
})
afterEach(() => world.end())

function open(options: object = {}): Promise<DatabasePersistence> {
  const targets = [places.ledger, places.near, places.far].map((place) => `folder:${place}`)
  return world.open(path, { targets, interval: '1h', limits: { targetTries: 1 }, ...options })
}

function createNotes() {
  const database = world.database(path)
  database.exec('CREATE TABLE note(id INTEGER PRIMARY KEY, body)')
  return () => database.exec("INSERT INTO note(body) VALUES ('something worth keeping')")
}

async function targetAt(persistence: DatabasePersistence, index: number): Promise<TargetStatus> {
  return (await persistence.status()).targets[index] as TargetStatus
}

async function timed<T>(work: Promise<T>): Promise<{ answer: T; tookMs: number }> {
  const begun = performance.now()
  const answer = await work
  return { answer, tookMs: performance.now() - begun }
}

async function countIn(place: string): Promise<number | undefined> {
  return (await rowsIn(place, world.folder, COUNT))[0]?.n
}

describe('followers', { timeout: 60_000 }, () => {
  it('each have a state of their own and receive every version', async () => {
    const persistence = await open()
    const write = createNotes()
    for (let round = 0; round < 5; round++) {
      write()
      await persistence.flush()
    }
    const { version } = await persistence.flush()
    await waitFor('all have it', async () =>
      (await persistence.status()).targets.every((t) => t.version === version),
    )
    const { targets } = await persistence.status()
    expect(targets.map((target) => target.role)).toEqual(['ledger', 'follower', 'follower'])
    for (const place of Object.values(places)) expect(await countIn(place)).toBe(5)
  })

  it('that are away never delay a flush, say so, and catch up when they are back', async () => {
    const persistence = await open()
    const write = createNotes()
    write()
    const { version: first } = await persistence.flush()
    await waitFor('the far one has it', async () => (await targetAt(persistence, 2)).version === first)
    const away = `${places.far}-away`
    fs.renameSync(places.far, away)
    let slowestMs = 0
    for (let round = 0; round < 8; round++) {
      write()
      slowestMs = Math.max(slowestMs, (await timed(persistence.flush())).tookMs)
    }
    expect(slowestMs).toBeLessThan(AT_ONCE_MS)
    await waitFor('its trouble is told', async () => (await targetAt(persistence, 2)).problem)
    const { version, targets } = await persistence.flush()
    expect(targets).not.toContain(`folder:${places.far}`)
    await waitFor('the near one has it', async () => (await targetAt(persistence, 1)).version === version)
    expect((await persistence.status()).safety).not.toBe('safe')
    expect(fs.existsSync(join(places.far, 'ltx'))).toBe(false)
    fs.rmSync(places.far, { recursive: true, force: true })
    fs.renameSync(away, places.far)
    await waitFor('it has caught up', async () => (await targetAt(persistence, 2)).version === version)
    expect((await targetAt(persistence, 2)).problem).toBe(null)
    expect(await countIn(places.far)).toBe(9)
  })

  it('are waited for when everything is to be durable on all of them', async () => {
    const persistence = await open({ durable: 'all' })
    const write = createNotes()
    write()
    const all = await persistence.flush()
    expect([...all.targets].sort()).toEqual(
      Object.values(places)
        .map((place) => `folder:${place}`)
        .sort(),
    )
    for (const place of Object.values(places)) expect(await countIn(place)).toBe(1)
    const away = `${places.far}-away`
    fs.renameSync(places.far, away)
    write()
    let stored = false
    const flushed = persistence.flush().then((answer) => {
      stored = true
      return answer
    })
    await waitFor(
      'the near one has it',
      async () => (await targetAt(persistence, 1)).version === all.version + 1,
    )
    await waitFor('the far one’s trouble is told', async () => (await targetAt(persistence, 2)).problem)
    expect(stored).toBe(false)
    fs.rmSync(places.far, { recursive: true, force: true })
    fs.renameSync(away, places.far)
    expect((await flushed).targets.length).toBe(3)
    expect(await countIn(places.far)).toBe(2)
  })

  it('with a tail of their own keep it as a branch and take the ledger’s', async () => {
    await makeForeignTail()
    const persistence = await open()
    const [here] = world.database(path).prepare(COUNT).all()
    expect(here?.n).toBe(2)
    const { version } = await persistence.flush()
    await waitFor('the far one agrees', async () => (await targetAt(persistence, 2)).version === version)
    expect(await countIn(places.far)).toBe(2)
    const branches = await branchesIn(places.far)
    expect(branches.map((branch) => branch.reason)).toEqual(['follower-tail'])
    expect(await newestVersionIn(places.far)).toBe(await newestVersionIn(places.ledger))
  })

  /** A common past on ledger and follower; then the two go apart: two more versions on the follower, one on the ledger. */
  async function makeForeignTail(): Promise<void> {
    const both = [places.ledger, places.far]
    const write = await (async () => {
      const begun = await world.open(path, {
        targets: both.map((place) => `folder:${place}`),
        durable: 'all',
      })
      const insert = createNotes()
      insert()
      await begun.flush()
      await begun.close()
      return insert
    })()
    const other = world.path('other', 'app.db')
    for (const from of both) fs.cpSync(from, `${from}-copy`, { recursive: true })
    const stranger = await world.open(other, { targets: [`folder:${places.far}`] })
    const strange = world.database(other)
    strange.exec("INSERT INTO note(body) VALUES ('of a stranger'), ('and another')")
    await stranger.flush()
    await stranger.close()
    const again = await world.open(path, { targets: [`folder:${places.ledger}`] })
    write()
    await again.flush()
    await again.close()
  }
})

/*
 * Goal: one keeper a database, found under any path, alive as long as somebody needs it and no longer;
 * what many callers flush at the same time is stored together.
 * Method: real processes that race, paths that are hard, and counts of processes and versions.
 */
import * as fs from 'node:fs'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { KeeperStatus } from '../../packages/kvar/src/index.ts'
import {
  isAlive,
  KeeperWorld,
  keeperProcessId,
  keepersOf,
  newestVersionIn,
  rowsIn,
  waitFor,
} from '../support/keeper-world.ts'

const STARTERS = 4
const RACES = 5
const FLUSH_ROUNDS = 20

let world: KeeperWorld
beforeEach(() => {
  world = new KeeperWorld()
})
afterEach(() => world.end())

describe('four starters racing for one database', { timeout: 90_000 }, () => {
  it('get one keeper, and all succeed, again and again', async () => {
    const [path, target] = [world.path('app.db'), world.path('target')]
    world.watchFor(path)
    const apps = Array.from({ length: STARTERS }, () => world.bareApp())
    for (let race = 0; race < RACES; race++) {
      const options = { targets: [`folder:${target}`], copies: [] }
      await Promise.all(apps.map((app) => app.call('open', { path, options })))
      await Promise.all(apps.map((app, i) => app.sql(`CREATE TABLE IF NOT EXISTS race${race}_${i}(x)`)))
      const states = await Promise.all(apps.map((app) => app.call<KeeperStatus>('status')))
      const ids = new Set(states.map((status) => status.keeper.processId))
      expect([...ids]).toEqual([keeperProcessId(path)])
      // Those that were started and found the lock taken leave by themselves, long before their time is up.
      await waitFor('the others have left', () => keepersOf(path).length === 1, 15_000)
      expect(keepersOf(path)).toEqual([...ids])
      await Promise.all(apps.map((app) => app.flush()))
      await Promise.all(apps.map((app) => app.call('closeDatabase')))
      await Promise.all(apps.map((app) => app.call('close')))
    }
    const tables = 'SELECT count(*) AS n FROM sqlite_schema'
    expect((await rowsIn(target, world.folder, tables))[0]?.n).toBe(STARTERS * RACES)
    await waitFor('no keeper is left', () => keepersOf(path).length === 0)
  })
})

describe('hard paths', { timeout: 60_000 }, () => {
  const names: Array<[string, string]> = [
    ['of more than 200 characters', `${'long-folder-name/'.repeat(14)}app.db`],
    ['with spaces, å and an emoji', 'våra barns saker/min kalender 🌻 100%?#/app familj.db'],
  ]
  it.each(names)('a path %s', async (_what, name) => {
    const [path, target] = [world.path(name), world.path('mål 🌻', 'target')]
    await writeAndFlush(path, target)
    expect((await rowsIn(target, world.folder, 'SELECT x FROM one'))[0]?.x).toBe(7)
  })

  it('a path through a linked folder leads to the same keeper', async () => {
    const [path, target] = [world.path('real', 'app.db'), world.path('target')]
    const linked = world.path('linked')
    fs.symlinkSync(world.path('real'), linked)
    const status = await writeAndFlush(path, target)
    const other = await world.open(`${linked}/app.db`, { targets: [`folder:${target}`] })
    expect((await other.status()).keeper.processId).toBe(status.keeper.processId)
  })

  async function writeAndFlush(path: string, target: string): Promise<KeeperStatus> {
    const persistence = await world.open(path, { targets: [`folder:${target}`], copies: ['json', 'backup'] })
    world.database(path).exec('CREATE TABLE one(x); INSERT INTO one VALUES (7)')
    await persistence.backupDatabase()
    expect(fs.existsSync(`${path}.json`) && fs.existsSync(`${path}.backup`)).toBe(true)
    return persistence.status()
  }
})

describe('the end of a keeper', { timeout: 60_000 }, () => {
  it('comes with the last client: everything is stored, nothing keeps running', async () => {
    const [path, target] = [world.path('app.db'), world.path('target')]
    const targets = [`folder:${target}`]
    const first = await world.app(path, { targets, interval: '1h' })
    const second = await world.app(path, { targets, interval: '1h' })
    const keeper = keeperProcessId(path)
    await first.sql('CREATE TABLE note(x)')
    await first.sql('INSERT INTO note VALUES (1)')
    await first.call('close')
    expect(isAlive(keeper)).toBe(true)
    await second.sql('INSERT INTO note VALUES (2)')
    await second.call('close')
    await waitFor('the keeper has left', () => !isAlive(keeper))
    expect((await rowsIn(target, world.folder, 'SELECT x FROM note')).map((row) => row.x)).toEqual([1, 2])
  })

  it('comes after an app that was killed, too: its last commits are stored', async () => {
    const [path, target] = [world.path('app.db'), world.path('target')]
    const app = await world.app(path, { targets: [`folder:${target}`], interval: '1h' })
    const keeper = keeperProcessId(path)
    await app.sql('CREATE TABLE note(x)')
    await app.sql('INSERT INTO note VALUES (1), (2), (3)')
    await app.kill()
    await waitFor('the keeper has left', () => !isAlive(keeper))
    expect((await rowsIn(target, world.folder, 'SELECT count(*) AS n FROM note'))[0]?.n).toBe(3)
  })
})

describe('flush from several workers', { timeout: 60_000 }, () => {
  it('shares versions, and each flush holds its commit', async () => {
    const [path, target] = [world.path('app.db'), world.path('target')]
    const targets = [`folder:${target}`]
    // The first one alone turns the database to WAL mode: apps that do so at the same time lock each other out.
    const first = await world.app(path, { targets, interval: '1h' })
    const others = await Promise.all([1, 2, 3].map(() => world.app(path, { targets, interval: '1h' })))
    const workers = [first, ...others]
    await first.sql('CREATE TABLE note(id INTEGER PRIMARY KEY, worker)')
    await first.flush()
    const before = await newestVersionIn(target)
    const flushes: Array<{ id: number; version: number }> = []
    for (let round = 1; round <= FLUSH_ROUNDS; round++) {
      const ids = workers.map((_worker, index) => round * 10 + index)
      await Promise.all(workers.map((worker, i) => worker.sql(`INSERT INTO note VALUES (${ids[i]}, ${i})`)))
      const answers = await Promise.all(workers.map((worker) => worker.flush()))
      flushes.push(...answers.map(({ version }, index) => ({ id: ids[index] as number, version })))
    }
    const made = (await newestVersionIn(target)) - before
    expect(made).toBeGreaterThanOrEqual(FLUSH_ROUNDS)
    expect(made).toBeLessThan(flushes.length * 0.75)
    for (const { id, version } of everyFifth(flushes)) {
      const rows = await rowsIn(target, world.folder, `SELECT 1 AS there FROM note WHERE id = ${id}`, version)
      expect(rows.length).toBe(1)
    }
    for (const worker of workers) await worker.call('close')
  })
})

function everyFifth<T>(all: T[]): T[] {
  return all.filter((_one, index) => index % 5 === 0)
}

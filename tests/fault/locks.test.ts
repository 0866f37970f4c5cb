/*
 * Goal: an app never sees "database is locked" because of us (R8), and its own checkpoints are not
 * held up, with a whole keeper at work: capture, versions, copies.
 * Method: an app without busy timeout writes as fast as it can or paced, once alone and once beside a
 * keeper; what it counts is compared. Checkpoints of its own are timed while we are idle and during a flush.
 */
import { spawn } from 'node:child_process'
import * as fs from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { KeeperWorld, rowsIn, waitFor } from '../support/keeper-world.ts'

const LOAD_APP = join(import.meta.dirname, '../support/load-app.mjs')
const SECONDS = 1.5

let world: KeeperWorld
beforeEach(() => {
  world = new KeeperWorld()
})
afterEach(() => world.end())

interface Counts {
  commits: number
  locked: number
  slowestMs: number
  checkpointMs: number
}

function runLoad(path: string, mode: string, pauseMs: number, extras: string[]): Promise<Counts> {
  const child = spawn(process.execPath, [LOAD_APP, path, mode, String(SECONDS), String(pauseMs), ...extras], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let output = ''
  child.stdout.on('data', (text) => {
    output += text
  })
  return new Promise((resolve) => child.once('close', () => resolve(JSON.parse(output))))
}

const LOADS = [
  { mode: 'wal', pauseMs: 0, extras: [] },
  { mode: 'wal', pauseMs: 2, extras: ['vacuum', 'rollback', 'truncate-checkpoint'] },
  { mode: 'delete', pauseMs: 0, extras: ['rollback'] },
  { mode: 'delete', pauseMs: 4, extras: ['vacuum', 'rollback'] },
  { mode: 'truncate', pauseMs: 4, extras: [] },
]

describe('an app without busy timeout', { timeout: 60_000 }, () => {
  for (const { mode, pauseMs, extras } of LOADS) {
    const pace = pauseMs === 0 ? 'without pause' : `every ${pauseMs} ms`
    it(`in journal mode ${mode}, ${pace}, is never locked out (${extras.join(', ') || 'plain'})`, async () => {
      const path = world.path('guarded', 'app.db')
      const target = world.path('target')
      const copies = ['json', 'backup'] as Array<'json' | 'backup'>
      const persistence = await world.open(path, { targets: [`folder:${target}`], interval: '50ms', copies })
      const guarded = await runLoad(path, mode, pauseMs, extras)
      const { version } = await persistence.flush()
      await persistence.backupDatabase()
      expect(guarded.locked).toBe(0)
      expect(guarded.commits).toBeGreaterThan(0)
      expect(version).toBeGreaterThan(0)
      const [stored] = await rowsIn(target, world.folder, 'SELECT count(*) AS n, max(id) AS last FROM load')
      const here = world.database(path).prepare('SELECT count(*) AS n, max(id) AS last FROM load').get()
      expect({ ...stored }).toEqual({ ...here })
    })
  }

  it('counts none without a keeper either: the control', async () => {
    const alone = await runLoad(world.path('alone', 'app.db'), 'wal', 0, ['rollback'])
    expect(alone.locked).toBe(0)
    expect(alone.commits).toBeGreaterThan(0)
  })

  it('and the same app counts them beside a reader with an ordinary read lock: the count works', async () => {
    const path = world.path('read', 'app.db')
    const load = runLoad(path, 'delete', 1, [])
    const reader = world.database(path)
    await waitFor('the table is there', () => reader.prepare('SELECT 1 FROM sqlite_schema').get())
    for (const until = Date.now() + 1000; Date.now() < until; ) {
      reader.exec('BEGIN')
      reader.prepare('SELECT count(*) FROM load').get()
      await new Promise((resolve) => setTimeout(resolve, 5))
      reader.exec('COMMIT')
    }
    expect((await load).locked).toBeGreaterThan(0)
  })
})

describe('a checkpoint of the app’s own', { timeout: 60_000 }, () => {
  it('with TRUNCATE returns at once while we are idle', async () => {
    const path = world.path('app.db')
    const persistence = await world.open(path, { targets: [`folder:${world.path('target')}`] })
    const database = world.database(path, 5000)
    database.exec('PRAGMA journal_mode=WAL; CREATE TABLE note(text)')
    for (let round = 0; round < 4; round++) {
      database.exec('INSERT INTO note VALUES (randomblob(3000))')
      const { version } = await persistence.flush()
      await waitFor('the keeper rests', () => restsAt(path, version))
      const begun = performance.now()
      const { busy } = database.prepare('PRAGMA wal_checkpoint(TRUNCATE)').get() as { busy: number }
      expect({ busy, atOnce: performance.now() - begun < 200 }).toEqual({ busy: 0, atOnce: true })
    }
  })

  it('with TRUNCATE ends well below its busy timeout while flushes are going on', async () => {
    const path = world.path('app.db')
    const persistence = await world.open(path, { targets: [`folder:${world.path('target')}`] })
    const app = await world.app(path, { targets: [`folder:${world.path('target')}`], timeoutMs: 5000 })
    await app.sql('CREATE TABLE note(text)')
    let [flushing, slowestMs, flushes] = [true, 0, 0]
    const flushLoop = async () => {
      while (flushing) {
        await persistence.flush()
        flushes += 1
      }
    }
    const looped = flushLoop()
    for (let round = 0; round < 25; round++) {
      await app.sql('INSERT INTO note VALUES (randomblob(20000))')
      const begun = performance.now()
      const [row] = await app.all('PRAGMA wal_checkpoint(TRUNCATE)')
      slowestMs = Math.max(slowestMs, performance.now() - begun)
      expect(row?.busy).toBe(0)
    }
    flushing = false
    await looped
    expect(flushes).toBeGreaterThan(5)
    expect(slowestMs).toBeLessThan(2500)
  })
})

/** The keeper notes when everything it captured is back in the database file and its read lock is on mark 0. */
function restsAt(path: string, version: number): boolean {
  const file = join(dirname(path), `.${basename(path)}-kvar`, 'state.json')
  const { version: noted, position, checkpointed } = JSON.parse(fs.readFileSync(file, 'utf8'))
  return noted === version && checkpointed?.frameCount === position.wal?.frameCount
}

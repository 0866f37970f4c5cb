/*
 * Goal: a keeper that is killed at the worst moment loses nothing, fences nobody and makes no branch.
 * Method: a keeper that kills itself at an exact moment of storing version 3 (crashing-keeper.mjs), with
 * an app that goes on, or that dies with it; and an ordinary keeper killed again and again under load.
 */
import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import {
  branchesIn,
  isAlive,
  KeeperWorld,
  keeperProcessId,
  killProcess,
  newestVersionIn,
  rowsIn,
  waitFor,
} from '../support/keeper-world.ts'

const CRASHING_KEEPER = join(import.meta.dirname, '../support/crashing-keeper.mjs')
const NOTES = 'SELECT body FROM note ORDER BY id'
const KILLS = 4

let world: KeeperWorld
beforeEach(() => {
  world = new KeeperWorld()
})
afterEach(() => world.end())

/** Comes back when it waits for clients; `ended` tells the signal it died of. */
async function startCrashingKeeper(path: string, moment: string): Promise<{ ended: Promise<string | null> }> {
  const child = spawn(process.execPath, [CRASHING_KEEPER, path, moment, '3'], { stdio: 'ignore' })
  const ended = new Promise<string | null>((resolve) =>
    child.once('exit', (_code, signal) => resolve(signal)),
  )
  await waitFor('the keeper listens', () => keeperProcessId(path) === child.pid)
  return { ended }
}

function bodies(rows: Array<Record<string, unknown>>): unknown[] {
  return rows.map((row) => row.body)
}

describe.each(['before-put', 'after-put', 'before-note'])('killed %s', { timeout: 60_000 }, (moment) => {
  it.each(['wal', 'delete'])('while the app goes on, in journal mode %s', async (journalMode) => {
    const [path, target] = [world.path('app.db'), world.path('target')]
    const { ended } = await startCrashingKeeper(path, moment)
    const app = await world.app(path, { targets: [`folder:${target}`], interval: '1h', journalMode })
    await app.sql('CREATE TABLE note(id INTEGER PRIMARY KEY, body)')
    for (const body of ['one', 'two', 'three', 'four']) {
      await app.sql(`INSERT INTO note(body) VALUES ('${body}')`)
      await app.flush()
    }
    expect(await ended).toBe('SIGKILL')
    expect(bodies(await rowsIn(target, world.folder, NOTES))).toEqual(['one', 'two', 'three', 'four'])
    expect(await app.call('fenced')).toEqual([])
    expect(await branchesIn(target)).toEqual([])
    expect((await app.status()).problem).toBe(null)
    await app.call('close')
  })

  it('together with its app, which committed once more: the next start goes on from there', async () => {
    const [path, target] = [world.path('app.db'), world.path('target')]
    const { ended } = await startCrashingKeeper(path, moment)
    const app = await world.app(path, { targets: [`folder:${target}`], interval: '1h' })
    await app.sql('CREATE TABLE note(id INTEGER PRIMARY KEY, body)')
    for (const body of ['one', 'two']) {
      await app.sql(`INSERT INTO note(body) VALUES ('${body}')`)
      await app.flush()
    }
    await app.sql(`INSERT INTO note(body) VALUES ('three')`)
    const flushed = app.flush().catch(() => undefined)
    expect(await ended).toBe('SIGKILL')
    await app.kill()
    await flushed
    await endKeeperOf(path)
    const other = world.database(path)
    other.exec(`INSERT INTO note(body) VALUES ('four')`)
    other.close()
    const again = await world.open(path, { targets: [`folder:${target}`], interval: '1h' })
    expect(again.restored.action).toBe('kept-local')
    expect(again.restored.branch).toBe(null)
    await again.flush()
    expect(bodies(await rowsIn(target, world.folder, NOTES))).toEqual(['one', 'two', 'three', 'four'])
    expect(await branchesIn(target)).toEqual([])
  })
})

/** The app's client may have started a new keeper just before the app was killed. */
async function endKeeperOf(path: string): Promise<void> {
  const id = keeperProcessId(path)
  killProcess(id)
  await waitFor('the keeper is gone', () => !isAlive(id))
}

describe('killed again and again under load', { timeout: 60_000, retry: 0 }, () => {
  it.each(['wal', 'delete'])(
    'it is started again, the next flush succeeds, the app is never locked out (%s)',
    async (journalMode) => {
      const [path, target] = [world.path('app.db'), world.path('target')]
      const targets = [`folder:${target}`]
      const app = await world.app(path, { targets, interval: '30ms', journalMode, timeoutMs: 0 })
      await app.sql('CREATE TABLE note(id INTEGER PRIMARY KEY, body)')
      const pauseMs = journalMode === 'wal' ? 5 : 20
      await app.call('writeUntilTold', { text: 'INSERT INTO note(body) VALUES (randomblob(500))', pauseMs })
      let last = 0
      for (let round = 0; round < KILLS; round++) {
        const before = keeperProcessId(path)
        killProcess(before)
        const { version } = await app.flush()
        expect(version).toBeGreaterThan(last)
        expect(keeperProcessId(path)).not.toBe(before)
        last = version
      }
      await app.call('stopWriting')
      await app.flush()
      const [count] = await app.all('SELECT count(*) AS n, max(id) AS last FROM note')
      const [stored] = await rowsIn(target, world.folder, 'SELECT count(*) AS n, max(id) AS last FROM note')
      expect({ ...stored }).toEqual(count)
      expect(count?.n).toBeGreaterThan(KILLS)
      expect(await branchesIn(target)).toEqual([])
      expect(await newestVersionIn(target)).toBeGreaterThan(KILLS)
      await app.call('close')
    },
  )
})

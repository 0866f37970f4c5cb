/*
 * Goal: the nine ways in which the first version, a Python script beside a calendar, could lose data
 * are closed, each by a test that bears its name.
 * Method: the public door with real keeper processes, which are killed where the way needs it; disks
 * are wiped by removing the app's folder, and the target lies on another file system where there is one.
 */
import * as fs from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import type { DatabaseSync } from 'node:sqlite'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import {
  branchesIn,
  KeeperWorld,
  keeperProcessId,
  killProcess,
  logIn,
  newestVersionIn,
  restoreFrom,
  rowsOf,
  waitFor,
} from '../support/keeper-world.ts'

const SCHEMA = `CREATE TABLE IF NOT EXISTS events (
  id INTEGER PRIMARY KEY AUTOINCREMENT, user TEXT NOT NULL, title TEXT NOT NULL, note TEXT,
  created_at TEXT DEFAULT CURRENT_TIMESTAMP);
  CREATE TABLE IF NOT EXISTS tally (id INTEGER PRIMARY KEY CHECK (id = 1), events INTEGER NOT NULL);
  INSERT OR IGNORE INTO tally VALUES (1, 0)`
/** Both statements or none: a torn copy shows one without the other. */
const ADD = `BEGIN IMMEDIATE; INSERT INTO events (user, title) VALUES ('Maja', 'rehearsal ' || random());
  UPDATE tally SET events = events + 1; COMMIT`
const COUNTS = 'SELECT (SELECT count(*) FROM events) AS there, (SELECT events FROM tally) AS told'
const EVENTS = 'SELECT id, user, title, created_at FROM events ORDER BY id'
const MADE = `INSERT INTO events (id, user, title, created_at) VALUES
  (3, 'Maja', 'choir', '2024-02-29 08:00:00'), (17, 'Olle', 'dentist', '2025-12-24 15:00:00')`

let world: KeeperWorld
let path: string
let away: string
let target: string
beforeEach(() => {
  world = new KeeperWorld()
  path = world.path('app', 'familjekalender.db')
  away = fs.mkdtempSync(join(fs.existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'kvar-away-'))
  target = join(away, 'family')
})
afterEach(async () => {
  await world.end()
  fs.rmSync(away, { recursive: true })
})

function open(options: object = {}) {
  return world.open(path, { targets: [`folder:${target}`], ...options })
}

function openCalendar(): DatabaseSync {
  const database = world.database(path)
  database.exec(SCHEMA)
  return database
}

/** A life that leaves the two made events on the target, and no keeper. */
async function firstLife(options: object = {}): Promise<void> {
  const persistence = await open(options)
  const database = openCalendar()
  database.exec(MADE)
  await persistence.flush()
  database.close()
  await persistence.close()
}

/** The host throws the app's disk away. */
async function wipe(): Promise<void> {
  await keeperGone()
  fs.rmSync(dirname(path), { recursive: true })
  fs.mkdirSync(dirname(path))
}

async function keeperGone(): Promise<void> {
  const id = keeperProcessId(path)
  await waitFor('the keeper has left', () => id === 0 || !fs.existsSync(`/proc/${id}`))
}

/** What the file beside the database shows, or undefined while there is none. */
function copyOf(suffix: string): Buffer | undefined {
  try {
    return fs.readFileSync(path + suffix)
  } catch {
    return undefined
  }
}

/** An app that adds events without pause, in a process of its own without the library. */
async function busyApp(): Promise<() => Promise<void>> {
  openCalendar().close()
  const app = world.bareApp()
  await app.call('openPlain', { path, journalMode: 'wal' })
  await app.call('writeUntilTold', { text: ADD, pauseMs: 2 })
  return async () => {
    await app.call('stopWriting')
  }
}

test('1. a missing file: everything is back before the first query, whoever makes the tables', async () => {
  await firstLife()
  await wipe()
  const persistence = await open()
  expect(persistence.restored).toMatchObject({ action: 'restored-from-log', restored: true })
  const database = world.database(path)
  expect(database.prepare('SELECT count(*) AS count FROM events').get()).toEqual({ count: 2 })
})

test('2. restored events keep their ids and created_at, and the next id goes on behind them', async () => {
  await firstLife()
  const before = rowsOf(path, EVENTS)
  await wipe()
  await open()
  expect(rowsOf(path, EVENTS)).toEqual(before)
  const database = openCalendar()
  database.exec(`DELETE FROM events WHERE id = 17; INSERT INTO events (user, title) VALUES ('Olle', 'new')`)
  expect(database.prepare('SELECT max(id) AS id FROM events').get()).toEqual({ id: 18 })
})

describe('copies under load', () => {
  const COPIES = 4

  test('3. the .backup is never torn: whole transactions at every moment', async () => {
    await open({ copies: ['backup'], interval: '20ms' })
    const stop = await busyApp()
    const seen = new Set<number>()
    await waitFor(
      'enough copies',
      () => {
        const bytes = copyOf('.backup')
        if (bytes === undefined) return false
        fs.writeFileSync(world.path('looked-at.db'), bytes)
        const [counts] = rowsOf(world.path('looked-at.db'), COUNTS)
        expect(counts?.there).toBe(counts?.told)
        return seen.add(counts?.there as number).size >= COPIES
      },
      60_000,
    )
    await stop()
  })

  test('4. the JSON is never half: a killed keeper leaves the old one or the new one', async () => {
    await open({ copies: ['json'], interval: '20ms' })
    const stop = await busyApp()
    const seen = new Set<number>()
    await waitFor(
      'enough copies',
      () => {
        const text = copyOf('.json')?.toString()
        if (text === undefined) return false
        const copy = JSON.parse(text) as { events: unknown[]; tally: Array<{ events: number }> }
        expect(copy.events).toHaveLength(copy.tally[0]?.events as number)
        if (seen.has(copy.events.length)) return false
        seen.add(copy.events.length)
        killProcess(keeperProcessId(path))
        return seen.size >= COPIES
      },
      60_000,
    )
    await stop()
  })
})

test('5. a failed restore and one new event do not overwrite the good backup', async () => {
  fs.mkdirSync(dirname(path), { recursive: true })
  // A number that SQLite cannot hold: it must not be rounded away, and not be a reason to start empty.
  const good =
    '{"backup_time": "2025-10-13T19:35:10", "events": [{"id": 99999999999999999999, "user": "Maja"}]}'
  fs.writeFileSync(`${path}.json`, good)
  await expect(open({ copies: ['json', 'backup'] })).rejects.toMatchObject({ code: 'JSON_INVALID' })
  expect(fs.existsSync(path)).toBe(false)
  expect(copyOf('.json')?.toString()).toBe(good)

  await keeperGone()
  const database = openCalendar()
  database.exec(ADD)
  const persistence = await open({ copies: ['json', 'backup'] })
  await persistence.backupDatabase()
  const kept = fs.readdirSync(dirname(path)).filter((name) => name.includes('.json.before-'))
  expect(kept.map((name) => fs.readFileSync(join(dirname(path), name), 'utf8'))).toEqual([good])
})

describe('6. all backups on the disk that is wiped', () => {
  test('a target elsewhere survives the whole folder', async () => {
    await firstLife({ copies: ['json', 'backup'] })
    await wipe()
    await open()
    expect(rowsOf(path, 'SELECT title FROM events ORDER BY id')).toEqual([
      { title: 'choir' },
      { title: 'dentist' },
    ])
  })

  test('a target on the same disk, or none, is never called safe', async () => {
    const persistence = await open({ targets: [`folder:${world.path('same-disk')}`] })
    openCalendar().exec(MADE)
    await persistence.flush()
    expect((await persistence.status()).safety).toBe('only-here')
  })
})

test('7. one change costs the same, however much there is', async () => {
  const persistence = await open()
  const database = openCalendar()
  const words = 'hex(randomblob(40))'
  const fill = (rows: number) =>
    database.exec(`WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${rows})
      INSERT INTO events (user, title, note) SELECT 'Maja', ${words}, ${words} FROM n`)
  const storedBytes = async () => {
    const files = await (await logIn(target)).listFiles()
    return files.reduce((sum, file) => sum + file.sizeBytes, 0)
  }
  const costOfOneChange = async () => {
    await persistence.flush()
    const before = await storedBytes()
    database.exec(`UPDATE events SET title = ${words} WHERE id = (SELECT max(id) / 2 + 1 FROM events)`)
    await persistence.flush()
    return (await storedBytes()) - before
  }
  fill(4)
  const few = await costOfOneChange()
  fill(20_000)
  const many = await costOfOneChange()
  expect(fs.statSync(path).size).toBeGreaterThan(4_000_000)
  // One page of 4 096 bytes and what surrounds it.
  expect(few).toBeLessThan(6000)
  expect(many).toBeLessThan(6000)
})

test('8. a target never shows half a change: at every moment its newest version is whole', async () => {
  await open({ interval: '20ms' })
  const stop = await busyApp()
  const seen = new Set<number>()
  let last = 0
  await waitFor(
    'enough versions',
    async () => {
      if ((await newestVersionIn(target)) < 2) return false
      const [counts] = rowsOf(await restoreFrom(target, world.folder), COUNTS)
      expect(counts?.there).toBe(counts?.told)
      expect(counts?.there).toBeGreaterThanOrEqual(last)
      last = counts?.there as number
      // Killed once after the first and the fourth count, not again until the next keeper stored something.
      const isNew = !seen.has(last)
      if (isNew && seen.size % 3 === 0) killProcess(keeperProcessId(path))
      return seen.add(last).size >= 5
    },
    60_000,
  )
  await stop()
})

test('9. a stale database in the deployed image is not taken for the truth, and not thrown away', async () => {
  await firstLife()
  await wipe()
  const image = world.database(path)
  image.exec(SCHEMA)
  image.exec(`INSERT INTO events (user, title) VALUES ('Ture', 'from the image')`)
  image.close()
  const persistence = await open()
  expect(persistence.restored).toMatchObject({ action: 'diverged', restored: true })
  expect(rowsOf(path, 'SELECT title FROM events ORDER BY id')).toEqual([
    { title: 'choir' },
    { title: 'dentist' },
  ])
  const branches = await branchesIn(target)
  expect(branches.map(({ id }) => id)).toEqual([persistence.restored.branch])
})

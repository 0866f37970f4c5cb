/**
 * Goal: files of the seed's Python app load as they are, and ours hold what it would have written.
 * Method: the database and the JSON in this folder, made by Python's own sqlite3 and json (invented
 * people; gaps in the ids, NULLs, line breaks, quotes, emoji, durations of 1.5), compared both ways.
 */
import * as fs from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { readJsonStamp, writeJsonCopy } from '../../../packages/kvar/src/copies/json-copy.ts'
import { loadJsonCopy } from '../../../packages/kvar/src/copies/json-load.ts'
import { openSqlite } from '../../../packages/kvar/src/platform/sqlite.ts'
import { systemPlatform as platform } from '../../../packages/kvar/src/platform/system.ts'

const pythonDatabase = join(import.meta.dirname, 'familjekalender.db')
const pythonJson = join(import.meta.dirname, 'familjekalender.db.json')

let folder: string
beforeEach(async () => {
  folder = await fs.mkdtemp(join(tmpdir(), 'kvar-python-app-'))
})
afterEach(() => fs.rm(folder, { recursive: true }))

function contentOf(path: string): unknown {
  const database = openSqlite(path, { mode: 'immutable' })
  try {
    return {
      schema: database.prepare('SELECT type, name, tbl_name, sql FROM sqlite_schema').all(),
      events: database.prepare('SELECT *, typeof(duration) FROM events ORDER BY id').all(),
      integrity: database.prepare('PRAGMA integrity_check').all(),
    }
  } finally {
    database.close()
  }
}

test('the Python JSON becomes the Python database: table, ids, created_at and all', async () => {
  const databasePath = join(folder, 'familjekalender.db')
  expect(await loadJsonCopy({ jsonPath: pythonJson, databasePath, platform })).toMatchObject({ tables: 1, rows: 48 })
  expect(contentOf(databasePath)).toEqual(contentOf(pythonDatabase))
})

test('the next event gets the id after the largest, and the table’s own defaults', async () => {
  const databasePath = join(folder, 'familjekalender.db')
  await loadJsonCopy({ jsonPath: pythonJson, databasePath, platform })
  const database = openSqlite(databasePath, { mode: 'readWrite' })
  const insert = `INSERT INTO events (user, date, time, title) VALUES ('Elsa', '2026-01-01', '10:00', 'Simskola')`
  expect(database.prepare(insert).run().lastInsertRowid).toBe(60)
  const made = database.prepare('SELECT duration, reminder, created_at FROM events WHERE id = 60').get()
  expect(made).toMatchObject({ duration: 1, reminder: 0, created_at: expect.stringMatching(/^\d{4}-/) })
  database.close()
})

test('a declared schema takes the Python JSON as well', async () => {
  const databasePath = join(folder, 'app.db')
  const schema = `CREATE TABLE events (title TEXT, id INTEGER PRIMARY KEY, user, date, time, duration REAL, description,
    created_at, reminder, repeat_pattern, repeat_until, colour TEXT DEFAULT 'blue')`
  await loadJsonCopy({ jsonPath: pythonJson, databasePath, schema, platform })
  const database = openSqlite(databasePath, { mode: 'readOnly' })
  const sql = 'SELECT count(*) AS count, min(colour) AS colour, max(id) AS id FROM events'
  expect(database.prepare(sql).get()).toEqual({ count: 48, colour: 'blue', id: 59 })
  database.close()
})

test('the copy of the Python database holds the values of the Python JSON', async () => {
  const outPath = join(folder, 'familjekalender.db.json')
  const stamp = { lineage: '00c0ffee00c0ffee', version: 1, timeMs: 0 }
  await writeJsonCopy({ imagePath: pythonDatabase, outPath, stamp, platform })
  const ours = JSON.parse(await fs.readFile(outPath, 'utf8'))
  const theirs = JSON.parse(await fs.readFile(pythonJson, 'utf8'))
  const byId = (a: { id: number }, b: { id: number }) => a.id - b.id
  expect(ours.events).toEqual(theirs.events.toSorted(byId))
  expect(Object.keys(ours)).toEqual(['backup_time', 'events', 'kvar'])
})

test('each event is written letter for letter as Python writes it, but for the order of its keys', async () => {
  const outPath = join(folder, 'familjekalender.db.json')
  const stamp = { lineage: '00c0ffee00c0ffee', version: 1, timeMs: 0 }
  await writeJsonCopy({ imagePath: pythonDatabase, outPath, stamp, platform })
  const lines = (text: string) => text.split('\n').filter((line) => line.startsWith('      "')).map((line) => line.replace(/,$/, ''))
  const ours = lines((await fs.readFile(outPath, 'utf8')).split('\n  "kvar"')[0] ?? '')
  expect(ours.toSorted()).toEqual(lines(await fs.readFile(pythonJson, 'utf8')).toSorted())
})

test('its stamp says when it was made', async () => {
  const timeMs = new Date(2025, 9, 13, 19, 35, 10, 536).getTime()
  expect(await readJsonStamp(pythonJson, platform)).toEqual({ kind: 'seed', timeMs })
})

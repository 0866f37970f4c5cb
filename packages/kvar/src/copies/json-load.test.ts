/**
 * Goal: a JSON copy becomes a whole database or one clear error, and then no file at all.
 * Method: files by hand for each promise; a table of damaged ones, each with the words it must give.
 */
import * as fs from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { KvarError } from '../errors.ts'
import { openSqlite } from '../platform/sqlite.ts'
import { systemPlatform as platform } from '../platform/system.ts'
import { writeJsonCopy } from './json-copy.ts'
import { loadJsonCopy } from './json-load.ts'

let folder: string
let jsonPath: string
let databasePath: string
beforeEach(async () => {
  folder = await fs.mkdtemp(join(tmpdir(), 'kvar-json-load-'))
  jsonPath = join(folder, 'app.db.json')
  databasePath = join(folder, 'app.db')
})
afterEach(() => fs.rm(folder, { recursive: true }))

async function load(content: string | Uint8Array, schema?: string) {
  await fs.writeFile(jsonPath, content)
  return loadJsonCopy({ jsonPath, databasePath, platform, ...(schema === undefined ? {} : { schema }) })
}

function query(sql: string): unknown[] {
  const database = openSqlite(databasePath, { mode: 'readWrite' })
  try {
    return database
      .prepare(sql)
      .all()
      .map((row) => Object.values(row))
  } finally {
    database.close()
  }
}

const schema = `
  CREATE TABLE people (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL, age INT CHECK (age >= 0));
  CREATE TABLE log (line TEXT);
  CREATE TRIGGER told AFTER INSERT ON people BEGIN INSERT INTO log VALUES (new.name); END;
  CREATE INDEX by_name ON people (name);
  INSERT INTO people (id, name) VALUES (1, 'default')`

test('a declared schema: its tables are filled, its triggers kept but not fired, its own rows replaced', async () => {
  const json = '{"people": [{"id": 7, "name": "Elsa", "age": 9}, {"ID": 9, "name": "Nils"}]}'
  expect(await load(json, schema)).toEqual({ tables: 1, rows: 2, skipped: [] })
  expect(query('SELECT * FROM people')).toEqual([
    [7, 'Elsa', 9],
    [9, 'Nils', null],
  ])
  expect(query('SELECT line FROM log')).toEqual([['default']])
  expect(query(`SELECT name FROM sqlite_schema WHERE type IN ('trigger', 'index')`)).toEqual([
    ['by_name'],
    ['told'],
  ])
  expect(query('SELECT seq FROM sqlite_sequence')).toEqual([[9]])
})

test('a search index of the declared schema is built anew', async () => {
  const withSearch = `CREATE TABLE notes (id INTEGER PRIMARY KEY, text);
    CREATE VIRTUAL TABLE search USING fts5(text, content='notes', content_rowid='id')`
  await load('{"notes": [{"id": 3, "text": "simskola"}]}', withSearch)
  expect(query(`SELECT rowid FROM search WHERE search MATCH 'simskola'`)).toEqual([[3]])
})

test('without any schema tables are inferred and values kept', async () => {
  const json =
    '{"things": [{"id": 5, "size": 2}, {"id": 4, "size": 1.5, "photo": {"$blob": "AAE="}}], "nothing": []}'
  expect(await load(json)).toMatchObject({ tables: 1, rows: 2, skipped: [/nothing: empty list/] })
  expect(query('SELECT id, size, typeof(size), hex(photo) FROM things')).toEqual([
    [4, 1.5, 'real', '0001'],
    [5, 2, 'integer', ''],
  ])
})

test('sequences, versions and the journal mode come back', async () => {
  const image = join(folder, 'image')
  const database = openSqlite(image, { mode: 'create' })
  database.exec(`PRAGMA page_size = 8192; PRAGMA auto_vacuum = 2; PRAGMA journal_mode = WAL; PRAGMA user_version = 12;
    CREATE TABLE a (id INTEGER PRIMARY KEY AUTOINCREMENT); CREATE TABLE b (id INTEGER PRIMARY KEY AUTOINCREMENT);
    INSERT INTO a VALUES (10), (20); DELETE FROM a WHERE id = 20; INSERT INTO b VALUES (3); DELETE FROM b`)
  database.close()
  const stamp = { lineage: '00c0ffee00c0ffee', version: 1, timeMs: 0 }
  await writeJsonCopy({ imagePath: image, outPath: jsonPath, stamp, platform })
  expect(await loadJsonCopy({ jsonPath, databasePath, platform })).toMatchObject({
    tables: 2,
    rows: 1,
    stamp,
  })
  expect(query('SELECT name, seq FROM sqlite_sequence ORDER BY name')).toEqual([
    ['a', 20],
    ['b', 3],
  ])
  expect(query('PRAGMA page_size')).toEqual([[8192]])
  expect(query('PRAGMA auto_vacuum')).toEqual([[2]])
  expect(query('PRAGMA user_version')).toEqual([[12]])
  expect(query('PRAGMA journal_mode')).toEqual([['wal']])
  expect((await fs.readdir(folder)).sort()).toEqual(['app.db', 'app.db.json', 'image'])
})

/** A file of ours with one member of `kvar` changed. */
function ours(tables: string, kvar: Record<string, unknown> = {}): string {
  const members = {
    format: 1,
    lineage: '00c0ffee00c0ffee',
    version: 1,
    time: '2026-11-23T10:15:30.123+00:00',
  }
  return `{${tables}, "kvar": ${JSON.stringify({ ...members, schema: ['CREATE TABLE t (a INTEGER)'], ...kvar })}}`
}

const row = (content: string) => `{"people": [{"id": 1, "name": "Elsa"}, {${content}}]}`
const strict = 'CREATE TABLE people (id INTEGER PRIMARY KEY, name TEXT, age INTEGER) STRICT'

const refused: Array<[what: string, content: string | Uint8Array, words: RegExp, schema?: string]> = [
  ['an empty file', '', /the file ends too early/],
  [
    'a truncated file',
    '{"people": [{"id": 1, "na',
    /table "people", row 1, column "id": the file ends in the middle of a text \(line 1/,
  ],
  ['a list at the top', '[]', /the file should hold one object/],
  ['a text at the top', '"people"', /the file should hold one object/],
  ['a table that is an object', '{"people": {}}', /table "people": a table should be a list of rows/],
  ['a row that is a list', '{"people": [[1]]}', /table "people", row 1: a row should be an object/],
  ['a row without content', '{"people": [{}]}', /table "people", row 1: the row is empty/],
  ['a time that is a number', '{"backup_time": 5}', /"backup_time" should be a text/],
  ['a kvar key that is a list', '{"kvar": []}', /"kvar" should be an object/],
  ['NaN', row('"age": NaN'), /row 2, column "age": NaN is not a number/],
  [
    'an integer beyond 64 bits',
    row('"age": 9223372036854775808'),
    /row 2, column "age": the integer does not fit 64 bits/,
  ],
  ['a real beyond a double', row('"age": 1e999'), /row 2, column "age": the number is larger than a real/],
  ['true', row('"age": true'), /row 2, column "age": SQLite has no true and false/],
  ['an object for a value', row('"age": {"years": 5}'), /column "age": an object is no SQLite value/],
  ['damaged base64', row('"name": {"$blob": "%"}'), /column "name": the base64 is damaged/],
  ['half a character', row('"name": "\\ud83c"'), /column "name": the text holds half a character/],
  [
    'bytes that are not UTF-8',
    Buffer.from(row('"name": "å"'), 'latin1'),
    /row 2, column "name": a text is not UTF-8/,
  ],
  ['the same table twice', '{"people": [], "people": []}', /the key "people" stands twice/],
  [
    'the same table in other letters',
    '{"people": [], "People": []}',
    /table "People": the table stands twice/,
  ],
  ['the same column twice', row('"age": 1, "age": 2'), /row 2, column "age": the column stands twice/],
  [
    'the same column in other letters',
    row('"age": 1, "AGE": 2'),
    /row 2, column "AGE": the column stands twice/,
  ],
  ['an unknown table', '{"pets": [{"id": 1}]}', /table "pets": the schema option declares no table "pets"/],
  ['an unknown column', row('"colour": 1'), /row 2, column "colour": the table has no such column/],
  ['a text as key', row('"id": "x", "name": "Nils"'), /row 2, column "id": SQLite says: datatype mismatch/],
  ['a missing value', row('"id": 2'), /row 2, column "name": SQLite says: NOT NULL constraint failed/],
  [
    'the same key twice',
    row('"id": 1, "name": "Nils"'),
    /row 2, column "id": SQLite says: UNIQUE constraint failed/,
  ],
  ['a failed check', row('"name": "Nils", "age": -1'), /row 2: SQLite says: CHECK constraint failed/],
  [
    'a wrong type in a STRICT table',
    row('"age": "nine"'),
    /row 2, column "age": SQLite cannot store TEXT/,
    strict,
  ],
  ['something after the end', `${row('"name": "Nils"')} x`, /something follows after the end/],
  ['ours without its schema', ours('"t": []', { schema: null }), /"kvar.schema" should be a list of texts/],
  [
    'ours with other SQL in it',
    ours('"t": []', { schema: ['CREATE TABLE t (a)', 'DROP TABLE t'] }),
    /creates no table, index, view or trigger/,
  ],
  [
    'ours with a virtual table',
    ours('"t": []', { schema: ['CREATE TABLE t (a)', 'CREATE VIRTUAL TABLE v USING fts5(a)'] }),
    /creates no table/,
  ],
  [
    'ours with a broken statement',
    ours('"t": []', { schema: ['CREATE TABLE t ('] }),
    /does not take a statement of its schema/,
  ],
  [
    'ours with an undeclared table',
    ours('"u": [{"a": 1}]'),
    /table "u": "kvar.schema" declares no table "u"/,
  ],
  [
    'ours with too few rowids',
    ours('"t": [{"a": 1}]', { rowids: { t: [] } }),
    /"kvar.rowids" counts other rows/,
  ],
  [
    'ours with too many rowids',
    ours('"t": []', { rowids: { t: [[1, 2]] } }),
    /table "t": "kvar.rowids" counts other rows/,
  ],
  [
    'ours with sequences but no AUTOINCREMENT',
    ours('"t": []', { sequences: { t: 4 } }),
    /"kvar.sequences" names tables/,
  ],
  [
    'ours with a schema that does not fit',
    ours('"t": []', { schema: ['CREATE TABLE t (a)', 'CREATE INDEX i ON t (b)'] }),
    /no such column: b/,
  ],
]

test.each(refused)('%s: one clear error, no file', async (_what, content, words, declared = schema) => {
  const failure = await load(content, declared).catch((thrown: unknown) => thrown)
  expect(failure).toBeInstanceOf(KvarError)
  expect(failure).toMatchObject({
    code: 'JSON_INVALID',
    message: expect.stringMatching(words),
    hint: expect.stringMatching(/nothing was changed/),
  })
  expect((failure as KvarError).message).toMatch(/^Cannot load "app\.db\.json":/)
  expect(await fs.readdir(folder)).toEqual(['app.db.json'])
})

test('only the first statement of a schema entry is ever run', async () => {
  await load(ours('"t": []', { schema: ['CREATE TABLE t (a); CREATE TABLE evil (b)'] }))
  expect(query(`SELECT name FROM sqlite_schema`)).toEqual([['t']])
})

test('other refusals have their own codes', async () => {
  await expect(load(ours('"t": []', { format: 2 }))).rejects.toMatchObject({ code: 'FORMAT_TOO_NEW' })
  await expect(load('{}', 'CREATE TABEL')).rejects.toMatchObject({ code: 'SETTING_INVALID' })
  const missing = loadJsonCopy({ jsonPath: join(folder, 'none.json'), databasePath, platform })
  await expect(missing).rejects.toMatchObject({ code: 'NOT_FOUND' })
  expect(await fs.readdir(folder)).toEqual(['app.db.json'])
})

test.each(['app.db', 'app.db-wal', 'app.db-journal'])('an existing %s is never touched', async (name) => {
  await fs.writeFile(join(folder, name), 'precious')
  await expect(load('{}')).rejects.toMatchObject({ code: 'WOULD_OVERWRITE' })
  expect(await fs.readFile(join(folder, name), 'utf8')).toBe('precious')
})

test('what the copy left out is told again after loading', async () => {
  expect(await load(ours('"t": []', { skipped: ['search: virtual table'] }))).toMatchObject({
    skipped: ['search: virtual table'],
  })
})

/**
 * Goal: the JSON copy holds every ordinary table, is replaced whole or not at all, and costs little
 * memory. Method: odd schemas compared with the exact text; a file system that fails in the middle;
 * a table of 200 000 rows while memory and the event loop are watched.
 */
import * as fs from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { Files } from '../platform/files.ts'
import type { Platform } from '../platform/platform.ts'
import { openSqlite } from '../platform/sqlite.ts'
import { systemPlatform } from '../platform/system.ts'
import { readJsonStamp, writeJsonCopy } from './json-copy.ts'

let folder: string
let imagePath: string
let outPath: string
beforeEach(async () => {
  folder = await fs.mkdtemp(join(tmpdir(), 'kvar-json-copy-'))
  imagePath = join(folder, 'image')
  outPath = join(folder, 'app.db.json')
})
afterEach(() => fs.rm(folder, { recursive: true }))

const stamp = { lineage: '00c0ffee00c0ffee', version: 8412, timeMs: Date.UTC(2026, 10, 23, 10, 15, 30, 123) }

function makeImage(sql: string): void {
  const database = openSqlite(imagePath, { mode: 'create' })
  database.exec(sql)
  database.close()
}

async function write(platform: Platform = systemPlatform) {
  const result = await writeJsonCopy({ imagePath, outPath, stamp, platform })
  return { ...result, text: await fs.readFile(outPath, 'utf8') }
}

const manualPath = join(import.meta.dirname, '../../../../docs/JSON-COPY.md')

test('the exact text of a small database is the one that docs/JSON-COPY.md shows', async () => {
  makeImage(`
    CREATE TABLE notes (title TEXT, body BLOB);
    CREATE TABLE empty (a);
    CREATE TABLE kvar (a);
    INSERT INTO notes (rowid, title, body) VALUES (1, 'Å "1"', NULL), (5, CAST(x'ff' AS TEXT), x'00'), (6, '7', 7.0);
    INSERT INTO kvar VALUES (9223372036854775807);
    CREATE INDEX by_title ON notes (title)`)
  const { text, rows, sizeBytes } = await write()
  expect(rows).toBe(4)
  expect(sizeBytes).toBe(Buffer.byteLength(text))
  const example = /```json\n([\s\S]*?)```/.exec(await fs.readFile(manualPath, 'utf8'))?.[1]
  expect(text).toBe(example)
})

test('rows come in the order of the key, whatever index covers the table', async () => {
  makeImage(`
    CREATE TABLE a (name TEXT, number INT, PRIMARY KEY (number DESC, name)) WITHOUT ROWID;
    CREATE INDEX covering ON a (name, number);
    INSERT INTO a VALUES ('x', 1), ('b', 3), ('a', 3);
    CREATE TABLE b (name TEXT PRIMARY KEY);
    INSERT INTO b VALUES ('z'), ('a')`)
  const parsed = JSON.parse((await write()).text)
  expect(parsed.a.map((row: { name: string }) => row.name)).toEqual(['a', 'b', 'x'])
  expect(parsed.b.map((row: { name: string }) => row.name)).toEqual(['z', 'a'])
})

test('virtual tables and their shadow tables are left out by name, generated columns without a word', async () => {
  makeImage(`
    CREATE TABLE notes (id INTEGER PRIMARY KEY, text, length AS (length(text)) STORED);
    CREATE VIRTUAL TABLE search USING fts5(text, content='notes', content_rowid='id');
    INSERT INTO notes (text) VALUES ('simskola')`)
  const { text, skipped } = await write()
  const parsed = JSON.parse(text)
  expect(Object.keys(parsed)).toEqual(['backup_time', 'notes', 'kvar'])
  expect(parsed.notes).toEqual([{ id: 1, text: 'simskola' }])
  expect(parsed.kvar.schema).toHaveLength(1)
  expect(skipped).toContain('search: virtual table')
  expect(skipped).toContain('search_data: shadow table')
  expect(parsed.kvar.skipped).toEqual(skipped)
})

test('an image whose header says WAL is read without side files and makes none', async () => {
  makeImage('PRAGMA journal_mode = WAL; CREATE TABLE a (b); INSERT INTO a VALUES (1)')
  const parsed = JSON.parse((await write()).text)
  expect(parsed.kvar.pragmas.journal_mode).toBe('wal')
  expect((await fs.readdir(folder)).sort()).toEqual(['app.db.json', 'image'])
})

/** Every write from the n-th on fails, as on a full disk. */
function failingPlatform(failAt: number): Platform {
  let writes = 0
  const files: Files = {
    ...systemPlatform.files,
    openSync(path, mode) {
      const file = systemPlatform.files.openSync(path, mode)
      const writeSync: typeof file.writeSync = (bytes, offset) => {
        writes += 1
        if (writes >= failAt) throw Object.assign(new Error('no space left on device'), { code: 'ENOSPC' })
        file.writeSync(bytes, offset)
      }
      return {
        readSync: (buffer, offset) => file.readSync(buffer, offset),
        writeSync,
        truncateSync: (size) => file.truncateSync(size),
        factsSync: () => file.factsSync(),
        sync: () => file.sync(),
        syncSync: () => file.syncSync(),
        closeSync: () => file.closeSync(),
      }
    },
  }
  return { ...systemPlatform, files }
}

test('a write that fails midway leaves the old copy whole and nothing beside it', async () => {
  makeImage(`CREATE TABLE a (b); INSERT INTO a
    WITH RECURSIVE c (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c LIMIT 40000) SELECT 'row ' || n FROM c`)
  const before = (await write()).text
  for (const failAt of [1, 3]) {
    const failing = writeJsonCopy({ imagePath, outPath, stamp, platform: failingPlatform(failAt) })
    await expect(failing).rejects.toMatchObject({
      code: 'TARGET_FULL',
      message: expect.stringMatching(/"app.db.json": the disk is full/),
    })
    expect(await fs.readFile(outPath, 'utf8')).toBe(before)
    expect((await fs.readdir(folder)).sort()).toEqual(['app.db.json', 'image'])
  }
})

test('the new name appears only after the content was forced to the disk', async () => {
  makeImage('CREATE TABLE a (b)')
  const calls: string[] = []
  const files: Files = {
    ...systemPlatform.files,
    openSync(path, mode) {
      const file = systemPlatform.files.openSync(path, mode)
      const sync = file.sync.bind(file)
      file.sync = () => {
        calls.push('sync')
        return sync()
      }
      return file
    },
    rename(from, to) {
      calls.push('rename')
      return systemPlatform.files.rename(from, to)
    },
    syncFolder(path) {
      calls.push('syncFolder')
      return systemPlatform.files.syncFolder(path)
    },
  }
  await write({ ...systemPlatform, files })
  expect(calls).toEqual(['sync', 'rename', 'syncFolder'])
})

test('a file that is no database is named, and the old copy stays', async () => {
  await fs.writeFile(imagePath, 'not a database, but long enough to look at'.repeat(20))
  await fs.writeFile(outPath, 'old')
  await expect(write()).rejects.toMatchObject({ code: 'DATABASE_UNREADABLE' })
  expect(await fs.readFile(outPath, 'utf8')).toBe('old')
})

test('200 000 rows: bounded memory, and the event loop goes round meanwhile', {
  timeout: 120_000,
}, async () => {
  makeImage(`CREATE TABLE a (id INTEGER PRIMARY KEY, b TEXT, c REAL); INSERT INTO a
    WITH RECURSIVE c (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c LIMIT 200000)
    SELECT n, 'Föräldramöte i aulan, ta med fika ' || n, n / 8.0 FROM c`)
  const start = process.memoryUsage().rss
  let largest = start
  let turns = 0
  const timer = setInterval(() => {
    turns += 1
    largest = Math.max(largest, process.memoryUsage().rss)
  }, 1)
  const { rows, sizeBytes } = await writeJsonCopy({ imagePath, outPath, stamp, platform: systemPlatform })
  clearInterval(timer)
  expect(rows).toBe(200_000)
  expect(turns).toBeGreaterThan(20)
  expect(largest - start).toBeLessThan(100 * 1024 * 1024)
  expect(sizeBytes).toBeGreaterThan(20_000_000)
  const parsed = JSON.parse(await fs.readFile(outPath, 'utf8'))
  expect(parsed.a).toHaveLength(200_000)
  expect(parsed.a[199_999]).toEqual({ id: 200_000, b: 'Föräldramöte i aulan, ta med fika 200000', c: 25_000 })
})

test('the stamp of our own file, whatever its length', async () => {
  makeImage('CREATE TABLE a (b)')
  await write()
  expect(await readJsonStamp(outPath, systemPlatform)).toEqual({ kind: 'kvar', stamp })
  makeImage(`CREATE TABLE long (b /* ${'x'.repeat(1_500_000)} */)`)
  await write()
  expect(await readJsonStamp(outPath, systemPlatform)).toEqual({ kind: 'kvar', stamp })
  await fs.writeFile(outPath, JSON.stringify(JSON.parse(await fs.readFile(outPath, 'utf8'))))
  expect(await readJsonStamp(outPath, systemPlatform)).toEqual({ kind: 'kvar', stamp })
})

test('our own file cut short is no copy, although its stamp can still be read', async () => {
  makeImage('CREATE TABLE a (b)')
  const { text } = await write()
  await fs.writeFile(outPath, text.slice(0, -4))
  expect(await readJsonStamp(outPath, systemPlatform)).toMatchObject({
    kind: 'unreadable',
    reason: expect.stringMatching(/the file ends/),
  })
})

test('the stamp of other files: none, the seed’s, damaged ones', async () => {
  const stampOf = async (text: string) => {
    await fs.writeFile(outPath, text)
    return readJsonStamp(outPath, systemPlatform)
  }
  expect(await readJsonStamp(outPath, systemPlatform)).toBeUndefined()
  const seed = '{ "backup_time": "2025-10-13T19:35:10.536077", "events": [] }'
  expect(await stampOf(seed)).toEqual({
    kind: 'seed',
    timeMs: new Date(2025, 9, 13, 19, 35, 10, 536).getTime(),
  })
  const withoutTime = await stampOf('{ "events": [] }')
  expect(withoutTime).toEqual({ kind: 'seed', timeMs: systemPlatform.files.statSync(outPath)?.modifiedAtMs })
  for (const damaged of ['', '{', '[]', 'null', '{"events": {}}', '{"kvar": {}}', seed.slice(0, -3)]) {
    expect(await stampOf(damaged), damaged).toMatchObject({
      kind: 'unreadable',
      reason: expect.stringMatching(/app\.db\.json/),
    })
  }
  await fs.rm(outPath)
  await fs.mkdir(outPath)
  expect(await readJsonStamp(outPath, systemPlatform)).toMatchObject({
    kind: 'unreadable',
    reason: expect.stringMatching(/is a folder/),
  })
})

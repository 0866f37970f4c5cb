/**
 * Goal: a database loaded from its JSON copy is the same database, whatever its tables and values.
 * Method: random schemas (names of all kinds, every affinity, STRICT, WITHOUT ROWID, AUTOINCREMENT,
 * generated columns, gaps in the rowids, the three encodings) filled with random values are written,
 * loaded and written again. Both files must be equal byte for byte, and both databases value by value.
 */
import * as fs from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { foldName, sqlName } from '../formats/json-infer.ts'
import { openSqlite } from '../platform/sqlite.ts'
import { systemPlatform as platform } from '../platform/system.ts'
import { readTables } from './image-tables.ts'
import { writeJsonCopy } from './json-copy.ts'
import { loadJsonCopy } from './json-load.ts'

let folder: string
beforeAll(async () => {
  folder = await fs.mkdtemp(join(tmpdir(), 'kvar-round-trip-'))
})
afterAll(() => fs.rm(folder, { recursive: true }))

const stamp = { lineage: '00c0ffee00c0ffee', version: 3, timeMs: Date.UTC(2026, 10, 23) }

type Value = null | bigint | number | string | Uint8Array | { text: Uint8Array }
interface Column {
  name: string
  type: string
}
interface Table {
  name: string
  columns: Column[]
  form: 'plain' | 'integerKey' | 'autoincrement' | 'textKey' | 'withoutRowid' | 'strict'
  isGenerated: boolean
  rows: Value[][]
  /** Rows whose rowid is divisible by this are deleted, to leave gaps. */
  gap: number
}
interface Scene {
  encoding: string
  journalMode: string
  pageSize: number
  tables: Table[]
}

const awkwardNames = [
  '__proto__',
  'constructor',
  'kvar',
  'backup_time',
  'select',
  'a"b',
  "it's",
  'åäö 🎹',
  'Å',
  'å',
  'ÅÄÖ 🎹',
  '1',
  '[x]',
  ' ',
  'rowid',
  '_rowid_',
  'oid',
  '$blob',
  'new\nline',
  '',
]
const anyName = fc.oneof(
  fc.constantFrom(...awkwardNames),
  fc.string({ unit: 'grapheme', minLength: 1, maxLength: 6 }),
)
const name = anyName.filter((text) => !text.includes('\0') && text.isWellFormed() && !/^sqlite_/i.test(text))

const value: fc.Arbitrary<Value> = fc.oneof(
  fc.constant(null),
  fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
  fc.constantFrom(0n, -1n, 2n ** 53n, 2n ** 53n + 1n, 2n ** 63n - 1n, -(2n ** 63n)),
  fc.double({ noNaN: true }),
  fc.constantFrom(-0, 0, 1, 1e21, 5e-324, 2 ** 53, 2 ** 63, Infinity, -Infinity),
  fc.string({ unit: 'binary', maxLength: 12 }),
  fc.constantFrom(
    '',
    '12',
    '1.0',
    '\0',
    'a\0b',
    '\uFFFD',
    '\uFEFFa',
    '\uFFFE\uFFFF',
    '{"$blob":"YQ=="}',
    'Räksmörgås 🦐',
    '\u2028',
  ),
  fc.uint8Array({ maxLength: 12 }),
  fc.uint8Array({ maxLength: 8 }).map((text) => ({ text })),
)

const table: fc.Arbitrary<Table> = fc
  .record({
    name,
    columns: fc.uniqueArray(
      fc.record({ name, type: fc.constantFrom('', 'INTEGER', 'TEXT', 'REAL', 'BLOB', 'NUMERIC', 'BOOLEAN') }),
      { minLength: 1, maxLength: 5, selector: (column) => foldName(column.name) },
    ),
    form: fc.constantFrom<Table['form']>(
      'plain',
      'integerKey',
      'autoincrement',
      'textKey',
      'withoutRowid',
      'strict',
    ),
    isGenerated: fc.boolean(),
    gap: fc.integer({ min: 2, max: 40 }),
  })
  .chain((shape) =>
    fc
      .array(fc.tuple(...shape.columns.map(() => value)), { maxLength: 12 })
      .map((rows) => ({ ...shape, rows: rows as Value[][] })),
  )

const scene: fc.Arbitrary<Scene> = fc.record({
  encoding: fc.constantFrom('UTF-8', 'UTF-8', 'UTF-8', 'UTF-16le', 'UTF-16be'),
  journalMode: fc.constantFrom('DELETE', 'WAL'),
  pageSize: fc.constantFrom(512, 4096, 65536),
  tables: fc.uniqueArray(table, { maxLength: 4, selector: ({ name }) => foldName(name) }),
})

function createSql(shape: Table): string {
  const columns = shape.columns.map((column, index) => columnSql(shape, column, index))
  if (shape.isGenerated && !shape.columns.some((column) => foldName(column.name) === 'made')) {
    const kind = shape.rows.length % 2 === 0 ? 'STORED' : 'VIRTUAL'
    columns.push(`made TEXT AS (typeof(${sqlName(shape.columns[0]?.name ?? '')}) || 'é') ${kind}`)
  }
  const suffix = shape.form === 'withoutRowid' ? ' WITHOUT ROWID' : shape.form === 'strict' ? ' STRICT' : ''
  return `CREATE TABLE ${sqlName(shape.name)} (${columns.join(', ')})${suffix}`
}

function columnSql({ form }: Table, { name, type }: Column, index: number): string {
  const isKey = index === 0
  if (isKey && form === 'integerKey') return `${sqlName(name)} INTEGER PRIMARY KEY`
  if (isKey && form === 'autoincrement') return `${sqlName(name)} INTEGER PRIMARY KEY AUTOINCREMENT`
  if (isKey && form === 'textKey') return `${sqlName(name)} ${type} COLLATE NOCASE PRIMARY KEY`
  if (isKey && form === 'withoutRowid')
    return `${sqlName(name)} ${type} COLLATE NOCASE PRIMARY KEY DESC NOT NULL`
  if (form === 'strict')
    return `${sqlName(name)} ${type === 'NUMERIC' || type === 'BOOLEAN' || type === '' ? 'ANY' : type}`
  return `${sqlName(name)} ${type}`
}

function makeDatabase(path: string, { encoding, journalMode, pageSize, tables }: Scene): void {
  const database = openSqlite(path, { mode: 'create' })
  database.exec(
    `PRAGMA page_size = ${pageSize}; PRAGMA encoding = '${encoding}'; PRAGMA journal_mode = ${journalMode}`,
  )
  database.exec('PRAGMA user_version = -7; PRAGMA application_id = 77; PRAGMA synchronous = OFF; BEGIN')
  for (const shape of tables) {
    database.exec(createSql(shape))
    for (const row of shape.rows) insertRow(database, shape, row)
  }
  for (const shape of readTables(database).tables) {
    const rowid = shape.rowidColumn ?? shape.hiddenRowid
    const gap = tables.find(({ name }) => name === shape.name)?.gap ?? 2
    if (rowid !== undefined)
      database.exec(`DELETE FROM ${sqlName(shape.name)} WHERE ${sqlName(rowid)} % ${gap} = 0`)
  }
  addTheRest(database, tables)
  database.exec('COMMIT')
  database.close()
}

function insertRow(database: ReturnType<typeof openSqlite>, shape: Table, row: Value[]): void {
  const isRaw = (value: Value | undefined) => typeof value === 'object' && value !== null && 'text' in value
  const names = shape.columns.map(({ name }) => sqlName(name)).join(', ')
  const marks = row.map((value) => (isRaw(value) ? 'CAST(? AS TEXT)' : '?')).join(', ')
  const bindings = row.map((value) => (isRaw(value) ? (value as { text: Uint8Array }).text : value))
  // After the largest id there is no next one: SQLite then rolls the whole transaction back.
  if (shape.form === 'autoincrement' && row[0] === null) return
  try {
    database
      .prepare(`INSERT OR IGNORE INTO ${sqlName(shape.name)} (${names}) VALUES (${marks})`)
      .run(...(bindings as string[]))
  } catch (thrown) {
    // OR IGNORE does not cover what a STRICT table or an integer key refuses: such rows stay out.
    if (!/datatype mismatch|cannot store/.test((thrown as Error).message)) throw thrown
  }
}

/** An index, a view and a trigger that would empty the table if it fired. */
function addTheRest(database: ReturnType<typeof openSqlite>, tables: Table[]): void {
  for (const [index, { name, columns }] of tables.entries()) {
    const column = sqlName(columns[0]?.name ?? '')
    database.exec(`CREATE INDEX "kvar index ${index}" ON ${sqlName(name)} (${column} DESC)`)
    database.exec(`CREATE VIEW "kvar view ${index}" AS SELECT * FROM ${sqlName(name)}`)
    const trigger = `"kvar trigger ${index}" AFTER INSERT ON ${sqlName(name)}`
    database.exec(`CREATE TRIGGER ${trigger} BEGIN DELETE FROM ${sqlName(name)}; END`)
  }
}

/** Everything in the tables, by typeof and exact value, hidden rowids included. */
function contentOf(path: string): unknown {
  const database = openSqlite(path, { mode: 'readOnly' })
  try {
    return readTables(database).tables.map((shape) => {
      const rowid = shape.hiddenRowid === undefined ? [] : [shape.hiddenRowid]
      const names = [...shape.columns.map(({ name }) => name), ...rowid].map(sqlName)
      const columns = names.flatMap((name) => [
        `typeof(${name})`,
        `CASE WHEN typeof(${name}) IN ('text', 'blob') THEN hex(${name}) ELSE ${name} END`,
      ])
      const rows = database.prepare(
        `SELECT ${columns.join(', ')} FROM ${sqlName(shape.name)} NOT INDEXED ORDER BY ${shape.order.join(', ') || '1'}`,
      )
      rows.setReadBigInts(true)
      rows.setReturnArrays(true)
      return [shape, rows.all()]
    })
  } finally {
    database.close()
  }
}

async function freshPaths(): Promise<(name: string) => string> {
  const fresh = await fs.mkdtemp(join(folder, 'run-'))
  return (name) => join(fresh, name)
}

const runs = Number(process.env.KVAR_FC_RUNS ?? 100)

test('write, load, write: the same file and the same content', { timeout: 120_000 }, async () => {
  await fc.assert(
    fc.asyncProperty(scene, async (drawn) => {
      const path = await freshPaths()
      makeDatabase(path('first.db'), drawn)
      await writeJsonCopy({ imagePath: path('first.db'), outPath: path('first.json'), stamp, platform })
      const loaded = await loadJsonCopy({
        jsonPath: path('first.json'),
        databasePath: path('second.db'),
        platform,
      })
      await writeJsonCopy({ imagePath: path('second.db'), outPath: path('second.json'), stamp, platform })
      expect(loaded.stamp).toEqual(stamp)
      expect(await fs.readFile(path('second.json'), 'utf8')).toBe(
        await fs.readFile(path('first.json'), 'utf8'),
      )
      expect(contentOf(path('second.db'))).toEqual(contentOf(path('first.db')))
    }),
    { numRuns: runs },
  )
})

test('the file is JSON that any parser reads', { timeout: 60_000 }, async () => {
  await fc.assert(
    fc.asyncProperty(scene, async (drawn) => {
      const path = await freshPaths()
      makeDatabase(path('app.db'), drawn)
      await writeJsonCopy({ imagePath: path('app.db'), outPath: path('app.json'), stamp, platform })
      const parsed = JSON.parse(await fs.readFile(path('app.json'), 'utf8'))
      expect(Object.keys(parsed)[Object.keys(parsed).length - 1]).toBe('kvar')
    }),
    { numRuns: Math.ceil(runs / 5) },
  )
})

test.each(['UTF-16le', 'UTF-16be'])(
  '%s: characters that SQLite itself would replace come back',
  async (encoding) => {
    const path = await freshPaths()
    const database = openSqlite(path('first.db'), { mode: 'create' })
    // U+FFFE, U+FFFF, a lone surrogate; the bytes mean other characters in the other byte order.
    const texts = ['feffffff', 'fffeffff', '00d86100', 'd8000061', '6100', '0061']
    const rows = texts.map((hex) => `(CAST(x'${hex}' AS TEXT))`).join(', ')
    database.exec(`PRAGMA encoding = '${encoding}'; CREATE TABLE a (b); INSERT INTO a VALUES ${rows}`)
    database.close()
    await writeJsonCopy({ imagePath: path('first.db'), outPath: path('a.json'), stamp, platform })
    await loadJsonCopy({ jsonPath: path('a.json'), databasePath: path('second.db'), platform })
    expect(contentOf(path('second.db'))).toEqual(contentOf(path('first.db')))
  },
)

test('names that only a person takes for the same are two tables and two columns', async () => {
  const path = await freshPaths()
  const database = openSqlite(path('first.db'), { mode: 'create' })
  database.exec(
    'CREATE TABLE "Å" ("ö", "Ö"); CREATE TABLE "å" ("ö"); INSERT INTO "Å" VALUES (1, 2); INSERT INTO "å" VALUES (3)',
  )
  database.close()
  await writeJsonCopy({ imagePath: path('first.db'), outPath: path('a.json'), stamp, platform })
  await loadJsonCopy({ jsonPath: path('a.json'), databasePath: path('second.db'), platform })
  expect(contentOf(path('second.db'))).toEqual(contentOf(path('first.db')))
})

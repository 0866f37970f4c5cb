import { TextDecoder } from 'node:util'
import { foldName, sqlName } from '../formats/json-infer.ts'
import { RawText, type SqlValue } from '../formats/json-values.ts'
import type { DatabaseSync } from '../platform/sqlite.ts'

/** An ordinary table of a database, as the copies read and fill it. */
export interface TableShape {
  name: string
  columns: ColumnShape[]
  /** The column that is another name of the rowid (INTEGER PRIMARY KEY). */
  rowidColumn: string | undefined
  /** A name by which SQL reaches a rowid that no column holds; undefined where there is none. */
  hiddenRowid: string | undefined
  /** ORDER BY terms that put the rows in the order in which the table stores them. */
  order: string[]
}

export interface ColumnShape {
  name: string
  /** Computed by SQLite from other columns: never written, never loaded. */
  isGenerated: boolean
}

/** Ordinary tables in order of creation; virtual and shadow tables are named in `skipped`. */
export function readTables(database: DatabaseSync): { tables: TableShape[]; skipped: string[] } {
  const tables: TableShape[] = []
  const skipped: string[] = []
  for (const { name, type, wr } of all<TableRow>(database, TABLE_LIST)) {
    if (type === 'table') tables.push(readTable(database, name, wr === 1))
    else skipped.push(`${name}: ${type} table`)
  }
  return { tables, skipped }
}

/**
 * The rows of a table, lazily. Text comes as strings as long as that is exact: node:sqlite replaces
 * bytes that are no UTF-8 by U+FFFD, so from the first row that holds this character on (and in
 * UTF-16 databases from the start) text is read as its bytes instead.
 *
 * @param encoding the database's, as `PRAGMA encoding` says it
 */
export function* readRows(
  database: DatabaseSync,
  table: TableShape,
  encoding: string,
): Generator<SqlValue[]> {
  const names = storedColumns(table).map(({ name }) => sqlName(name))
  let done = 0
  if (encoding === 'UTF-8') {
    for (const row of iterate<SqlValue[]>(database, `SELECT ${names.join(', ')} ${source(table)}`)) {
      if (row.some(mayBeReplaced)) break
      yield row
      done += 1
    }
  }
  const columns = names.map((name) => `CASE typeof(${name}) WHEN 'text' THEN hex(${name}) ELSE ${name} END`)
  const decoder = new TextDecoder(encoding.toLowerCase(), { fatal: true, ignoreBOM: true })
  const rest = `SELECT ${columns.join(', ')} ${source(table)} LIMIT -1 OFFSET ${done}`
  for (const row of iterate<SqlValue[]>(database, rest)) yield row.map((value) => fromHex(value, decoder))
}

/** The hidden rowids of a table in the order of its rows. */
export function* readRowids(database: DatabaseSync, table: TableShape): Generator<bigint> {
  const sql = `SELECT ${sqlName(table.hiddenRowid as string)} ${source(table)}`
  for (const [rowid] of iterate<[bigint]>(database, sql)) yield rowid
}

/** Whether loading the rows in order gives them other rowids than they have: then these must be kept. */
export function hasOddRowids(database: DatabaseSync, table: TableShape): boolean {
  if (table.hiddenRowid === undefined) return false
  const rowid = sqlName(table.hiddenRowid)
  const sql = `SELECT count(*) AS count, min(${rowid}) AS first, max(${rowid}) AS last FROM ${sqlName(table.name)}`
  const { count, first, last } =
    all<{ count: number; first: bigint; last: bigint }>(database, sql, true)[0] ?? {}
  return count !== undefined && Number(count) > 0 && (first !== 1n || last !== BigInt(count))
}

/** The columns that hold content of their own. */
export function storedColumns(table: TableShape): ColumnShape[] {
  return table.columns.filter((column) => !column.isGenerated)
}

/** All rows of a small result, as objects. */
export function all<T>(database: DatabaseSync, sql: string, asBigInts = false): T[] {
  const statement = database.prepare(sql)
  statement.setReadBigInts(asBigInts)
  return statement.all() as T[]
}

function* iterate<T>(database: DatabaseSync, sql: string): Generator<T> {
  const statement = database.prepare(sql)
  statement.setReadBigInts(true)
  statement.setReturnArrays(true)
  yield* statement.iterate() as unknown as Iterable<T>
}

/** NOT INDEXED: a covering index would give the rows in its own order. */
function source(table: TableShape): string {
  const order = table.order.length === 0 ? '' : ` ORDER BY ${table.order.join(', ')}`
  return `FROM ${sqlName(table.name)} NOT INDEXED${order}`
}

function mayBeReplaced(value: SqlValue): boolean {
  return typeof value === 'string' && value.includes('\uFFFD')
}

function fromHex(value: SqlValue, decoder: TextDecoder): SqlValue {
  if (typeof value !== 'string') return value
  const bytes = Buffer.from(value, 'hex')
  try {
    return decoder.decode(bytes)
  } catch {
    return new RawText(bytes)
  }
}

function readTable(database: DatabaseSync, name: string, isWithoutRowid: boolean): TableShape {
  const info = all<ColumnRow>(database, `PRAGMA table_xinfo(${sqlName(name)})`)
  const columns = info.map((column) => ({ name: column.name, isGenerated: column.hidden > 1 }))
  const key = readKey(database, name)
  if (isWithoutRowid) {
    return { name, columns, rowidColumn: undefined, hiddenRowid: undefined, order: key.map(orderTerm) }
  }
  // Only an INTEGER PRIMARY KEY has no index of its own: it is the rowid (sqlite.org/rowidtable.html).
  const rowidColumn = key.length === 0 ? info.find((column) => column.pk === 1)?.name : undefined
  const taken = new Set(columns.map((column) => foldName(column.name)))
  const free = ['rowid', '_rowid_', 'oid'].find((alias) => !taken.has(alias))
  const order = rowidColumn ?? free
  return {
    name,
    columns,
    rowidColumn,
    hiddenRowid: rowidColumn === undefined ? free : undefined,
    order: order === undefined ? [] : [sqlName(order)],
  }
}

function readKey(database: DatabaseSync, table: string): KeyRow[] {
  const indexes = all<{ name: string; origin: string }>(database, `PRAGMA index_list(${sqlName(table)})`)
  const key = indexes.find(({ origin }) => origin === 'pk')
  if (key === undefined) return []
  return all<KeyRow>(database, `PRAGMA index_xinfo(${sqlName(key.name)})`).filter(
    (column) => column.key === 1,
  )
}

function orderTerm({ name, coll, desc }: KeyRow): string {
  return `${sqlName(name)} COLLATE ${sqlName(coll)}${desc === 1 ? ' DESC' : ''}`
}

interface TableRow {
  name: string
  type: string
  wr: number
}

interface ColumnRow {
  name: string
  pk: number
  /** 1: hidden in a virtual table, 2 and 3: generated (virtual, stored). */
  hidden: number
}

interface KeyRow {
  name: string
  coll: string
  desc: number
  key: number
}

const TABLE_LIST = `
  SELECT list.name, list.type, list.wr FROM pragma_table_list AS list
  JOIN main.sqlite_schema AS entry ON entry.type = 'table' AND entry.name = list.name
  WHERE list.schema = 'main' AND list.type IN ('table', 'virtual', 'shadow')
    AND substr(lower(list.name), 1, 7) <> 'sqlite_'
  ORDER BY entry.rowid`

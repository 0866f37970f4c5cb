import { basename, dirname, join } from 'node:path'
import { KvarError } from '../errors.ts'
import {
  backupTime,
  type CopyPragmas,
  type CopyStamp,
  encodeTrailer,
  RESERVED_KEYS,
  type RowidRun,
} from '../formats/json-copy.ts'
import { encodeValue, type SqlValue } from '../formats/json-values.ts'
import { type OpenFile, systemErrorCode } from '../platform/files.ts'
import type { Platform } from '../platform/platform.ts'
import { type DatabaseSync, openSqlite, sqliteErrorCode } from '../platform/sqlite.ts'
import {
  all,
  hasOddRowids,
  readRowids,
  readRows,
  readTables,
  storedColumns,
  type TableShape,
} from './image-tables.ts'
import { TextWriter } from './text-writer.ts'

export type { CopyStamp } from '../formats/json-copy.ts'
export { type JsonStamp, readJsonStamp } from './json-stamp.ts'

export interface JsonCopyOptions {
  /** A database file that nobody changes meanwhile: the keeper's page image, never the app's file. */
  imagePath: string
  outPath: string
  stamp: CopyStamp
  platform: Platform
}

export interface JsonCopyResult {
  sizeBytes: number
  rows: number
  /** What the copy leaves out, one sentence each: virtual tables and what belongs to them. */
  skipped: string[]
}

/**
 * Writes the JSON copy of a page image: into a temporary file beside `outPath`, forced to the disk,
 * then renamed. At every moment `outPath` is the old copy or the new one, whole. Memory stays at one
 * chunk of 256 KB and one row, whatever the size of the database.
 *
 * @throws KvarError DATABASE_UNREADABLE if the image is no valid database, TARGET_FULL and
 *   TARGET_DENIED if the file cannot be written, UNSUPPORTED for a value too large for JSON
 * @example
 * await writeJsonCopy({ imagePath: '/data/.app.db-kvar/image', outPath: '/data/app.db.json',
 *   stamp: { lineage: '00c0ffee00c0ffee', version: 8412, timeMs: clock.nowMs() }, platform })
 */
export async function writeJsonCopy(options: JsonCopyOptions): Promise<JsonCopyResult> {
  const { outPath, platform } = options
  const temporary = join(dirname(outPath), `.${basename(outPath)}.tmp`)
  try {
    const result = await writeWhole(temporary, options)
    await platform.files.rename(temporary, outPath)
    await platform.files.syncFolder(dirname(outPath))
    return result
  } catch (thrown) {
    await platform.files.remove(temporary).catch(() => undefined)
    throw explained(thrown, options)
  }
}

async function writeWhole(temporary: string, options: JsonCopyOptions): Promise<JsonCopyResult> {
  const journalMode = journalModeOf(options)
  const file = options.platform.files.openSync(temporary, 'create')
  try {
    const database = openSqlite(options.imagePath, { mode: 'immutable' })
    try {
      const result = await new JsonCopyWriter(database, file, options).write(journalMode)
      await file.sync()
      return result
    } finally {
      database.close()
    }
  } finally {
    file.closeSync()
  }
}

/** The document from top to bottom. */
class JsonCopyWriter {
  readonly #database: DatabaseSync
  readonly #stamp: CopyStamp
  readonly #writer: TextWriter
  readonly #encoding: string
  #rows = 0

  constructor(database: DatabaseSync, file: OpenFile, options: JsonCopyOptions) {
    this.#database = database
    this.#stamp = options.stamp
    this.#writer = new TextWriter(file, options.platform.clock)
    this.#encoding = pragma(database, 'encoding') as string
  }

  async write(journalMode: CopyPragmas['journal_mode']): Promise<JsonCopyResult> {
    const { tables, skipped } = readTables(this.#database)
    this.#writer.add(`{\n  "backup_time": ${JSON.stringify(backupTime(this.#stamp.timeMs))}`)
    for (const table of tables) if (!RESERVED_KEYS.has(table.name)) await this.#writeTable(table, '  ')
    await this.#writeTrailer(tables, skipped, journalMode)
    this.#writer.add('\n}\n')
    await this.#writer.flush()
    return { sizeBytes: this.#writer.sizeBytes, rows: this.#rows, skipped }
  }

  /** A member of the object that stands at `indent`; whatever stands before it ends without a comma. */
  async #writeTable(table: TableShape, indent: string, isFirst = false): Promise<void> {
    const keys = storedColumns(table).map(({ name }) => `\n${indent}    ${JSON.stringify(name)}: `)
    const rowStart = `\n${indent}  {`
    let separator = ''
    this.#writer.add(`${isFirst ? '' : ','}\n${indent}${JSON.stringify(table.name)}: [`)
    for (const row of readRows(this.#database, table, this.#encoding)) {
      this.#writer.add(`${separator}${rowStart}${members(keys, row)}\n${indent}  }`)
      separator = ','
      this.#rows += 1
      if (this.#writer.isFull) await this.#writer.flush()
    }
    this.#writer.add(separator === '' ? ']' : `\n${indent}]`)
  }

  async #writeTrailer(
    tables: TableShape[],
    skipped: string[],
    journalMode: CopyPragmas['journal_mode'],
  ): Promise<void> {
    const members = encodeTrailer({
      stamp: this.#stamp,
      schema: schemaOf(this.#database, tables),
      sequences: sequencesOf(this.#database, tables),
      pragmas: pragmasOf(this.#database, journalMode),
      skipped,
    })
    this.#writer.add(
      `,\n  "kvar": {\n    ${members.map(([key, json]) => `"${key}": ${json}`).join(',\n    ')}`,
    )
    await this.#writeRowids(tables.filter((table) => hasOddRowids(this.#database, table)))
    await this.#writeColliding(tables.filter((table) => RESERVED_KEYS.has(table.name)))
    this.#writer.add('\n  }')
  }

  async #writeRowids(tables: TableShape[]): Promise<void> {
    if (tables.length === 0) return
    this.#writer.add(',\n    "rowids": {')
    for (const [index, table] of tables.entries()) {
      this.#writer.add(`${index === 0 ? '' : ','}\n      ${JSON.stringify(table.name)}: [`)
      let separator = ''
      for (const { first, count } of runsOf(readRowids(this.#database, table))) {
        this.#writer.add(`${separator}[${first}, ${count}]`)
        separator = ', '
        if (this.#writer.isFull) await this.#writer.flush()
      }
      this.#writer.add(']')
    }
    this.#writer.add('\n    }')
  }

  async #writeColliding(tables: TableShape[]): Promise<void> {
    if (tables.length === 0) return
    this.#writer.add(',\n    "tables": {')
    for (const [index, table] of tables.entries()) await this.#writeTable(table, '      ', index === 0)
    this.#writer.add('\n    }')
  }
}

function members(keys: string[], row: SqlValue[]): string {
  let text = ''
  for (let index = 0; index < keys.length; index += 1) {
    text += `${index === 0 ? '' : ','}${keys[index]}${encodeValue(row[index] as SqlValue)}`
  }
  return text
}

function* runsOf(rowids: Iterable<bigint>): Generator<RowidRun> {
  let run: RowidRun | undefined
  for (const rowid of rowids) {
    if (run !== undefined && rowid === run.first + run.count) run.count += 1n
    else {
      if (run !== undefined) yield run
      run = { first: rowid, count: 1n }
    }
  }
  if (run !== undefined) yield run
}

/** Tables first: whatever order it was made in, a database loaded from the copy gives the same copy. */
function schemaOf(database: DatabaseSync, tables: TableShape[]): string[] {
  const copied = new Set(tables.map(({ name }) => name))
  const entries = all<{ type: string; table: string; sql: string }>(
    database,
    `SELECT type, tbl_name AS "table", sql FROM sqlite_schema WHERE sql IS NOT NULL
     ORDER BY CASE type WHEN 'table' THEN 0 WHEN 'index' THEN 1 WHEN 'view' THEN 2 ELSE 3 END, rowid`,
  )
  const isCopied = ({ type, table }: { type: string; table: string }) =>
    copied.has(table) || type === 'view' || type === 'trigger'
  return entries.filter(isCopied).map(({ sql }) => sql)
}

function sequencesOf(database: DatabaseSync, tables: TableShape[]): Map<string, bigint> {
  const hasSequences = all(database, `SELECT 1 FROM sqlite_schema WHERE name = 'sqlite_sequence'`).length > 0
  if (!hasSequences) return new Map()
  const sql = `SELECT name, seq FROM sqlite_sequence WHERE typeof(seq) = 'integer'`
  const sequences = new Map(
    all<{ name: string; seq: bigint }>(database, sql, true).map(({ name, seq }) => [name, seq]),
  )
  return new Map(
    tables.flatMap(({ name }) => {
      const sequence = sequences.get(name)
      return sequence === undefined ? [] : [[name, sequence] as const]
    }),
  )
}

function pragmasOf(database: DatabaseSync, journalMode: CopyPragmas['journal_mode']): CopyPragmas {
  return {
    user_version: Number(pragma(database, 'user_version')),
    application_id: Number(pragma(database, 'application_id')),
    encoding: String(pragma(database, 'encoding')),
    page_size: Number(pragma(database, 'page_size')),
    auto_vacuum: Number(pragma(database, 'auto_vacuum')),
    journal_mode: journalMode,
  }
}

function pragma(database: DatabaseSync, name: string): unknown {
  return Object.values(all<Record<string, unknown>>(database, `PRAGMA ${name}`)[0] ?? {})[0]
}

/** From the header (fileformat2.html §1.3.3): a connection that is immutable does not tell. */
function journalModeOf({ imagePath, platform }: JsonCopyOptions): CopyPragmas['journal_mode'] {
  const file = platform.files.openSync(imagePath, 'read')
  try {
    const version = new Uint8Array(1)
    file.readSync(version, 18)
    return version[0] === 2 ? 'wal' : 'delete'
  } finally {
    file.closeSync()
  }
}

function explained(thrown: unknown, { outPath, imagePath }: JsonCopyOptions): unknown {
  const name = basename(outPath)
  const code = systemErrorCode(thrown)
  if (code === 'ENOSPC' || code === 'EDQUOT') {
    const hint = 'make room on the disk; the older copy is still whole'
    return new KvarError('TARGET_FULL', `Cannot write "${name}": the disk is full`, { hint, cause: thrown })
  }
  if (code === 'EACCES' || code === 'EPERM' || code === 'EROFS') {
    const hint = 'give the app the right to write in that folder; the older copy is still whole'
    return new KvarError('TARGET_DENIED', `Cannot write "${name}": the folder may not be written to`, {
      hint,
      cause: thrown,
    })
  }
  if (sqliteErrorCode(thrown) === undefined) return thrown
  const sentence = `Cannot write "${name}": SQLite cannot read the database image: ${(thrown as Error).message}`
  const hint = 'the older copy is still whole; run "kvar doctor" on the database'
  return new KvarError('DATABASE_UNREADABLE', sentence, {
    hint,
    cause: thrown,
    data: { image: basename(imagePath) },
  })
}

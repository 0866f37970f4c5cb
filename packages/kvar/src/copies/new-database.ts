import { KvarError } from '../errors.ts'
import type { CopyPragmas, CopyStamp } from '../formats/json-copy.ts'
import { type ColumnSurvey, foldName, inferTable, sqlName } from '../formats/json-infer.ts'
import { JsonProblem } from '../formats/json-reader.ts'
import { type DatabaseSync, sqliteErrorCode } from '../platform/sqlite.ts'
import { all, readTables, type TableShape } from './image-tables.ts'
import type { CopySurvey } from './json-survey.ts'
import type { Cells, CopyVisitor, Place } from './json-walk.ts'
import { TableLoader } from './table-loader.ts'

/** A database on the way from a JSON copy: tables first, then rows, then all that would get in their way. */
export class NewDatabase implements CopyVisitor {
  readonly #database: DatabaseSync
  readonly #survey: CopySurvey
  readonly #schema: string | undefined
  readonly #loaders: TableLoader[] = []
  readonly #skipped: string[] = []
  /** CREATE statements that must wait until the rows are there. */
  #later: string[] = []
  #tables = new Map<string, TableShape>()
  #encoding = 'UTF-8'

  constructor(database: DatabaseSync, survey: CopySurvey, schema: string | undefined) {
    this.#database = database
    this.#survey = survey
    this.#schema = schema
  }

  /** Opens the one transaction and makes the tables. */
  begin(): void {
    const { trailer } = this.#survey
    if (trailer !== undefined) this.#prepareFile(trailer.pragmas)
    this.#database.exec('BEGIN IMMEDIATE')
    if (trailer !== undefined) this.#createFrom(trailer.schema)
    else if (this.#schema !== undefined) this.#declare(this.#schema)
    else this.#infer()
    this.#tables = new Map(readTables(this.#database).tables.map((table) => [foldName(table.name), table]))
  }

  table(name: string): void {
    const table = this.#tables.get(foldName(name))
    if (table === undefined) {
      this.#refuseUnknown(name)
      return
    }
    // A declared schema may come with rows of its own; the copy's rows are the truth.
    this.#database.exec(`DELETE FROM ${sqlName(table.name)}`)
    const rowids = this.#survey.trailer?.rowids.get(name)
    if (rowids !== undefined && table.hiddenRowid === undefined) {
      throw new JsonProblem('"kvar.rowids" names the table, but it has no rowids of its own')
    }
    this.#loaders.push(new TableLoader(this.#database, table, { encoding: this.#encoding, rowids }))
  }

  row(cells: Cells, place: Place): void {
    this.#loaders.at(-1)?.insert(cells, place)
  }

  tableEnd(): void {
    this.#loaders.at(-1)?.finish()
  }

  /** Sequences, indexes, views and triggers; the proof that all is there; the commit. */
  finish(place: Place): { tables: number; rows: number; stamp?: CopyStamp; skipped: string[] } {
    this.#setSequences()
    for (const sql of this.#later) this.#create(sql)
    this.#rebuildSearch()
    this.#setVersions()
    this.#verify(place)
    this.#database.exec('COMMIT')
    if (this.#survey.trailer?.pragmas.journal_mode === 'wal') this.#database.exec('PRAGMA journal_mode = WAL')
    const rows = this.#loaders.reduce((sum, loader) => sum + loader.rows, 0)
    const skipped = [...(this.#survey.trailer?.skipped ?? []), ...this.#skipped]
    const stamp = this.#survey.trailer?.stamp
    return { tables: this.#loaders.length, rows, skipped, ...(stamp === undefined ? {} : { stamp }) }
  }

  /** These three can be chosen only before the first page is written. */
  #prepareFile({ page_size, auto_vacuum, encoding }: CopyPragmas): void {
    this.#encoding = encoding
    this.#database.exec(`PRAGMA page_size = ${page_size}; PRAGMA auto_vacuum = ${auto_vacuum}`)
    this.#database.exec(`PRAGMA encoding = '${encoding}'`)
  }

  #setVersions(): void {
    const pragmas = this.#survey.trailer?.pragmas
    if (pragmas === undefined) return
    this.#database.exec(`PRAGMA user_version = ${pragmas.user_version}`)
    this.#database.exec(`PRAGMA application_id = ${pragmas.application_id}`)
  }

  #createFrom(schema: string[]): void {
    const isTable = (sql: string) => /^CREATE\s+TABLE\b/i.test(sql)
    for (const sql of schema.filter(isTable)) this.#create(sql)
    this.#later = schema.filter((sql) => !isTable(sql))
  }

  /** A file from elsewhere must not get SQL run that does anything but create: `prepare` takes one statement only. */
  #create(sql: string): void {
    if (!CREATE.test(sql))
      throw new JsonProblem('"kvar.schema" holds something that creates no table, index, view or trigger')
    try {
      this.#database.prepare(sql).run()
    } catch (thrown) {
      if (sqliteErrorCode(thrown) === undefined) throw thrown
      throw new JsonProblem(`SQLite does not take a statement of its schema: ${(thrown as Error).message}`)
    }
  }

  #declare(schema: string): void {
    try {
      this.#database.exec(schema)
    } catch (thrown) {
      const sentence = `The schema option is no valid SQL: ${(thrown as Error).message}`
      const hint = 'give the CREATE statements of the app, without BEGIN and COMMIT'
      throw new KvarError('SETTING_INVALID', sentence, { hint, cause: thrown })
    }
    const triggers = all<{ name: string; sql: string }>(
      this.#database,
      `SELECT name, sql FROM sqlite_schema WHERE type = 'trigger'`,
    )
    for (const { name } of triggers) this.#database.exec(`DROP TRIGGER ${sqlName(name)}`)
    this.#later = triggers.map(({ sql }) => sql)
  }

  #infer(): void {
    for (const [name, columns] of this.#survey.tables) this.#inferOne(name, columns)
  }

  #inferOne(name: string, columns: Map<string, ColumnSurvey>): void {
    const sql = inferTable(name, columns)
    if (sql === undefined) this.#skipped.push(`${name}: empty list, its columns are not known`)
    else this.#create(sql)
  }

  #refuseUnknown(name: string): void {
    if (this.#survey.trailer === undefined && this.#schema === undefined) return
    const whose = this.#survey.trailer === undefined ? 'the schema option' : '"kvar.schema"'
    throw new JsonProblem(`${whose} declares no table ${JSON.stringify(name)}`)
  }

  /** SQLite has already set each sequence to the largest id; the copy may know of larger ones, of deleted rows. */
  #setSequences(): void {
    const sequences = this.#survey.trailer?.sequences ?? new Map<string, bigint>()
    for (const [name, sequence] of sequences) {
      if (!this.#hasSequences()) throw new JsonProblem('"kvar.sequences" names tables without AUTOINCREMENT')
      const present = this.#database.prepare('SELECT max(seq) AS seq FROM sqlite_sequence WHERE name = ?')
      present.setReadBigInts(true)
      const largest = (present.get(name) as { seq: bigint | null }).seq
      this.#database.prepare('DELETE FROM sqlite_sequence WHERE name = ?').run(name)
      const insert = this.#database.prepare('INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)')
      insert.run(name, largest !== null && largest > sequence ? largest : sequence)
    }
  }

  #hasSequences(): boolean {
    return all(this.#database, `SELECT 1 FROM sqlite_schema WHERE name = 'sqlite_sequence'`).length > 0
  }

  /** A search index over a declared table is filled by triggers, which did not fire. */
  #rebuildSearch(): void {
    const indexes = all<{ name: string }>(
      this.#database,
      `SELECT name FROM sqlite_schema WHERE type = 'table' AND rootpage = 0 AND sql LIKE '%using fts%'`,
    )
    for (const { name } of indexes) {
      try {
        this.#database.exec(`INSERT INTO ${sqlName(name)} (${sqlName(name)}) VALUES ('rebuild')`)
      } catch {
        this.#skipped.push(`${name}: search index without content of its own, cannot be rebuilt`)
      }
    }
  }

  #verify(place: Place): void {
    for (const { name, rows } of this.#loaders) {
      const [found] = all<{ count: number }>(this.#database, `SELECT count(*) AS count FROM ${sqlName(name)}`)
      if (found?.count === rows) continue
      place.table = name
      throw new JsonProblem(`${rows} rows were loaded, but ${found?.count} are there`)
    }
    const [check] = all<{ integrity_check: string }>(this.#database, 'PRAGMA integrity_check(1)')
    if (check?.integrity_check !== 'ok') {
      throw new JsonProblem(`the loaded database is not sound: ${check?.integrity_check}`)
    }
  }
}

const CREATE = /^CREATE\s+(?:TABLE|(?:UNIQUE\s+)?INDEX|VIEW|TRIGGER)\b/i

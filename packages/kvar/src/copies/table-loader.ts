import type { RowidRun } from '../formats/json-copy.ts'
import { foldName, sqlName } from '../formats/json-infer.ts'
import { JsonProblem, quoted } from '../formats/json-reader.ts'
import { decodeValue, RawText, type SqlValue } from '../formats/json-values.ts'
import { type DatabaseSync, type StatementSync, sqliteErrorCode } from '../platform/sqlite.ts'
import type { TableShape } from './image-tables.ts'
import type { Cells, Place } from './json-walk.ts'

/** Puts the rows of one table of a JSON copy into a database, each value as it was. */
export class TableLoader {
  readonly #database: DatabaseSync
  readonly #table: TableShape
  readonly #encoding: string
  readonly #rowids: Iterator<bigint> | undefined
  readonly #shapes = new Map<string, RowShape>()
  #rows = 0

  /**
   * @param options.rowids what `kvar.rowids` says of this table
   * @param options.encoding of the database that is filled
   */
  constructor(
    database: DatabaseSync,
    table: TableShape,
    options: { encoding: string; rowids: RowidRun[] | undefined },
  ) {
    this.#database = database
    this.#table = table
    this.#encoding = options.encoding
    this.#rowids = options.rowids === undefined ? undefined : eachRowid(options.rowids)
  }

  get name(): string {
    return this.#table.name
  }

  get rows(): number {
    return this.#rows
  }

  /** @throws JsonProblem; `place` then names the column where it is known */
  insert({ names, values }: Cells, place: Place): void {
    const shape = this.#shapeOf(names, place)
    const bindings: SqlBinding[] = []
    let casts = ''
    for (const index of shape.loaded) {
      place.column = names[index]
      const binding = this.#bindingOf(decodeValue(values[index] as never))
      casts += binding instanceof RawText ? 'T' : '-'
      bindings.push(binding instanceof RawText ? binding.bytes : binding)
    }
    place.column = undefined
    if (this.#rowids !== undefined) bindings.push(this.#nextRowid(this.#rowids))
    this.#run(this.#statementOf(shape, casts), bindings, place)
    this.#rows += 1
  }

  /** Rowids that are left over mean that rows were taken out of the file by hand. */
  finish(): void {
    if (this.#rowids !== undefined && this.#rowids.next().done !== true) throw this.#rowidsDiffer()
  }

  #run(statement: StatementSync, bindings: SqlBinding[], place: Place): void {
    try {
      statement.run(...bindings)
    } catch (thrown) {
      if (!CONTENT_ERRORS.has(sqliteErrorCode(thrown))) throw thrown
      const { message } = thrown as Error
      place.column = this.#columnIn(message)
      throw new JsonProblem(message.startsWith('cannot') ? `SQLite ${message}` : `SQLite says: ${message}`)
    }
  }

  /** SQLite names the column at the end of its sentence, except where the rowid is no integer. */
  #columnIn(message: string): string | undefined {
    if (message === 'datatype mismatch') return this.#table.rowidColumn
    return this.#table.columns.find(({ name }) => message.endsWith(`${this.#table.name}.${name}`))?.name
  }

  #bindingOf(value: SqlValue): SqlBinding | RawText {
    if (typeof value !== 'string' || this.#encoding === 'UTF-8') return value
    // SQLite turns U+FFFE and U+FFFF into U+FFFD when it converts UTF-8 to UTF-16 itself.
    const bytes = Buffer.from(value, 'utf16le')
    return new RawText(this.#encoding === 'UTF-16be' ? bytes.swap16() : bytes)
  }

  #nextRowid(rowids: Iterator<bigint>): bigint {
    const next = rowids.next()
    if (next.done === true) throw this.#rowidsDiffer()
    return next.value
  }

  #rowidsDiffer(): JsonProblem {
    return new JsonProblem(
      `"kvar.rowids" counts other rows than the table has; take ${quoted(this.name)} out of it`,
    )
  }

  /** Rows of one table nearly always have the same keys: what they mean is worked out once. */
  #shapeOf(names: string[], place: Place): RowShape {
    const id = names.join('\0')
    let shape = this.#shapes.get(id)
    if (shape === undefined) {
      if (this.#shapes.size >= MAX_SHAPES) this.#shapes.clear()
      shape = this.#newShape(names, place)
      this.#shapes.set(id, shape)
    }
    return shape
  }

  #newShape(names: string[], place: Place): RowShape {
    const loaded: number[] = []
    const columns: string[] = []
    for (const [index, name] of names.entries()) {
      place.column = name
      const column = this.#columnOf(name)
      if (columns.includes(column.name)) throw new JsonProblem('the column stands twice in the row')
      columns.push(column.name)
      if (!column.isGenerated) loaded.push(index)
    }
    place.column = undefined
    if (loaded.length === 0) throw new JsonProblem('the row is empty')
    return { loaded, columns: loaded.map((index) => columns[index] as string), statements: new Map() }
  }

  #columnOf(name: string): TableShape['columns'][number] {
    const { columns } = this.#table
    const exact = columns.find((column) => column.name === name)
    const column = exact ?? columns.find((other) => foldName(other.name) === foldName(name))
    if (column === undefined) throw new JsonProblem('the table has no such column')
    return column
  }

  #statementOf(shape: RowShape, casts: string): StatementSync {
    let statement = shape.statements.get(casts)
    if (statement === undefined) {
      if (shape.statements.size >= MAX_SHAPES) shape.statements.clear()
      statement = this.#database.prepare(this.#insertSql(shape, casts))
      shape.statements.set(casts, statement)
    }
    return statement
  }

  #insertSql(shape: RowShape, casts: string): string {
    const names = shape.columns.map(sqlName)
    const values = [...casts].map((cast) => (cast === 'T' ? 'CAST(? AS TEXT)' : '?'))
    if (this.#rowids !== undefined) {
      names.push(sqlName(this.#table.hiddenRowid as string))
      values.push('?')
    }
    return `INSERT INTO ${sqlName(this.name)} (${names.join(', ')}) VALUES (${values.join(', ')})`
  }
}

type SqlBinding = null | bigint | number | string | Uint8Array

interface RowShape {
  /** Indexes of the cells that are bound; the others belong to generated columns. */
  loaded: number[]
  columns: string[]
  /** One statement for each pattern of texts that must be bound as bytes. */
  statements: Map<string, StatementSync>
}

/** ERROR, TOOBIG, CONSTRAINT, MISMATCH: the row's fault. A full disk is not. */
const CONTENT_ERRORS: ReadonlySet<number | undefined> = new Set([1, 18, 19, 20])
const MAX_SHAPES = 64

function* eachRowid(runs: RowidRun[]): Generator<bigint> {
  for (const { first, count } of runs) {
    for (let index = 0n; index < count; index += 1n) yield first + index
  }
}

import { KvarError } from '../errors.ts'
import { foldName } from '../formats/json-infer.ts'
import {
  type JsonObject,
  type JsonProblem,
  type JsonReader,
  type JsonValue,
  quoted,
} from '../formats/json-reader.ts'

/** Gets the parts of a JSON copy in the order in which the file holds them. */
export interface CopyVisitor {
  /** A table begins; it may turn out to have no rows. */
  table(name: string): void
  row(cells: Cells, place: Place): void
  tableEnd(): void
}

/** One row: the keys and, at the same indexes, their values. Reused for the next row. */
export interface Cells {
  names: string[]
  values: JsonValue[]
}

/** Where in the file a reader is, in a person's words: for errors. */
export interface Place {
  table: string | undefined
  /** Counted from 1. */
  row: number | undefined
  column: string | undefined
}

export interface CopyFrame {
  backupTime: JsonValue | undefined
  /** The members of the `kvar` key without its tables; undefined in the seed's files. */
  kvar: JsonObject | undefined
}

/**
 * Goes through a JSON copy once, row by row, and calls `pause` about every 256 KB.
 *
 * @throws JsonProblem; `place` then tells where
 */
export async function walkCopy(
  reader: JsonReader,
  visitor: CopyVisitor,
  place: Place,
  pause: () => Promise<void>,
): Promise<CopyFrame> {
  return new CopyWalk(reader, visitor, place, pause).run()
}

class CopyWalk {
  readonly #reader: JsonReader
  readonly #visitor: CopyVisitor
  readonly #place: Place
  readonly #pause: () => Promise<void>
  readonly #tables = new Set<string>()
  #pauseAt = PAUSE_BYTES

  constructor(reader: JsonReader, visitor: CopyVisitor, place: Place, pause: () => Promise<void>) {
    this.#reader = reader
    this.#visitor = visitor
    this.#place = place
    this.#pause = pause
  }

  async run(): Promise<CopyFrame> {
    const frame: CopyFrame = { backupTime: undefined, kvar: undefined }
    this.#refuseOther('object', 'the file should hold one object')
    this.#reader.enter()
    const seen = new Set<string>()
    for (let key = this.#reader.nextKey(true); key !== undefined; key = this.#reader.nextKey(false)) {
      if (seen.has(key)) throw this.#reader.problem(`the key ${quoted(key)} stands twice`)
      seen.add(key)
      if (key === 'backup_time') frame.backupTime = this.#readBackupTime()
      else if (key === 'kvar') frame.kvar = await this.#readKvar()
      else await this.#readTable(key)
    }
    this.#reader.expectEnd()
    return frame
  }

  #readBackupTime(): string {
    this.#refuseOther('text', '"backup_time" should be a text')
    return this.#reader.readValue() as string
  }

  async #readKvar(): Promise<JsonObject> {
    this.#refuseOther('object', '"kvar" should be an object')
    const members: JsonObject = new Map()
    this.#reader.enter()
    for (let key = this.#reader.nextKey(true); key !== undefined; key = this.#reader.nextKey(false)) {
      if (members.has(key)) throw this.#reader.problem(`the key ${quoted(`kvar.${key}`)} stands twice`)
      members.set(key, null)
      if (key === 'tables') await this.#readCollidingTables()
      else members.set(key, this.#reader.readValue())
    }
    return members
  }

  async #readCollidingTables(): Promise<void> {
    this.#refuseOther('object', '"kvar.tables" should be an object')
    this.#reader.enter()
    for (let key = this.#reader.nextKey(true); key !== undefined; key = this.#reader.nextKey(false)) {
      await this.#readTable(key)
    }
  }

  async #readTable(name: string): Promise<void> {
    this.#place.table = name
    // SQLite does not tell "Events" from "events": two such lists would be poured into one table.
    if (this.#tables.has(foldName(name))) throw this.#reader.problem('the table stands twice')
    this.#tables.add(foldName(name))
    this.#refuseOther('array', 'a table should be a list of rows')
    this.#visitor.table(name)
    this.#reader.enter()
    const cells: Cells = { names: [], values: [] }
    for (let row = 1; this.#reader.nextElement(row === 1); row += 1) {
      this.#readRow(cells, row)
      if (this.#reader.offset >= this.#pauseAt) await this.#takePause()
    }
    this.#place.row = undefined
    this.#visitor.tableEnd()
    this.#place.table = undefined
  }

  #readRow(cells: Cells, row: number): void {
    this.#place.row = row
    cells.names.length = cells.values.length = 0
    this.#refuseOther('object', 'a row should be an object')
    this.#reader.enter()
    for (let key = this.#reader.nextKey(true); key !== undefined; key = this.#reader.nextKey(false)) {
      this.#place.column = key
      cells.names.push(key)
      cells.values.push(this.#reader.readValue())
    }
    this.#place.column = undefined
    this.#visitor.row(cells, this.#place)
  }

  async #takePause(): Promise<void> {
    this.#pauseAt = this.#reader.offset + PAUSE_BYTES
    await this.#pause()
  }

  #refuseOther(wanted: ReturnType<JsonReader['peekKind']>, sentence: string): void {
    const kind = this.#reader.peekKind()
    if (kind === wanted) return
    throw this.#reader.problem(kind === 'end' ? 'the file ends too early' : sentence)
  }
}

const PAUSE_BYTES = 256 * 1024

/**
 * The one error of a JSON copy that cannot be loaded: names file, table, row and column.
 *
 * @param fileName without its folder
 */
export function jsonInvalid(fileName: string, place: Place, thrown: JsonProblem): KvarError {
  const where = [
    place.table === undefined ? undefined : `table ${quoted(place.table)}`,
    place.row === undefined ? undefined : `row ${place.row}`,
    place.column === undefined ? undefined : `column ${quoted(place.column)}`,
  ].filter((part) => part !== undefined)
  const line =
    thrown.position === undefined
      ? ''
      : ` (line ${thrown.position.line}, character ${thrown.position.column})`
  const path = where.length === 0 ? '' : ` ${where.join(', ')}:`
  return new KvarError('JSON_INVALID', `Cannot load "${fileName}":${path} ${thrown.message}${line}`, {
    hint: 'mend that place in the file, or restore from the log or the .backup file; nothing was changed',
    data: { file: fileName, ...place, line: thrown.position?.line },
    cause: thrown,
  })
}

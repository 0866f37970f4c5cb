import type { SqliteConnection, SqliteOptions } from '../../packages/kvar/src/platform/sqlite.ts'
import { type Content, decode, EMPTY, encode, PAGE_BYTES } from './model-database.ts'
import { failed, type Inode, type SimDisk } from './sim-disk.ts'

/*
 * What SQLite does with such a file: commits through a rollback journal, and rolls a hot journal back
 * when the database is opened. The journal: SQLite's magic, the number of pages before, then number
 * and content of each page that is going to change.
 */

const JOURNAL_MAGIC = Uint8Array.of(0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7)
const JOURNAL_HEADER_BYTES = 12
const SQLITE_BUSY = 5
const SQLITE_CANTOPEN = 14

/** The committed content of a database; `undefined` when SQLite would call the file corrupt. */
export function readContent(disk: SimDisk, path: string): Content | undefined {
  const inode = disk.find(path)
  return inode === undefined || inode.bytes.length === 0 ? EMPTY : decode(inode.bytes)
}

/** Puts back what a transaction changed that never ended. */
export function rollBack(disk: SimDisk, path: string): void {
  const journal = disk.find(`${path}-journal`)
  const database = disk.find(path)
  if (journal === undefined) return
  if (database !== undefined && isHot(journal)) {
    const view = new DataView(journal.bytes.buffer, journal.bytes.byteOffset, journal.bytes.length)
    const step = 4 + PAGE_BYTES
    for (let offset = JOURNAL_HEADER_BYTES; offset + step <= journal.bytes.length; offset += step) {
      const page = journal.bytes.subarray(offset + 4, offset + step)
      disk.write(database, path, page, (view.getUint32(offset) - 1) * PAGE_BYTES)
    }
    disk.truncate(database, path, view.getUint32(JOURNAL_MAGIC.length) * PAGE_BYTES)
    database.sync()
  }
  disk.remove(`${path}-journal`)
}

function isHot(journal: Inode): boolean {
  return JOURNAL_MAGIC.every((byte, index) => journal.bytes[index] === byte)
}

/**
 * One transaction of an app, as the steps between which the world may look at it, or end. `write`
 * changes pages of the file; the removal of the journal is the commit.
 */
export function transaction(disk: SimDisk, path: string, next: Content) {
  let database = disk.find(path)
  const before = database?.bytes.slice() ?? new Uint8Array(0)
  const after = encode(next)
  const changed = changedPages(before, after)
  const journalPath = `${path}-journal`
  const begin = () => {
    database ??= disk.create(path)
    database.writer = 'preparing'
    const journal = disk.create(journalPath)
    disk.write(journal, journalPath, journalOf(before, changed), 0)
    journal.sync()
    disk.commitNames(folderOf(path))
  }
  const write = (pageNumber: number) => {
    const inode = database as Inode
    inode.writer = 'writing'
    const start = (pageNumber - 1) * PAGE_BYTES
    disk.write(inode, path, after.subarray(start, start + PAGE_BYTES), start)
  }
  const commit = () => {
    const inode = database as Inode
    disk.truncate(inode, path, after.length)
    inode.sync()
    disk.remove(journalPath)
    inode.writer = 'none'
  }
  const pages = changed.filter((pageNumber) => (pageNumber - 1) * PAGE_BYTES < after.length)
  return { begin, write, commit, pages, after }
}

function journalOf(before: Uint8Array, changed: number[]): Uint8Array {
  const old = changed.filter((pageNumber) => pageNumber * PAGE_BYTES <= before.length)
  const bytes = new Uint8Array(JOURNAL_HEADER_BYTES + old.length * (4 + PAGE_BYTES))
  const view = new DataView(bytes.buffer)
  bytes.set(JOURNAL_MAGIC)
  view.setUint32(JOURNAL_MAGIC.length, before.length / PAGE_BYTES)
  old.forEach((pageNumber, index) => {
    const offset = JOURNAL_HEADER_BYTES + index * (4 + PAGE_BYTES)
    view.setUint32(offset, pageNumber)
    bytes.set(before.subarray((pageNumber - 1) * PAGE_BYTES, pageNumber * PAGE_BYTES), offset + 4)
  })
  return bytes
}

/** Pages that differ, and those that a shrinking cuts off. */
function changedPages(before: Uint8Array, after: Uint8Array): number[] {
  const changed: number[] = []
  for (let start = 0; start < Math.max(before.length, after.length); start += PAGE_BYTES) {
    const [old, now] = [before.subarray(start, start + PAGE_BYTES), after.subarray(start, start + PAGE_BYTES)]
    if (Buffer.compare(old, now) !== 0) changed.push(start / PAGE_BYTES + 1)
  }
  return changed
}

/** The few statements that Kvar sends, answered from the model. */
export class ModelConnection implements SqliteConnection {
  isTransaction = false
  readonly #disk: SimDisk
  readonly #path: string
  readonly #mode: SqliteOptions['mode']

  constructor(disk: SimDisk, path: string, options: SqliteOptions) {
    if (disk.find(path) === undefined) throw sqliteError(SQLITE_CANTOPEN, 'unable to open database file')
    this.#disk = disk
    this.#path = path
    this.#mode = options.mode
  }

  exec(sql: string): void {
    if (sql === 'BEGIN') this.isTransaction = true
    else if (sql === 'COMMIT' || sql === 'ROLLBACK') this.isTransaction = false
    else throw unknown(sql)
  }

  prepare(sql: string) {
    const all = (): Array<Record<string, string | number>> => this.#answer(sql)
    return { get: () => all()[0], all }
  }

  close(): void {}

  #answer(sql: string): Array<Record<string, string | number>> {
    const content = this.#content()
    const check = content === undefined ? 'database disk image is malformed' : 'ok'
    if (sql.startsWith('PRAGMA quick_check')) return [{ quick_check: check }]
    if (sql.startsWith('PRAGMA integrity_check')) return [{ integrity_check: check }]
    if (sql.startsWith('SELECT 1 FROM sqlite_schema')) return content?.hasTable ? [{ '1': 1 }] : []
    if (/^\s*SELECT name, sql FROM sqlite_schema/.test(sql))
      return content?.hasTable ? [{ name: 'rows', sql: 'CREATE TABLE rows (id)' }] : []
    if (sql.startsWith('SELECT 1 FROM "rows"')) return content?.rows.length ? [{ '1': 1 }] : []
    throw unknown(sql)
  }

  /** Reading takes a lock, and the first reader after a crash rolls back. */
  #content(): Content | undefined {
    const writer = this.#disk.find(this.#path)?.writer
    if (this.#mode !== 'immutable') {
      if (writer === 'writing') throw sqliteError(SQLITE_BUSY, 'database is locked')
      if (writer === 'none') rollBack(this.#disk, this.#path)
    }
    return readContent(this.#disk, this.#path)
  }
}

function sqliteError(code: number, message: string): Error {
  return Object.assign(new Error(message), { errcode: code })
}

function unknown(sql: string): Error {
  return failed('EINVAL', `the simulated SQLite does not know: ${sql}`)
}

function folderOf(path: string): string {
  return path.slice(0, path.lastIndexOf('/'))
}

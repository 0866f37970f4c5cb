import { type DatabaseHeader, parseDatabaseHeader } from '../formats/database-header.ts'
import type { FileFacts, OpenFile } from '../platform/files.ts'
import type { Platform } from '../platform/platform.ts'

const HEADER_BYTES = 100

/**
 * The database file by descriptor, with the question whether the path still means the same file.
 *
 * There is one descriptor a database in this process, opened before any SQLite connection and
 * closed after the last: closing it drops every POSIX lock of the process on the file
 * (sqlite.org/howtocorrupt.html §2.2).
 */
export class DatabaseFile {
  readonly path: string
  readonly inode: bigint
  readonly #files: Platform['files']
  readonly #file: OpenFile

  constructor(path: string, platform: Platform) {
    this.path = path
    this.#files = platform.files
    this.#file = platform.files.openSync(path, 'read')
    try {
      this.inode = this.#file.factsSync().inode
    } catch (thrown) {
      this.#file.closeSync()
      throw thrown
    }
  }

  facts(): FileFacts {
    return this.#file.factsSync()
  }

  header(): DatabaseHeader | undefined {
    const bytes = new Uint8Array(HEADER_BYTES)
    return this.#file.readSync(bytes, 0) === HEADER_BYTES ? parseDatabaseHeader(bytes) : undefined
  }

  /** Fills the buffer; what lies beyond the end of the file reads as zeros, as SQLite sees it. */
  readPage(pageNumber: number, buffer: Uint8Array): void {
    const count = this.#file.readSync(buffer, (pageNumber - 1) * buffer.length)
    buffer.fill(0, count)
  }

  /** The same for neighbouring pages, as many as the buffer holds. */
  readPages(first: number, pageSize: number, buffer: Uint8Array): void {
    const count = this.#file.readSync(buffer, (first - 1) * pageSize)
    buffer.fill(0, count)
  }

  /** False when the path was deleted, renamed or replaced since it was opened. */
  stillThere(): boolean {
    return this.#files.statSync(this.path)?.inode === this.inode
  }

  close(): void {
    this.#file.closeSync()
  }
}

/** The WAL by descriptor; opened anew when the path means another file. */
export class WalFile {
  readonly #path: string
  readonly #files: Platform['files']
  #file: OpenFile | undefined
  #inode: bigint | undefined

  constructor(databasePath: string, platform: Platform) {
    this.#path = `${databasePath}-wal`
    this.#files = platform.files
  }

  /** Follows the path. Answers false when the file we read from before is no longer the WAL. */
  follow(): boolean {
    const facts = this.#files.statSync(this.#path)
    if (facts?.inode === this.#inode) return true
    const first = this.#inode === undefined
    this.close()
    if (facts !== undefined) {
      this.#file = this.#files.openSync(this.#path, 'read')
      this.#inode = this.#file.factsSync().inode
    }
    return first
  }

  /** For `scanWal`: how many bytes there were at `offset`. */
  readonly read = (buffer: Uint8Array, offset: number): number => this.#file?.readSync(buffer, offset) ?? 0

  sizeBytes(): number {
    return this.#file?.factsSync().sizeBytes ?? 0
  }

  close(): void {
    this.#file?.closeSync()
    this.#file = undefined
    this.#inode = undefined
  }
}

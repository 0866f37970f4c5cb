/*
 * The first 100 bytes of a SQLite database (sqlite.org/fileformat2.html §1.3).
 *
 *   0  16  "SQLite format 3\0"
 *  16   2  page size (1 means 65536)
 *  18   1  write version   1 rollback, 2 WAL
 *  19   1  read version    1 rollback, 2 WAL
 *  24   4  change counter
 *  28   4  size in pages, valid if 24–27 equals 92–95
 *  92   4  change counter for which the size is valid
 */

export const DATABASE_HEADER_BYTES = 100
const MAGIC = Buffer.from('SQLite format 3\0', 'latin1')
const LOCK_BYTE_OFFSET = 0x40000000

export interface DatabaseHeader {
  pageSize: number
  journalMode: 'wal' | 'rollback'
  changeCounter: number
  /** Size in pages as the header says; trust it only if `pageCountValid`. */
  pageCount: number
  /** False when a SQLite before 3.7.0 wrote last: then the size of the file decides. */
  pageCountValid: boolean
  versionValidFor: number
}

/**
 * Reads the header of a database file.
 *
 * @param bytes the beginning of the file, at least 100 bytes
 * @returns undefined if the bytes are too few or are no SQLite database
 * @example
 * parseDatabaseHeader(await readFile('app.db'))?.pageSize // 4096
 */
export function parseDatabaseHeader(bytes: Uint8Array): DatabaseHeader | undefined {
  if (bytes.length < DATABASE_HEADER_BYTES) return undefined
  if (MAGIC.compare(bytes, 0, MAGIC.length) !== 0) return undefined
  const view = new DataView(bytes.buffer, bytes.byteOffset, DATABASE_HEADER_BYTES)
  const storedPageSize = view.getUint16(16)
  const pageSize = storedPageSize === 1 ? 65536 : storedPageSize
  if (!isPageSize(pageSize)) return undefined
  const changeCounter = view.getUint32(24)
  const pageCount = view.getUint32(28)
  const versionValidFor = view.getUint32(92)
  return {
    pageSize,
    // SQLite itself goes by the read version when it decides whether to open a WAL.
    journalMode: view.getUint8(19) === 2 ? 'wal' : 'rollback',
    changeCounter,
    pageCount,
    pageCountValid: pageCount > 0 && changeCounter === versionValidFor,
    versionValidFor,
  }
}

/** Whether SQLite allows this page size: a power of two from 512 to 65536. */
export function isPageSize(value: number): boolean {
  return value >= 512 && value <= 65536 && (value & (value - 1)) === 0
}

/**
 * The page that holds the lock byte at 1 GiB. SQLite never stores anything in it, so it belongs to
 * no version, no checksum and no log.
 */
export function lockPageNumber(pageSize: number): number {
  return Math.floor(LOCK_BYTE_OFFSET / pageSize) + 1
}

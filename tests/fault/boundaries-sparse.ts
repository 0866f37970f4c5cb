import * as fs from 'node:fs'
import { DatabaseSync } from 'node:sqlite'

/*
 * A valid database beyond 1 GiB that takes next to no disk: all its pages but the first few are free
 * (sqlite.org/fileformat2.html §1.6), and free pages may be holes.
 *
 *   header  24, 92 change counter · 28 pages · 32 first trunk · 36 free pages
 *   trunk   next trunk, number of leaves, the leaves' page numbers, four bytes each
 */

const LOCK_BYTE = 1024 * 1024 * 1024
/** Pages behind the lock page. */
const BEYOND = 16

/** Makes the file with a table `t(a)` and one row; the first free pages to be used lie beyond the lock page. */
export function makeSparse(path: string, pageSize: number): void {
  const database = new DatabaseSync(path)
  database.exec(`PRAGMA page_size=${pageSize}; CREATE TABLE t(a); INSERT INTO t VALUES (randomblob(5000))`)
  const used = Number(database.prepare('PRAGMA page_count').get()?.page_count)
  database.close()
  const lockPage = LOCK_BYTE / pageSize + 1
  const pageCount = lockPage + BEYOND
  const file = fs.openSync(path, 'r+')
  try {
    fs.ftruncateSync(file, pageCount * pageSize)
    const free = writeFreePages(file, { pageSize, used, lockPage, pageCount })
    writeHeader(file, pageCount, used + 1, free)
  } finally {
    fs.closeSync(file)
  }
}

interface Shape {
  pageSize: number
  used: number
  lockPage: number
  pageCount: number
}

/** Trunks follow the used pages; the leaves beyond the lock page stand in the first one, where SQLite begins. */
function writeFreePages(file: number, { pageSize, used, lockPage, pageCount }: Shape): number {
  const perTrunk = pageSize / 4 - 8
  const total = pageCount - used - 1
  const trunks = Math.ceil(total / (perTrunk + 1))
  const leaves = [...pagesBetween(lockPage + 1, pageCount), ...pagesBetween(used + trunks + 1, lockPage - 1)]
  for (let index = 0; index < trunks; index++) {
    const part = leaves.slice(index * perTrunk, (index + 1) * perTrunk)
    const trunk = Buffer.alloc(8 + part.length * 4)
    trunk.writeUInt32BE(index + 1 < trunks ? used + index + 2 : 0, 0)
    trunk.writeUInt32BE(part.length, 4)
    for (const [at, page] of part.entries()) trunk.writeUInt32BE(page, 8 + at * 4)
    fs.writeSync(file, trunk, 0, trunk.length, (used + index) * pageSize)
  }
  return total
}

function writeHeader(file: number, pageCount: number, firstTrunk: number, free: number): void {
  const header = Buffer.alloc(100)
  fs.readSync(file, header, 0, header.length, 0)
  const counter = header.readUInt32BE(24) + 1
  header.writeUInt32BE(counter, 24)
  header.writeUInt32BE(counter, 92)
  header.writeUInt32BE(pageCount, 28)
  header.writeUInt32BE(firstTrunk, 32)
  header.writeUInt32BE(free, 36)
  fs.writeSync(file, header, 0, header.length, 0)
}

function pagesBetween(first: number, last: number): number[] {
  return Array.from({ length: Math.max(0, last - first + 1) }, (_, index) => first + index)
}

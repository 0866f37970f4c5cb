import { assert } from '../errors.ts'
import { addChecksum, subtractChecksum, sumChecksums } from '../formats/page-checksum.ts'

/**
 * The checksum of every page of one state of a database, and their sum: the database checksum.
 * It tells which pages changed, and whether a restored database is the one that was captured.
 *
 * The lock page (sqlite.org/fileformat2.html §1.5) is never used by SQLite; its entry stays 0 and
 * adds nothing to the sum.
 */
export class PageTable {
  readonly pageSize: number
  #checksums: BigUint64Array
  #pageCount = 0
  #databaseChecksum = 0n

  constructor(pageSize: number, capacityPages = 1024) {
    this.pageSize = pageSize
    this.#checksums = new BigUint64Array(capacityPages)
  }

  /** A table of given checksums; index 0 is page 1. */
  static of(pageSize: number, checksums: BigUint64Array): PageTable {
    const table = new PageTable(pageSize, Math.max(checksums.length, 1))
    table.resize(checksums.length)
    table.#checksums.set(checksums)
    table.#databaseChecksum = sumChecksums(checksums)
    return table
  }

  get pageCount(): number {
    return this.#pageCount
  }

  get databaseChecksum(): bigint {
    return this.#databaseChecksum
  }

  /** The page's checksum; 0 for a page beyond the end, which no real page has in practice. */
  get(pageNumber: number): bigint {
    return pageNumber <= this.#pageCount ? (this.#checksums[pageNumber - 1] as bigint) : 0n
  }

  set(pageNumber: number, checksum: bigint): void {
    assert(pageNumber >= 1 && pageNumber <= this.#pageCount, `page ${pageNumber} of ${this.#pageCount}`)
    const before = this.#checksums[pageNumber - 1] as bigint
    this.#databaseChecksum = addChecksum(subtractChecksum(this.#databaseChecksum, before), checksum)
    this.#checksums[pageNumber - 1] = checksum
  }

  /** Grows with empty entries, or forgets the pages beyond the new end. */
  resize(pageCount: number): void {
    for (let index = pageCount; index < this.#pageCount; index++) {
      this.#databaseChecksum = subtractChecksum(this.#databaseChecksum, this.#checksums[index] as bigint)
      this.#checksums[index] = 0n
    }
    if (pageCount > this.#checksums.length) {
      const grown = new BigUint64Array(Math.max(pageCount, this.#checksums.length * 2))
      grown.set(this.#checksums)
      this.#checksums = grown
    }
    this.#pageCount = pageCount
  }

  /** Adds all entries up again; false when the running sum was wrong (it is right afterwards). */
  recount(): boolean {
    let sum = 0n
    for (const checksum of this.entries()) sum = addChecksum(sum, checksum)
    const wasRight = sum === this.#databaseChecksum
    this.#databaseChecksum = sum
    return wasRight
  }

  copy(): PageTable {
    const copy = new PageTable(this.pageSize, Math.max(this.#pageCount, 1))
    copy.#checksums.set(this.#checksums.subarray(0, this.#pageCount))
    copy.#pageCount = this.#pageCount
    copy.#databaseChecksum = this.#databaseChecksum
    return copy
  }

  /** The entries of pages 1 … pageCount, as they lie in memory. */
  entries(): BigUint64Array {
    return this.#checksums.subarray(0, this.#pageCount)
  }
}

import { lockPageNumber } from '../formats/database-header.ts'
import { damagedLtx, type LtxHeader } from '../formats/ltx.ts'
import { nextPage } from '../formats/ltx-encoder.ts'
import type { OpenFile } from '../platform/files.ts'

/**
 * Applies version files to a database image, in order. A file with all pages (the first one, a
 * snapshot, or one with another page size) begins the image anew; any other must bring every page by
 * which the database grows, since a page dropped earlier must not come back with its old content.
 */
export class ImageWriter {
  readonly #file: OpenFile
  #name = ''
  #lockPage = 0
  /** Pages up to here are whole; the next one to be new is `#grown + 1`, the lock page left out. */
  #grown = 0
  pageSize = 0
  pageCount = 0

  constructor(file: OpenFile) {
    this.#file = file
  }

  begin(header: LtxHeader, name: string): void {
    const anew = header.minVersion === 1 || header.pageSize !== this.pageSize
    if (anew) this.#file.truncateSync(0)
    this.#name = name
    this.#grown = anew ? 0 : this.pageCount
    this.#lockPage = lockPageNumber(header.pageSize)
    this.pageSize = header.pageSize
    this.pageCount = header.pageCount
  }

  page(pageNumber: number, page: Uint8Array): void {
    this.expect(pageNumber)
    this.#file.writeSync(page, (pageNumber - 1) * this.pageSize)
  }

  /** The same for a page that somebody else writes. */
  expect(pageNumber: number): void {
    if (pageNumber > this.#grown) {
      this.#assertNext(pageNumber)
      this.#grown = pageNumber
    }
  }

  end(): void {
    this.#assertNext(this.pageCount + 1)
    this.#file.truncateSync(this.pageCount * this.pageSize)
  }

  /** Everything before `pageNumber` is there. */
  #assertNext(pageNumber: number): void {
    const next = nextPage(this.#grown, this.#lockPage)
    if (pageNumber <= next) return
    throw damagedLtx(this.#name, `the database grew by page ${next}, which the file lacks`)
  }
}

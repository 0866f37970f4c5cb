import { assert } from '../errors.ts'
import { Crc64 } from './crc64.ts'
import { lockPageNumber } from './database-header.ts'
import {
  encodeLtxHeader,
  LTX_BLOCK_SIZE_BYTES,
  LTX_CHECKSUM_FLAG,
  LTX_FRAME_HAS_SIZE,
  LTX_FRAME_HEADER_BYTES,
  LTX_HEADER_BYTES,
  LTX_TRAILER_BYTES,
  type LtxHeader,
} from './ltx.ts'
import { LtxIndexWriter } from './ltx-index.ts'
import { compressBound } from './lz4-block.ts'
import { pageCodec } from './page-codec.ts'

const PREFIX_BYTES = LTX_FRAME_HEADER_BYTES + LTX_BLOCK_SIZE_BYTES

/**
 * Writes one version file, piece by piece: `start`, then `page` in ascending order, then `finish`;
 * each returns the bytes to append. The file checksum covers the pages as they are, not as they are
 * compressed.
 *
 * @throws KvarError ASSERTION if pages come in another order, twice, beyond `pageCount`, in another
 *   size, are the lock page, or are missing from a snapshot
 * @example
 * const encoder = new LtxEncoder(header)
 * const chunks = [encoder.start(), encoder.page(1, first), encoder.page(7, seventh), encoder.finish()]
 */
export class LtxEncoder {
  readonly #header: LtxHeader
  readonly #lockPage: number
  readonly #crc = new Crc64()
  readonly #index = new LtxIndexWriter()
  readonly #frame: Uint8Array
  readonly #frameView: DataView
  #state: 'new' | 'open' | 'finished' = 'new'
  #offset = LTX_HEADER_BYTES
  #lastPage = 0

  constructor(header: LtxHeader) {
    this.#header = header
    this.#lockPage = lockPageNumber(header.pageSize)
    this.#frame = new Uint8Array(PREFIX_BYTES + compressBound(header.pageSize))
    this.#frameView = new DataView(this.#frame.buffer)
  }

  start(): Uint8Array {
    assert(this.#state === 'new', 'a version file is begun twice')
    this.#state = 'open'
    const bytes = encodeLtxHeader(this.#header)
    this.#crc.update(bytes)
    return bytes
  }

  /**
   * @param block the page as an LZ4 block, if the caller has one (compaction): saves compressing
   */
  page(pageNumber: number, page: Uint8Array, block?: Uint8Array): Uint8Array {
    this.#assertPage(pageNumber, page)
    // In the codec's own memory, so that neither compressing nor the checksum has to copy it there.
    const placed = pageCodec().pageRoom(page.length)
    placed.set(page)
    const end = this.#writeBlock(block ?? pageCodec().deflate(placed))
    this.#frameView.setUint32(0, pageNumber)
    this.#frameView.setUint16(4, LTX_FRAME_HAS_SIZE)
    this.#frameView.setUint32(LTX_FRAME_HEADER_BYTES, end - PREFIX_BYTES)
    this.#crc.update(this.#frame.subarray(0, PREFIX_BYTES)).update(placed)
    this.#index.add(pageNumber, this.#offset, end)
    this.#offset += end
    this.#lastPage = pageNumber
    return this.#frame.slice(0, end)
  }

  finish(): Uint8Array {
    assert(this.#state === 'open', 'a version file is ended that is not open')
    this.#state = 'finished'
    this.#assertComplete()
    const index = this.#index.finish()
    const tail = new Uint8Array(LTX_FRAME_HEADER_BYTES + index.length + LTX_TRAILER_BYTES)
    tail.set(index, LTX_FRAME_HEADER_BYTES)
    const checksumAt = tail.length - 8
    this.#crc.update(tail.subarray(0, checksumAt))
    new DataView(tail.buffer).setBigUint64(checksumAt, this.#crc.digest() | LTX_CHECKSUM_FLAG)
    return tail
  }

  #writeBlock(block: Uint8Array): number {
    this.#frame.set(block, PREFIX_BYTES)
    return PREFIX_BYTES + block.length
  }

  #assertPage(pageNumber: number, page: Uint8Array): void {
    const { pageSize, pageCount, minVersion } = this.#header
    assert(this.#state === 'open', 'a page is added to a version file that is not open')
    assert(Number.isInteger(pageNumber), `${pageNumber} is no page number`)
    assert(pageNumber > this.#lastPage, `page ${pageNumber} comes after page ${this.#lastPage}`)
    assert(pageNumber <= pageCount, `page ${pageNumber} lies beyond the ${pageCount} pages of the database`)
    assert(pageNumber !== this.#lockPage, `page ${pageNumber} is the lock page`)
    assert(page.length === pageSize, `page ${pageNumber} has ${page.length} bytes instead of ${pageSize}`)
    const isNext = pageNumber === nextPage(this.#lastPage, this.#lockPage)
    assert(minVersion > 1 || isNext, `the snapshot lacks pages before page ${pageNumber}`)
  }

  #assertComplete(): void {
    const { pageCount, minVersion } = this.#header
    const isComplete = nextPage(this.#lastPage, this.#lockPage) > pageCount
    assert(minVersion > 1 || isComplete, `the snapshot ends at page ${this.#lastPage} of ${pageCount}`)
  }
}

/** The page after `pageNumber` in a file without gaps. */
export function nextPage(pageNumber: number, lockPage: number): number {
  return pageNumber + 1 === lockPage ? pageNumber + 2 : pageNumber + 1
}

/** A whole version file in memory: for deltas and tests. */
export function encodeLtx(header: LtxHeader, pages: Iterable<readonly [number, Uint8Array]>): Uint8Array {
  const encoder = new LtxEncoder(header)
  const chunks = [encoder.start()]
  for (const [pageNumber, page] of pages) chunks.push(encoder.page(pageNumber, page))
  chunks.push(encoder.finish())
  return Buffer.concat(chunks)
}

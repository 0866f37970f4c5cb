import { assert } from '../errors.ts'
import { ByteFeed } from './byte-feed.ts'
import { Crc64 } from './crc64.ts'
import { lockPageNumber } from './database-header.ts'
import {
  damagedLtx,
  LTX_BLOCK_SIZE_BYTES,
  LTX_CHECKSUM_FLAG,
  LTX_FRAME_HAS_SIZE,
  LTX_FRAME_HEADER_BYTES,
  LTX_HEADER_BYTES,
  LTX_TRAILER_BYTES,
  type LtxHeader,
  parseLtxHeader,
} from './ltx.ts'
import { nextPage } from './ltx-encoder.ts'
import { LtxIndexExpectation } from './ltx-index.ts'
import { compressBound } from './lz4-block.ts'
import { type CrcRegister, pageCodec } from './page-codec.ts'

type Part = 'header' | 'frame' | 'size' | 'block' | 'endMark' | 'index' | 'indexSize' | 'trailer' | 'done'

const END_MARK = new Uint8Array(LTX_FRAME_HEADER_BYTES)

/** Where in the file each part stands, for errors. */
const PLACES: Record<Part, string> = {
  header: 'inside its header',
  frame: 'between its pages',
  size: 'inside a page',
  block: 'inside a page',
  endMark: 'after its pages',
  index: 'inside its index',
  indexSize: 'inside its index',
  trailer: 'inside its trailer',
  done: 'at its end',
}

/**
 * Reads one version file, pulled step by step: `push` a chunk, call `next` until it answers `more`,
 * push the next one, and `finish` after the last. Verifies everything there is to verify; memory is
 * one chunk and one page. Pages must not be believed before `finish` has returned.
 */
export class LtxParser {
  /** After `page`: number, content (if it is inflated here) and LZ4 block, valid until the next call of `next`. */
  pageNumber = 0
  page: Uint8Array = new Uint8Array(0)
  block: Uint8Array = new Uint8Array(0)

  readonly #name: string
  readonly #inflates: boolean
  readonly #feed = new ByteFeed()
  readonly #crc = new Crc64()
  readonly #expectedIndex = new LtxIndexExpectation()
  readonly #indexCrc = new Crc64()
  #part: Part = 'header'
  #header: LtxHeader | undefined
  #lockPage = 0
  #offset = LTX_HEADER_BYTES
  #blockBytes = 0
  #index = { lengthBytes: 0, crc: 0n }
  #indexBytesLeft = 0

  /**
   * @param name what errors call the file
   * @param pages `leave`: somebody else inflates the blocks, and hands in with `joinFrames` what they
   *   were found to be when `next` has answered `end`
   */
  constructor(name: string, pages: 'inflate' | 'leave' = 'inflate') {
    this.#name = name
    this.#inflates = pages === 'inflate'
  }

  get header(): LtxHeader {
    assert(this.#header !== undefined, 'a version file is used before its header was read')
    return this.#header
  }

  push(chunk: Uint8Array): void {
    this.#feed.push(chunk)
  }

  /** @throws KvarError DAMAGED, naming the file and what is wrong */
  next(): 'header' | 'page' | 'end' | 'more' {
    for (;;) {
      const answer = this.#step()
      if (answer !== undefined) return answer
    }
  }

  /** Takes the checksum of the next frames, in the order of the file: see the constructor. */
  joinFrames(register: CrcRegister, coveredBytes: number): void {
    this.#crc.join(register, coveredBytes)
  }

  /** @throws KvarError DAMAGED if the file is not whole */
  finish(): LtxHeader {
    if (this.#part !== 'done') throw this.#damaged(`it is cut off ${PLACES[this.#part]}`)
    return this.header
  }

  #step(): 'header' | 'page' | 'end' | 'more' | undefined {
    switch (this.#part) {
      case 'header':
        return this.#readHeader()
      case 'frame':
        return this.#readFrameHeader()
      case 'size':
        return this.#readBlockSize()
      case 'block':
        return this.#readBlock()
      case 'endMark':
        return this.#endPages()
      case 'index':
        return this.#readIndex()
      case 'indexSize':
        return this.#readIndexSize()
      case 'trailer':
        return this.#readTrailer()
      case 'done':
        if (this.#feed.available > 0) throw this.#damaged('something follows its end')
        return 'more'
    }
  }

  #readHeader(): 'header' | 'more' {
    const bytes = this.#feed.take(LTX_HEADER_BYTES)
    if (bytes === undefined) return 'more'
    this.#header = parseLtxHeader(bytes, this.#name)
    this.#crc.update(bytes)
    this.#lockPage = lockPageNumber(this.#header.pageSize)
    this.page = new Uint8Array(this.#header.pageSize)
    this.#part = 'frame'
    return 'header'
  }

  #readFrameHeader(): 'end' | 'more' | undefined {
    const bytes = this.#feed.take(LTX_FRAME_HEADER_BYTES)
    if (bytes === undefined) return 'more'
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
    const pageNumber = view.getUint32(0)
    const flags = view.getUint16(4)
    if (pageNumber === 0) {
      if (flags !== 0) throw this.#damaged('the mark after its last page has flags')
      this.#part = 'endMark'
      return this.#inflates ? undefined : 'end'
    }
    if (this.#inflates) this.#crc.update(bytes)
    this.#checkPage(pageNumber, flags)
    this.pageNumber = pageNumber
    this.#part = 'size'
    return undefined
  }

  #readBlockSize(): 'more' | undefined {
    const bytes = this.#feed.take(LTX_BLOCK_SIZE_BYTES)
    if (bytes === undefined) return 'more'
    this.#blockBytes = new DataView(bytes.buffer, bytes.byteOffset, bytes.length).getUint32(0)
    if (this.#blockBytes > compressBound(this.header.pageSize)) {
      throw this.#damaged(`page ${this.pageNumber} says it takes ${this.#blockBytes} bytes`)
    }
    if (this.#inflates) this.#crc.update(bytes)
    this.#part = 'block'
    return undefined
  }

  #readBlock(): 'page' | 'more' {
    const block = this.#feed.take(this.#blockBytes)
    if (block === undefined) return 'more'
    this.block = block
    if (this.#inflates) this.#inflate(block)
    const frameBytes = LTX_FRAME_HEADER_BYTES + LTX_BLOCK_SIZE_BYTES + block.length
    this.#expectedIndex.add(this.pageNumber, this.#offset, frameBytes)
    this.#offset += frameBytes
    this.#part = 'frame'
    return 'page'
  }

  #inflate(block: Uint8Array): void {
    try {
      const page = pageCodec().inflate(block, this.page.length)
      this.#crc.update(page)
      this.page.set(page)
    } catch (thrown) {
      const what = thrown instanceof Error ? thrown.message : String(thrown)
      throw this.#damaged(`page ${this.pageNumber} cannot be inflated (${what})`, thrown)
    }
  }

  #checkPage(pageNumber: number, flags: number): void {
    const { pageCount, minVersion } = this.header
    if (flags === 0) {
      throw this.#damaged(
        'its pages are in the frame form of Litestream before 0.5.16, which is not read here',
      )
    }
    if (flags !== LTX_FRAME_HAS_SIZE) throw this.#damaged(`page ${pageNumber} has the unknown flags ${flags}`)
    if (pageNumber <= this.pageNumber) {
      throw this.#damaged(`page ${pageNumber} comes after page ${this.pageNumber}`)
    }
    if (pageNumber > pageCount)
      throw this.#damaged(`page ${pageNumber} lies beyond the ${pageCount} pages it tells of`)
    if (pageNumber === this.#lockPage) throw this.#damaged(`it holds the lock page ${pageNumber}`)
    if (minVersion === 1 && pageNumber !== nextPage(this.pageNumber, this.#lockPage)) {
      throw this.#damaged(`it is a snapshot but lacks pages before page ${pageNumber}`)
    }
  }

  #endPages(): undefined {
    const { pageCount, minVersion } = this.header
    this.#crc.update(END_MARK)
    if (minVersion === 1 && nextPage(this.pageNumber, this.#lockPage) <= pageCount) {
      throw this.#damaged(`it is a snapshot of ${pageCount} pages but ends at page ${this.pageNumber}`)
    }
    this.#index = this.#expectedIndex.finish()
    this.#indexBytesLeft = this.#index.lengthBytes
    this.#part = 'index'
    return undefined
  }

  /** The length is known from the pages, so a lying index can neither be long nor eat memory. */
  #readIndex(): 'more' | undefined {
    const piece = this.#feed.takeSome(this.#indexBytesLeft)
    if (piece === undefined) return 'more'
    this.#crc.update(piece)
    this.#indexCrc.update(piece)
    this.#indexBytesLeft -= piece.length
    if (this.#indexBytesLeft > 0) return undefined
    if (this.#indexCrc.digest() !== this.#index.crc)
      throw this.#damaged('its index does not agree with its pages')
    this.#part = 'indexSize'
    return undefined
  }

  #readIndexSize(): 'more' | undefined {
    const bytes = this.#feed.take(8)
    if (bytes === undefined) return 'more'
    const lengthBytes = new DataView(bytes.buffer, bytes.byteOffset, 8).getBigUint64(0)
    if (lengthBytes !== BigInt(this.#index.lengthBytes)) {
      throw this.#damaged(
        `its index says it takes ${lengthBytes} bytes instead of ${this.#index.lengthBytes}`,
      )
    }
    this.#crc.update(bytes)
    this.#part = 'trailer'
    return undefined
  }

  #readTrailer(): 'more' | undefined {
    const bytes = this.#feed.take(LTX_TRAILER_BYTES)
    if (bytes === undefined) return 'more'
    const view = new DataView(bytes.buffer, bytes.byteOffset, LTX_TRAILER_BYTES)
    if (view.getBigUint64(0) !== 0n)
      throw this.#damaged('its trailer has a checksum where its flags say none')
    this.#crc.update(bytes.subarray(0, 8))
    if (view.getBigUint64(8) !== (this.#crc.digest() | LTX_CHECKSUM_FLAG)) {
      throw this.#damaged('its checksum does not match its content')
    }
    this.#part = 'done'
    return undefined
  }

  #damaged(what: string, cause?: unknown) {
    return damagedLtx(this.#name, what, cause)
  }
}

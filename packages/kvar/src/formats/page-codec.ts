import { KvarError } from '../errors.ts'
import { compressBound, decompressBlock } from './lz4-block.ts'
import { PAGE_CODEC_WASM } from './page-codec-wasm.ts'

/*
 * The door to the WebAssembly of assembly/page-codec.ts. One instance a thread, all calls synchronous.
 * Its memory, in bytes:
 *
 *       0  32768  search table of the compressor
 *   32768     16  two CRC registers
 *   32784     74k a page
 *         75k     a block: the longest a page can become
 *   …             a batch of frames and its pages, for those who asked for one
 */

const REGISTER_AT = 32768
const OTHER_REGISTER_AT = REGISTER_AT + 8
const LARGEST_PAGE = 65536
/** Room behind a block and a page, so that sixteen bytes may be written at once. */
const SLACK = 64
const PAGE_AT = OTHER_REGISTER_AT + 8
const BLOCK_AT = PAGE_AT + LARGEST_PAGE + SLACK
const BATCH_AT = BLOCK_AT + compressBound(LARGEST_PAGE) + SLACK
const WASM_PAGE = 65536

interface Exports {
  memory: { buffer: ArrayBuffer; grow(pages: number): number }
  crcUpdate(register: number, start: number, length: number): void
  crcJoin(register: number, next: number, length: number): void
  crcFrames(register: number, source: number, sourceEnd: number, pageSize: number, pages: number): void
  inflate(source: number, sourceBytes: number, target: number, size: number): number
  inflateFrames(source: number, sourceEnd: number, pageSize: number, target: number): number
  deflate(source: number, length: number, target: number): number
}

/** Node has it; the libraries TypeScript is told of do not name it. */
declare const WebAssembly: {
  Module: new (bytes: Uint8Array) => object
  Instance: new (module: object) => { exports: unknown }
}

let wasmModule: object | undefined

/** A running CRC as it lies in memory: eight bytes, the low half first. Both halves inverted. */
export type CrcRegister = Uint32Array

export class PageCodec {
  readonly #wasm: Exports
  readonly #bytes: Uint8Array
  readonly #registers: Uint32Array
  readonly #batchBytes: number

  /** @param options.batchBytes room for the frames and, again, for the pages of one `inflateFrames` */
  constructor(options: { batchBytes?: number } = {}) {
    wasmModule ??= new WebAssembly.Module(Buffer.from(PAGE_CODEC_WASM, 'base64'))
    this.#wasm = new WebAssembly.Instance(wasmModule).exports as Exports
    this.#batchBytes = options.batchBytes ?? 0
    const neededBytes = BATCH_AT + 2 * (this.#batchBytes + SLACK)
    const missing = Math.ceil((neededBytes - this.#wasm.memory.buffer.byteLength) / WASM_PAGE)
    if (missing > 0) this.#wasm.memory.grow(missing)
    this.#bytes = new Uint8Array(this.#wasm.memory.buffer)
    this.#registers = new Uint32Array(this.#wasm.memory.buffer, REGISTER_AT, 4)
  }

  /** Where a page may be put so that the calls below need not copy it; valid until one of them fills it. */
  pageRoom(size: number): Uint8Array {
    return this.#bytes.subarray(PAGE_AT, PAGE_AT + size)
  }

  /**
   * Compresses a page into one LZ4 block: the same bytes as `compressBlock`.
   *
   * @returns a view that is valid until the next call
   */
  deflate(page: Uint8Array): Uint8Array {
    const at = this.#place(page, PAGE_AT)
    return this.#bytes.subarray(BLOCK_AT, BLOCK_AT + this.#wasm.deflate(at, page.length, BLOCK_AT))
  }

  /**
   * Inflates a block to exactly `size` bytes.
   *
   * @returns a view that is valid until the next call
   * @throws KvarError DAMAGED as `decompressBlock` does
   */
  inflate(block: Uint8Array, size: number): Uint8Array {
    if (block.length > compressBound(LARGEST_PAGE) || size > LARGEST_PAGE) return decompressBlock(block, size)
    this.#bytes.set(block, BLOCK_AT)
    const done = this.#wasm.inflate(BLOCK_AT, block.length, PAGE_AT, size) !== 0
    // What is wrong with a block is said by the slower twin, which knows the words.
    if (!done) decompressBlock(block, size)
    if (!done) throw new KvarError('ASSERTION', 'Kvar contradicts itself: two LZ4 readers disagree')
    return this.#bytes.subarray(PAGE_AT, PAGE_AT + size)
  }

  /** Takes bytes into a CRC register. */
  crc(register: CrcRegister, bytes: Uint8Array): void {
    this.#load(register)
    for (let done = 0; done < bytes.length || done === 0; done += LARGEST_PAGE) {
      const piece = bytes.length > LARGEST_PAGE ? bytes.subarray(done, done + LARGEST_PAGE) : bytes
      this.#wasm.crcUpdate(REGISTER_AT, this.#place(piece, BLOCK_AT), piece.length)
    }
    this.#save(register)
  }

  /** Joins the register of the `lengthBytes` that follow, begun with `zeroRegister()`, to this one. */
  crcJoin(register: CrcRegister, next: CrcRegister, lengthBytes: number): void {
    this.#load(register)
    this.#registers.set(next, 2)
    this.#wasm.crcJoin(REGISTER_AT, OTHER_REGISTER_AT, lengthBytes)
    this.#save(register)
  }

  /**
   * Inflates a row of whole frames as they stand in a version file.
   *
   * @returns the pages one after the other, valid until the next call, and the register of the bytes
   *   that the file's checksum covers; or the index of the frame that does not inflate to a page
   */
  inflateFrames(
    frames: Uint8Array,
    pageSize: number,
    count: number,
  ): { pages: Uint8Array; register: CrcRegister } | { damagedFrame: number } {
    const pagesAt = BATCH_AT + this.#batchBytes + SLACK
    if (frames.length > this.#batchBytes || count * pageSize > this.#batchBytes)
      throw new KvarError('ASSERTION', 'Kvar contradicts itself: a batch larger than its room')
    this.#bytes.set(frames, BATCH_AT)
    const end = BATCH_AT + frames.length
    const inflated = this.#wasm.inflateFrames(BATCH_AT, end, pageSize, pagesAt)
    if (inflated !== count) return { damagedFrame: inflated < 0 ? -1 - inflated : inflated }
    const register = zeroRegister()
    this.#load(register)
    this.#wasm.crcFrames(REGISTER_AT, BATCH_AT, end, pageSize, pagesAt)
    this.#save(register)
    return { pages: this.#bytes.subarray(pagesAt, pagesAt + count * pageSize), register }
  }

  #load(register: CrcRegister): void {
    this.#registers[0] = register[0] as number
    this.#registers[1] = register[1] as number
  }

  #save(register: CrcRegister): void {
    register[0] = this.#registers[0] as number
    register[1] = this.#registers[1] as number
  }

  /** Bytes that lie in our memory already stay where they are. */
  #place(bytes: Uint8Array, at: number): number {
    if (bytes.buffer === this.#bytes.buffer) return bytes.byteOffset
    this.#bytes.set(bytes, at)
    return at
  }
}

/** The register of an empty CRC. */
export function newRegister(): CrcRegister {
  return Uint32Array.of(0xffffffff, 0xffffffff)
}

/** Of a piece that will be joined to what stands before it. */
export function zeroRegister(): CrcRegister {
  return new Uint32Array(2)
}

let shared: PageCodec | undefined

/** The instance of this thread for single pages. */
export function pageCodec(): PageCodec {
  shared ??= new PageCodec()
  return shared
}

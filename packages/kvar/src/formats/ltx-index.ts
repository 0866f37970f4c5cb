import { Crc64 } from './crc64.ts'

/*
 * The index of a version file: per page, ascending, three unsigned varints (LEB128: seven bits per
 * byte, the lowest first, the top bit says that more follow): page number, offset of its frame,
 * length of its frame; then one zero byte; then the length of all that as u64.
 */

const LONGEST_ENTRY_BYTES = 5 + 8 + 5
const CHUNK_BYTES = 16 * 1024

/**
 * Collects the index as bytes. A list of entries would need many times the memory, which is what
 * databases of millions of pages die of.
 */
export class LtxIndexWriter {
  readonly #full: Uint8Array[] = []
  #chunk = new Uint8Array(CHUNK_BYTES)
  #used = 0

  add(pageNumber: number, offset: number, length: number): void {
    if (this.#used + LONGEST_ENTRY_BYTES > CHUNK_BYTES) {
      this.#full.push(this.#chunk.subarray(0, this.#used))
      this.#chunk = new Uint8Array(CHUNK_BYTES)
      this.#used = 0
    }
    this.#used = writeEntry(this.#chunk, this.#used, pageNumber, offset, length)
  }

  /** Entries, zero byte and size. */
  finish(): Uint8Array {
    const entries = Buffer.concat([...this.#full, this.#chunk.subarray(0, this.#used)])
    const index = new Uint8Array(entries.length + 1 + 8)
    index.set(entries)
    new DataView(index.buffer).setBigUint64(entries.length + 1, BigInt(entries.length + 1))
    return index
  }
}

/**
 * What the index of a file must be, known from its frames: length and CRC instead of the bytes, so
 * that reading a file of any size needs no memory for it.
 */
export class LtxIndexExpectation {
  readonly #crc = new Crc64()
  readonly #entry = new Uint8Array(LONGEST_ENTRY_BYTES)
  #lengthBytes = 0

  add(pageNumber: number, offset: number, length: number): void {
    const end = writeEntry(this.#entry, 0, pageNumber, offset, length)
    this.#crc.update(this.#entry.subarray(0, end))
    this.#lengthBytes += end
  }

  /** Length and CRC of entries and zero byte. */
  finish(): { lengthBytes: number; crc: bigint } {
    return { lengthBytes: this.#lengthBytes + 1, crc: this.#crc.update(Uint8Array.of(0)).digest() }
  }
}

function writeEntry(
  bytes: Uint8Array,
  start: number,
  pageNumber: number,
  offset: number,
  length: number,
): number {
  return writeVarint(bytes, writeVarint(bytes, writeVarint(bytes, start, pageNumber), offset), length)
}

/** Division, not shifts: offsets outgrow 32 bits. */
function writeVarint(bytes: Uint8Array, position: number, value: number): number {
  while (value >= 128) {
    bytes[position++] = (value % 128) | 128
    value = Math.floor(value / 128)
  }
  bytes[position++] = value
  return position
}

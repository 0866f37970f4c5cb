/*
 * CRC-64/GO-ISO: reflected polynomial 0xD800000000000000, register and result inverted.
 * check("123456789") = b90956c775a41001.
 *
 * The polynomial is x^64 + x^4 + x^3 + x + 1. Because all its lower terms lie within four bits, 32
 * input bits can be folded in at once with shifts alone: what leaves the register at the bottom comes
 * back at the top, shifted by 0, 1, 3 and 4, and never reaches the bits that are still to leave. That
 * is faster in JavaScript than lookup tables. The register is kept as two 32-bit halves.
 */

const HOST_IS_LITTLE_ENDIAN = new Uint8Array(new Uint32Array([1]).buffer)[0] === 1
/** Below this many bytes making an aligned view costs more than it saves. */
const SHORT_BYTES = 64

/**
 * A running CRC-64/GO-ISO.
 *
 * @example
 * new Crc64().update(Buffer.from('123456789')).digest() // 0xb90956c775a41001n
 */
export class Crc64 {
  #high = -1
  #low = -1

  update(bytes: Uint8Array): this {
    if (bytes.length < SHORT_BYTES || !HOST_IS_LITTLE_ENDIAN) {
      this.#updateBytes(bytes, 0, bytes.length)
      return this
    }
    const head = -bytes.byteOffset & 3
    const wordCount = (bytes.length - head) >>> 2
    this.#updateBytes(bytes, 0, head)
    this.#updateWords(new Uint32Array(bytes.buffer, bytes.byteOffset + head, wordCount))
    this.#updateBytes(bytes, head + wordCount * 4, bytes.length)
    return this
  }

  /** The CRC of everything so far; more may follow. */
  digest(): bigint {
    return (BigInt(~this.#high >>> 0) << 32n) | BigInt(~this.#low >>> 0)
  }

  #updateWords(words: Uint32Array): void {
    let high = this.#high
    let low = this.#low
    for (let i = 0; i < words.length; i++) {
      const out = low ^ (words[i] as number)
      low = high ^ (out << 31) ^ (out << 29) ^ (out << 28)
      high = out ^ (out >>> 1) ^ (out >>> 3) ^ (out >>> 4)
    }
    this.#high = high
    this.#low = low
  }

  #updateBytes(bytes: Uint8Array, start: number, end: number): void {
    let high = this.#high
    let low = this.#low
    for (let i = start; i < end; i++) {
      const out = (low ^ (bytes[i] as number)) & 0xff
      low = (low >>> 8) | (high << 24)
      high = (high >>> 8) ^ (out << 24) ^ (out << 23) ^ (out << 21) ^ (out << 20)
    }
    this.#high = high
    this.#low = low
  }
}

import { type CrcRegister, newRegister, pageCodec } from './page-codec.ts'

/*
 * CRC-64/GO-ISO: reflected polynomial 0xD800000000000000, register and result inverted.
 * check("123456789") = b90956c775a41001.
 *
 * The polynomial is x^64 + x^4 + x^3 + x + 1: what leaves the register at the bottom comes back at
 * the top, shifted by 0, 1, 3 and 4. So bits fold in with shifts alone, eight at a time here and
 * sixty-four at a time in WebAssembly; no lookup tables.
 */

/** Below this many bytes the crossing into WebAssembly costs more than it saves. */
const SHORT_BYTES = 128

/**
 * A running CRC-64/GO-ISO.
 *
 * @example
 * new Crc64().update(Buffer.from('123456789')).digest() // 0xb90956c775a41001n
 */
export class Crc64 {
  readonly #register = newRegister()

  update(bytes: Uint8Array): this {
    if (bytes.length < SHORT_BYTES) this.#updateShort(bytes)
    else pageCodec().crc(this.#register, bytes)
    return this
  }

  /** Takes in what another thread has gone through: the register of those bytes, begun with zero. */
  join(next: CrcRegister, lengthBytes: number): this {
    pageCodec().crcJoin(this.#register, next, lengthBytes)
    return this
  }

  /** The CRC of everything so far; more may follow. */
  digest(): bigint {
    const [low = 0, high = 0] = this.#register
    return (BigInt(~high >>> 0) << 32n) | BigInt(~low >>> 0)
  }

  #updateShort(bytes: Uint8Array): void {
    let [low = 0, high = 0] = this.#register
    for (let i = 0; i < bytes.length; i++) {
      const out = (low ^ (bytes[i] as number)) & 0xff
      low = (low >>> 8) | (high << 24)
      high = (high >>> 8) ^ (out << 24) ^ (out << 23) ^ (out << 21) ^ (out << 20)
    }
    this.#register[0] = low
    this.#register[1] = high
  }
}

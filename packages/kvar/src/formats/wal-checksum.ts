const HOST_IS_LITTLE_ENDIAN = new Uint8Array(new Uint32Array([1]).buffer)[0] === 1

/**
 * The cumulative checksum of a WAL (sqlite.org/walformat.html §4.2): two sums that feed each other,
 * over pairs of 32-bit words. Whether the words are big-endian is the choice of who began the WAL.
 */
export class WalChecksum {
  readonly #bigEndian: boolean
  #first: number
  #second: number

  constructor(bigEndian: boolean, first: number, second: number) {
    this.#bigEndian = bigEndian
    this.#first = first | 0
    this.#second = second | 0
  }

  get first(): number {
    return this.#first >>> 0
  }

  get second(): number {
    return this.#second >>> 0
  }

  /** Takes `length` bytes (a multiple of 8) from `start`. */
  update(bytes: Uint8Array, start: number, length: number): this {
    const offset = bytes.byteOffset + start
    const isNative = this.#bigEndian !== HOST_IS_LITTLE_ENDIAN && offset % 4 === 0
    if (isNative) this.#updateWords(new Uint32Array(bytes.buffer, offset, length / 4))
    else this.#updateView(new DataView(bytes.buffer, offset, length))
    return this
  }

  #updateWords(words: Uint32Array): void {
    let first = this.#first
    let second = this.#second
    for (let i = 0; i < words.length; i += 2) {
      first = (first + (words[i] as number) + second) | 0
      second = (second + (words[i + 1] as number) + first) | 0
    }
    this.#first = first
    this.#second = second
  }

  #updateView(view: DataView): void {
    const littleEndian = !this.#bigEndian
    let first = this.#first
    let second = this.#second
    for (let i = 0; i < view.byteLength; i += 8) {
      first = (first + view.getUint32(i, littleEndian) + second) | 0
      second = (second + view.getUint32(i + 4, littleEndian) + first) | 0
    }
    this.#first = first
    this.#second = second
  }
}

import { assert } from '../errors.ts'

/**
 * Turns chunks of any size into pieces of the wanted size, copying only pieces that lie across a
 * border of chunks. Holds at most one chunk and one piece.
 */
export class ByteFeed {
  #chunk: Uint8Array = new Uint8Array(0)
  #read = 0
  #partial = new Uint8Array(4096)
  #partialLength = 0

  /** The next chunk; the one before must be used up: `take` has answered undefined. */
  push(chunk: Uint8Array): void {
    assert(this.available === 0, 'a chunk is fed before the last one was used up')
    this.#chunk = chunk
    this.#read = 0
  }

  /** Bytes of the current chunk that nobody took yet. */
  get available(): number {
    return this.#chunk.length - this.#read
  }

  /**
   * The next `length` bytes, valid until the next call, or undefined if another chunk is needed:
   * then the caller asks for the same length again.
   */
  take(length: number): Uint8Array | undefined {
    if (this.#partialLength === 0 && this.available >= length) return this.#advance(length)
    this.#growPartial(length)
    const piece = this.#advance(Math.min(length - this.#partialLength, this.available))
    this.#partial.set(piece, this.#partialLength)
    this.#partialLength += piece.length
    if (this.#partialLength < length) return undefined
    this.#partialLength = 0
    return this.#partial.subarray(0, length)
  }

  /** Between 1 and `length` bytes, whatever is at hand; undefined if nothing is. */
  takeSome(length: number): Uint8Array | undefined {
    return this.available === 0 ? undefined : this.#advance(Math.min(length, this.available))
  }

  #advance(length: number): Uint8Array {
    this.#read += length
    return this.#chunk.subarray(this.#read - length, this.#read)
  }

  #growPartial(length: number): void {
    if (this.#partial.length >= length) return
    const larger = new Uint8Array(length)
    larger.set(this.#partial.subarray(0, this.#partialLength))
    this.#partial = larger
  }
}

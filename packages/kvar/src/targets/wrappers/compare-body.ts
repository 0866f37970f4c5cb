import { type ObjectBody, openBody } from '../target.ts'

/** Whether a stored object has exactly the bytes of a body. Both are read once, side by side, in bounded memory. */
export async function equalsBody(stored: AsyncIterable<Uint8Array>, body: ObjectBody): Promise<boolean> {
  const expected = new ByteReader(openBody(body))
  try {
    for await (const chunk of stored) {
      if (!(await expected.startsWith(chunk))) return false
    }
    return await expected.isAtEnd()
  } finally {
    await expected.close()
  }
}

/** Takes bytes from a stream in pieces that the other side chooses. */
class ByteReader {
  readonly #chunks: AsyncIterator<Uint8Array> | Iterator<Uint8Array>
  #rest: Uint8Array = new Uint8Array(0)

  constructor(stream: AsyncIterable<Uint8Array> | Iterable<Uint8Array>) {
    this.#chunks = Symbol.asyncIterator in stream ? stream[Symbol.asyncIterator]() : stream[Symbol.iterator]()
  }

  async startsWith(bytes: Uint8Array): Promise<boolean> {
    for (let offset = 0; offset < bytes.length; ) {
      if (!(await this.#fill())) return false
      const length = Math.min(this.#rest.length, bytes.length - offset)
      const ours = this.#rest.subarray(0, length)
      if (Buffer.compare(ours, bytes.subarray(offset, offset + length)) !== 0) return false
      this.#rest = this.#rest.subarray(length)
      offset += length
    }
    return true
  }

  async isAtEnd(): Promise<boolean> {
    return !(await this.#fill())
  }

  async close(): Promise<void> {
    await this.#chunks.return?.()
  }

  /** Makes sure that there is a byte to compare; false at the end of the stream. */
  async #fill(): Promise<boolean> {
    while (this.#rest.length === 0) {
      const next = await this.#chunks.next()
      if (next.done) return false
      this.#rest = next.value
    }
    return true
  }
}

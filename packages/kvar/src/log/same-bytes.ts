import { type ObjectBody, openBody, type Target } from '../targets/target.ts'
import { passing } from './passing.ts'

/** Whether an object on a target holds exactly these bytes; compared as a stream. */
export async function holdsBytes(
  target: Target,
  key: string,
  body: ObjectBody,
  signal?: AbortSignal,
): Promise<boolean> {
  const stored = await target.read(key, passing(signal))
  if (stored === undefined) return false
  const ours = new Pulled(openBody(body))
  try {
    for await (const chunk of stored) {
      if (!(await ours.beginsWith(chunk))) return false
    }
    return await ours.isAtEnd()
  } finally {
    await ours.end()
  }
}

/** A stream that is compared piece by piece with another one cut in other places. */
class Pulled {
  readonly #chunks: AsyncIterator<Uint8Array> | Iterator<Uint8Array>
  #rest: Uint8Array = new Uint8Array(0)

  constructor(source: AsyncIterable<Uint8Array> | Iterable<Uint8Array>) {
    this.#chunks = Symbol.asyncIterator in source ? source[Symbol.asyncIterator]() : source[Symbol.iterator]()
  }

  async beginsWith(expected: Uint8Array): Promise<boolean> {
    let done = 0
    while (done < expected.length) {
      if (await this.isAtEnd()) return false
      const count = Math.min(this.#rest.length, expected.length - done)
      const differs =
        Buffer.compare(this.#rest.subarray(0, count), expected.subarray(done, done + count)) !== 0
      if (differs) return false
      this.#rest = this.#rest.subarray(count)
      done += count
    }
    return true
  }

  async isAtEnd(): Promise<boolean> {
    while (this.#rest.length === 0) {
      const next = await this.#chunks.next()
      if (next.done) return true
      this.#rest = next.value
    }
    return false
  }

  async end(): Promise<void> {
    await this.#chunks.return?.()
  }
}

import {
  type CreateOptions,
  type ListOptions,
  type ObjectBody,
  type ObjectEntry,
  openBody,
  type ReadOptions,
  type Target,
} from '../target.ts'
import { WrappedTarget } from './wrapped-target.ts'

export type TargetVerb = 'create' | 'replace' | 'read' | 'list' | 'remove'

/** What a target was asked so far. Counts only grow; two snapshots give the cost of what lay between. */
export interface Meter {
  requests: Record<TargetVerb, number>
  /** Calls that ended with an error, streams included. */
  failures: number
  /** Body bytes taken by the target, those of failed calls included. */
  bytesUp: number
  /** Body bytes given by the target. */
  bytesDown: number
}

export interface MeteredTarget extends Target {
  readonly meter: Readonly<Meter>
}

/**
 * Counts requests and bytes. Inside the retrying wrapper it counts what really went out, outside
 * what was wanted.
 *
 * @example
 * const metered = withMetering(target)
 * await metered.create('a', bytes, { modifiedAtMs })
 * metered.meter.requests.create // 1
 */
export function withMetering(target: Target): MeteredTarget {
  return new MeteringTarget(target)
}

class MeteringTarget extends WrappedTarget implements MeteredTarget {
  readonly meter: Meter = {
    requests: { create: 0, replace: 0, read: 0, list: 0, remove: 0 },
    failures: 0,
    bytesUp: 0,
    bytesDown: 0,
  }

  override create(key: string, body: ObjectBody, options: CreateOptions): Promise<'created' | 'exists'> {
    return this.#count('create', () => this.inner.create(key, this.#countUp(body), options))
  }

  override replace(key: string, body: ObjectBody, options: { signal?: AbortSignal } = {}): Promise<void> {
    return this.#count('replace', () => this.inner.replace(key, this.#countUp(body), options))
  }

  override async read(
    key: string,
    options: ReadOptions = {},
  ): Promise<AsyncIterable<Uint8Array> | undefined> {
    const stream = await this.#count('read', () => this.inner.read(key, options))
    return stream === undefined ? undefined : this.#countDown(stream)
  }

  override async *list(prefix: string, options: ListOptions = {}): AsyncIterable<ObjectEntry> {
    this.meter.requests.list += 1
    try {
      yield* this.inner.list(prefix, options)
    } catch (thrown) {
      this.meter.failures += 1
      throw thrown
    }
  }

  override remove(keys: string[], options: { signal?: AbortSignal } = {}): Promise<void> {
    return this.#count('remove', () => this.inner.remove(keys, options))
  }

  async #count<T>(verb: TargetVerb, work: () => Promise<T>): Promise<T> {
    this.meter.requests[verb] += 1
    try {
      return await work()
    } catch (thrown) {
      this.meter.failures += 1
      throw thrown
    }
  }

  #countUp(body: ObjectBody): ObjectBody {
    if (body instanceof Uint8Array) {
      this.meter.bytesUp += body.length
      return body
    }
    const add = (sizeBytes: number) => {
      this.meter.bytesUp += sizeBytes
    }
    return { sizeBytes: body.sizeBytes, open: () => counted(openBody(body), add) }
  }

  /** By hand and not as a generator, so that a stream that nobody begins can still be let go. */
  #countDown(stream: AsyncIterable<Uint8Array>): AsyncIterableIterator<Uint8Array> {
    const chunks = stream[Symbol.asyncIterator]()
    const { meter } = this
    return {
      async next() {
        try {
          const step = await chunks.next()
          if (!step.done) meter.bytesDown += step.value.length
          return step
        } catch (thrown) {
          meter.failures += 1
          throw thrown
        }
      },
      async return() {
        await chunks.return?.()
        return { done: true, value: undefined }
      },
      [Symbol.asyncIterator]() {
        return this
      },
    }
  }
}

async function* counted(
  chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  add: (sizeBytes: number) => void,
): AsyncIterable<Uint8Array> {
  for await (const chunk of chunks) {
    add(chunk.length)
    yield chunk
  }
}

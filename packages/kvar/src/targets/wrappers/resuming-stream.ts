import { KvarError } from '../../errors.ts'
import type { ReadOptions, Target } from '../target.ts'
import { Attempts, type RetryContext } from './attempts.ts'
import { withDeadline } from './deadline.ts'

/**
 * An object's bytes, going on where they broke off: with a range where the target has them, else by
 * reading again and skipping. Objects are immutable; of the few mutable ones a torn reading could mix
 * two contents, which is why those carry checks of their own.
 */
export class ResumingStream implements AsyncIterableIterator<Uint8Array> {
  readonly #target: Target
  readonly #key: string
  readonly #options: ReadOptions
  readonly #context: RetryContext
  readonly #doing: string
  readonly #attempts: Attempts
  #source: AsyncIterator<Uint8Array> | undefined
  #stop = new AbortController()
  #doneBytes = 0
  #skipBytes = 0
  #isFinished = false

  constructor(target: Target, key: string, options: ReadOptions, context: RetryContext) {
    this.#target = target
    this.#key = key
    this.#options = options
    this.#context = context
    this.#doing = `read "${key}" on ${target.url}`
    this.#attempts = new Attempts(context, this.#doing, options.signal)
  }

  /** Opens the object for the first time; false when there is none. */
  async begin(): Promise<boolean> {
    for (;;) {
      try {
        return await this.#open()
      } catch (thrown) {
        this.#letGo()
        await this.#attempts.afterFailure(thrown)
      }
    }
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  async next(): Promise<IteratorResult<Uint8Array, undefined>> {
    while (!this.#isFinished) {
      try {
        const chunk = await this.#nextChunk()
        if (chunk === undefined) break
        if (chunk.length > 0) return { done: false, value: chunk }
      } catch (thrown) {
        this.#letGo()
        await this.#attempts.afterFailure(thrown)
      }
    }
    return this.return()
  }

  async return(): Promise<IteratorResult<Uint8Array, undefined>> {
    this.#isFinished = true
    this.#letGo()
    return { done: true, value: undefined }
  }

  async #nextChunk(): Promise<Uint8Array | undefined> {
    if (this.#source === undefined && !(await this.#open())) throw this.#vanished()
    const source = this.#source as AsyncIterator<Uint8Array>
    const step = await this.#inTime(() => source.next())
    if (step.done) return undefined
    const chunk = step.value.subarray(this.#skipBytes)
    this.#skipBytes -= step.value.length - chunk.length
    this.#doneBytes += chunk.length
    if (chunk.length > 0) this.#attempts.madeProgress()
    return chunk
  }

  async #open(): Promise<boolean> {
    const stop = new AbortController()
    this.#stop = stop
    const signal = this.#options.signal ? AbortSignal.any([this.#options.signal, stop.signal]) : stop.signal
    const stream = await this.#inTime(() => this.#target.read(this.#key, { ...this.#restOfRange(), signal }))
    this.#source = stream?.[Symbol.asyncIterator]()
    return stream !== undefined
  }

  /** What is still to be read; without ranges everything, of which the beginning is skipped. */
  #restOfRange(): Pick<ReadOptions, 'range'> {
    const { range } = this.#options
    if (this.#doneBytes === 0) return range === undefined ? {} : { range }
    if (!this.#target.capabilities.rangeRead) {
      this.#skipBytes = this.#doneBytes
      return {}
    }
    const offset = (range?.offset ?? 0) + this.#doneBytes
    const endOffset = range === undefined ? Number.MAX_SAFE_INTEGER : range.offset + range.length
    return { range: { offset, length: endOffset - offset } }
  }

  #inTime<T>(work: () => Promise<T>): Promise<T> {
    const { platform, policy } = this.#context
    const { signal } = this.#options
    return withDeadline(
      { clock: platform.clock, timeoutMs: policy.tryTimeoutMs, doing: this.#doing, signal },
      work,
    )
  }

  /** Not awaited: a stream that hangs would hang here too. */
  #letGo(): void {
    const source = this.#source
    this.#source = undefined
    this.#stop.abort()
    Promise.resolve(source?.return?.()).catch(() => undefined)
  }

  #vanished(): KvarError {
    return new KvarError('NOT_FOUND', `"${this.#key}" vanished from ${this.#target.url} while it was read`, {
      data: { key: this.#key, url: this.#target.url },
    })
  }
}

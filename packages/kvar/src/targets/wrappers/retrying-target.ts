import type { Platform } from '../../platform/platform.ts'
import type { CreateOptions, ListOptions, ObjectBody, ObjectEntry, ReadOptions, Target } from '../target.ts'
import { Attempts, type RetryContext, type RetryReport } from './attempts.ts'
import { equalsBody } from './compare-body.ts'
import { withDeadline } from './deadline.ts'
import { ResumingStream } from './resuming-stream.ts'
import { DEFAULT_RETRY_POLICY, type RetryPolicy, tryTimeoutMs } from './retry-policy.ts'
import { WrappedTarget } from './wrapped-target.ts'

export interface RetryOptions {
  platform: Pick<Platform, 'clock' | 'random'>
  /** Replaces single limits of `DEFAULT_RETRY_POLICY`. */
  policy?: Partial<RetryPolicy>
  /** Called before each wait, for the status. Must not throw. */
  onRetry?: (report: RetryReport) => void
}

/**
 * Tries `temporary` failures again, with limits, and gives every try a deadline; all other failures
 * go through at once. A create that may have succeeded unseen is settled by comparing what is stored,
 * so that its own retry is not taken for another writer's.
 *
 * @example
 * const patient = withRetries(target, { platform, policy: { maxTries: 3 }, onRetry: (report) => show(report) })
 */
export function withRetries(target: Target, options: RetryOptions): Target {
  return new RetryingTarget(target, {
    url: target.url,
    policy: { ...DEFAULT_RETRY_POLICY, ...options.policy },
    platform: options.platform,
    onRetry: options.onRetry ?? (() => undefined),
  })
}

interface Call {
  doing: string
  bodyBytes?: number
  signal?: AbortSignal | undefined
}

class RetryingTarget extends WrappedTarget {
  readonly #context: RetryContext

  constructor(inner: Target, context: RetryContext) {
    super(inner)
    this.#context = context
  }

  override create(key: string, body: ObjectBody, options: CreateOptions): Promise<'created' | 'exists'> {
    let mayHaveSucceeded = false
    const call = { doing: `create "${key}" on ${this.url}`, bodyBytes: sizeOf(body), signal: options.signal }
    return this.#retry(call, async (signal) => {
      const isRepeated = mayHaveSucceeded
      mayHaveSucceeded = true
      const outcome = await this.inner.create(key, body, { ...options, signal })
      if (outcome === 'created' || !isRepeated) return outcome
      return (await this.#holds(key, body, signal)) ? 'created' : 'exists'
    })
  }

  override replace(key: string, body: ObjectBody, options: { signal?: AbortSignal } = {}): Promise<void> {
    const call = { doing: `replace "${key}" on ${this.url}`, bodyBytes: sizeOf(body), signal: options.signal }
    return this.#retry(call, (signal) => this.inner.replace(key, body, { signal }))
  }

  override async read(
    key: string,
    options: ReadOptions = {},
  ): Promise<AsyncIterable<Uint8Array> | undefined> {
    const stream = new ResumingStream(this.inner, key, options, this.#context)
    return (await stream.begin()) ? stream : undefined
  }

  override async *list(prefix: string, options: ListOptions = {}): AsyncIterable<ObjectEntry> {
    const attempts = new Attempts(this.#context, `list "${prefix}" on ${this.url}`, options.signal)
    let { startAfter } = options
    for (;;) {
      try {
        for await (const entry of this.#listInTime(prefix, {
          ...options,
          ...(startAfter ? { startAfter } : {}),
        })) {
          startAfter = entry.key
          attempts.madeProgress()
          yield entry
        }
        return
      } catch (thrown) {
        await attempts.afterFailure(thrown)
      }
    }
  }

  override remove(keys: string[], options: { signal?: AbortSignal } = {}): Promise<void> {
    const call = { doing: `remove ${keys.length} objects on ${this.url}`, signal: options.signal }
    return this.#retry(call, (signal) => this.inner.remove(keys, { signal }))
  }

  async #retry<T>(call: Call, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const { platform, policy } = this.#context
    const attempts = new Attempts(this.#context, call.doing, call.signal)
    const timeoutMs = tryTimeoutMs(policy, call.bodyBytes ?? 0)
    for (;;) {
      try {
        return await withDeadline({ ...call, clock: platform.clock, timeoutMs }, work)
      } catch (thrown) {
        await attempts.afterFailure(thrown)
      }
    }
  }

  async #holds(key: string, body: ObjectBody, signal: AbortSignal): Promise<boolean> {
    const stored = await this.inner.read(key, { signal })
    return stored !== undefined && (await equalsBody(stored, body))
  }

  async *#listInTime(prefix: string, options: ListOptions): AsyncIterable<ObjectEntry> {
    const { platform, policy } = this.#context
    const stop = new AbortController()
    const signal = options.signal ? AbortSignal.any([options.signal, stop.signal]) : stop.signal
    const entries = this.inner.list(prefix, { ...options, signal })[Symbol.asyncIterator]()
    const doing = `list "${prefix}" on ${this.url}`
    const limits = { clock: platform.clock, timeoutMs: policy.tryTimeoutMs, doing, signal: options.signal }
    try {
      for (;;) {
        const step = await withDeadline(limits, () => entries.next())
        if (step.done) return
        yield step.value
      }
    } finally {
      // Not awaited: a listing that hangs would hang here too.
      stop.abort()
      Promise.resolve(entries.return?.()).catch(() => undefined)
    }
  }
}

function sizeOf(body: ObjectBody): number {
  return body instanceof Uint8Array ? body.length : body.sizeBytes
}

import { type Clock, sleep } from '../../platform/clock.ts'
import type { Random } from '../../platform/random.ts'
import { TargetError, throwIfCancelled } from '../target.ts'
import { type RetryPolicy, retryDelayMs } from './retry-policy.ts'

/** What a status shows about a call that is tried again. */
export interface RetryReport {
  url: string
  /** `create "ltx/0/…"`, `list "ltx/0/"`, … */
  doing: string
  failedTries: number
  /** Milliseconds until the next try. */
  delayMs: number
  error: TargetError
}

export interface RetryContext {
  url: string
  policy: RetryPolicy
  platform: { clock: Clock; random: Random }
  onRetry: (report: RetryReport) => void
}

/** The tries of one call: counts failures, waits between them, and gives up at the first limit. */
export class Attempts {
  readonly #context: RetryContext
  readonly #doing: string
  readonly #signal: AbortSignal | undefined
  #failedTries = 0
  #begunAtMs: number

  constructor(context: RetryContext, doing: string, signal: AbortSignal | undefined) {
    this.#context = context
    this.#doing = doing
    this.#signal = signal
    this.#begunAtMs = context.platform.clock.monotonicMs()
  }

  /** Returns when the next try is due; throws the failure itself when there shall be none. */
  async afterFailure(thrown: unknown): Promise<void> {
    if (!(thrown instanceof TargetError) || thrown.failure !== 'temporary') throw thrown
    const { url, policy, platform, onRetry } = this.#context
    this.#failedTries += 1
    if (this.#failedTries >= policy.maxTries) throw thrown
    const delayMs = retryDelayMs(policy, this.#failedTries, thrown.retryAfterMs, platform.random)
    if (platform.clock.monotonicMs() - this.#begunAtMs + delayMs > policy.callDeadlineMs) throw thrown
    onRetry({ url, doing: this.#doing, failedTries: this.#failedTries, delayMs, error: thrown })
    await sleep(platform.clock, delayMs, this.#signal)
    throwIfCancelled(this.#signal)
  }

  /** A stream that moves has all its tries again. */
  madeProgress(): void {
    this.#failedTries = 0
    this.#begunAtMs = this.#context.platform.clock.monotonicMs()
  }
}

import type { Random } from '../../platform/random.ts'

/** The limits of trying again. All of them hold at once; the first that is reached ends the call. */
export interface RetryPolicy {
  /** Tries of one call, the first included. For streams: tries without a byte or an entry in between. */
  maxTries: number
  /** Upper bound of the first wait; it doubles with every try. */
  firstDelayMs: number
  /** Upper bound of every wait that the provider did not ask for. */
  maxDelayMs: number
  /** How long one try (of a stream: one step) may take before it counts as failed. */
  tryTimeoutMs: number
  /** Bodies are given more time: their size at this rate. */
  minBytesPerSecond: number
  /** How long all tries of a call together may take, waits included. Not for streams that make progress. */
  callDeadlineMs: number
}

export const DEFAULT_RETRY_POLICY: RetryPolicy = {
  maxTries: 6,
  firstDelayMs: 200,
  maxDelayMs: 30_000,
  tryTimeoutMs: 30_000,
  minBytesPerSecond: 16 * 1024,
  callDeadlineMs: 300_000,
}

/**
 * The wait before the next try: exponential with full jitter, so that many keepers that failed
 * together do not come back together (AWS Architecture Blog, "Exponential Backoff And Jitter").
 * A provider's own wish goes first, and is never shortened.
 *
 * @param failedTries how many tries have failed so far, at least 1
 * @returns milliseconds
 */
export function retryDelayMs(
  policy: RetryPolicy,
  failedTries: number,
  retryAfterMs: number | undefined,
  random: Pick<Random, 'fraction'>,
): number {
  const ceilingMs = Math.min(policy.maxDelayMs, policy.firstDelayMs * 2 ** (failedTries - 1))
  return Math.max(retryAfterMs ?? 0, random.fraction() * ceilingMs)
}

/** How long one try with a body of this size may take. */
export function tryTimeoutMs(policy: RetryPolicy, bodyBytes: number): number {
  return policy.tryTimeoutMs + (bodyBytes / policy.minBytesPerSecond) * 1000
}

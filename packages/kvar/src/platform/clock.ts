/** Time, as data that can be simulated. */
export interface Clock {
  /** Wall clock, milliseconds since 1970. May jump. */
  nowMs(): number
  /** Milliseconds since some start; never goes back. For durations and pacing. */
  monotonicMs(): number
  /** Calls `fire` once after `delayMs` unless cancelled. */
  startTimer(delayMs: number, fire: () => void): Timer
  /**
   * Resolves when everything the kernel had queued at the call (file-system events, socket data)
   * has been handed to its listeners.
   */
  turn(): Promise<void>
}

export interface Timer {
  cancel(): void
}

/** Waits `delayMs`; an aborted signal ends the wait early without an error. */
export function sleep(clock: Clock, delayMs: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted) return resolve()
    const end = () => {
      timer.cancel()
      signal?.removeEventListener('abort', end)
      resolve()
    }
    const timer = clock.startTimer(delayMs, end)
    signal?.addEventListener('abort', end)
  })
}

/** What a promise gives, or `late` when the time is over before; the work itself goes on. */
export async function beforeDeadline<T>(
  clock: Clock,
  deadlineMs: number,
  work: Promise<T>,
): Promise<T | 'late'> {
  const over = new AbortController()
  const late = sleep(clock, deadlineMs, over.signal).then(() => 'late' as const)
  try {
    return await Promise.race([work, late])
  } finally {
    over.abort()
  }
}

export const systemClock: Clock = {
  nowMs: () => Date.now(),
  monotonicMs: () => performance.now(),
  startTimer(delayMs, fire) {
    const handle = setTimeout(fire, delayMs)
    return { cancel: () => clearTimeout(handle) }
  },
  // The first immediate may run in the loop's present round, after its poll; before the second one
  // the loop has polled once more.
  turn: () => new Promise((resolve) => setImmediate(() => setImmediate(resolve))),
}

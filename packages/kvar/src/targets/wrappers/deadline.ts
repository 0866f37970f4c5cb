import { KvarError } from '../../errors.ts'
import type { Clock } from '../../platform/clock.ts'
import { TargetError, throwIfCancelled } from '../target.ts'

export interface DeadlineOptions {
  clock: Clock
  timeoutMs: number
  /** Names the work in the error: `create "ltx/0/…" on folder:/srv/backup`. */
  doing: string
  signal?: AbortSignal | undefined
}

/**
 * Ends a piece of work in time even when it ignores its signal: a hung network disk does. The work
 * itself may go on unseen; whoever asked must be able to bear that (creates are settled by reading back).
 *
 * @throws TargetError `temporary` after `timeoutMs`; KvarError `CANCELLED` when the caller aborts
 */
export async function withDeadline<T>(
  options: DeadlineOptions,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const { clock, timeoutMs, doing, signal } = options
  throwIfCancelled(signal)
  const stop = new AbortController()
  const ending = Promise.withResolvers<never>()
  const end = (error: KvarError) => {
    ending.reject(error)
    stop.abort(error)
  }
  const cancel = () => end(new KvarError('CANCELLED', 'Stopped by the caller', { cause: signal?.reason }))
  const late = () =>
    end(new TargetError('temporary', `No answer in ${Math.round(timeoutMs / 1000)} s: ${doing}`))
  const timer = clock.startTimer(timeoutMs, late)
  signal?.addEventListener('abort', cancel, { once: true })
  try {
    return await Promise.race([work(stop.signal), ending.promise])
  } finally {
    timer.cancel()
    signal?.removeEventListener('abort', cancel)
  }
}

import { KvarError } from '../../errors.ts'

/**
 * Work that many callers wait for and that is done once: signing in, finding a folder. It is nobody's
 * own, so that one caller who gives up does not take it from the others.
 */
export class SharedWork<T> {
  #running: Promise<T> | undefined

  /** Joins the work that is under way, or begins it. */
  join(work: () => Promise<T>, signal: AbortSignal | undefined): Promise<T> {
    if (this.#running === undefined) {
      const running = work().finally(() => {
        this.#running = undefined
      })
      // Whoever waits learns of a failure; when nobody does any more, it is nobody's.
      running.catch(() => undefined)
      this.#running = running
    }
    return unlessAborted(this.#running, signal)
  }
}

function unlessAborted<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return work
  return new Promise((resolve, reject) => {
    const stop = () => reject(new KvarError('CANCELLED', 'Stopped by the caller', { cause: signal.reason }))
    if (signal.aborted) return stop()
    signal.addEventListener('abort', stop, { once: true })
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', stop))
  })
}

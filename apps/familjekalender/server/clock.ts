/** Waiting, as data: tests put in a clock they move by hand. */
export interface ServerClock {
  /** Calls `fire` once after `delayMs` unless the answered function is called first. */
  startTimer(delayMs: number, fire: () => void): () => void
}

export const serverClock: ServerClock = {
  startTimer(delayMs, fire) {
    const handle = setTimeout(fire, delayMs)
    return () => clearTimeout(handle)
  },
}

/** What `work` answers, or `late` when that takes longer than `limitMs`. A failure of `work` is thrown, unless it comes late. */
export function within<T>(clock: ServerClock, limitMs: number, work: Promise<T>): Promise<T | 'late'> {
  return new Promise((resolve, reject) => {
    const cancel = clock.startTimer(limitMs, () => resolve('late'))
    work.then(resolve, reject).finally(cancel)
  })
}

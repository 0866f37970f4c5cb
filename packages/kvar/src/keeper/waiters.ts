import { KvarError } from '../errors.ts'

interface Waiter {
  isMet: () => boolean
  resolve: () => void
  reject: (error: KvarError) => void
}

/** Callers that wait until something about the log is true. */
export class Waiters {
  readonly #waiting = new Set<Waiter>()

  get waiting(): boolean {
    return this.#waiting.size > 0
  }

  /** Resolves when the condition holds; it is asked again at every `check`. */
  until(isMet: () => boolean, signal?: AbortSignal): Promise<void> {
    if (isMet()) return Promise.resolve()
    return new Promise((resolve, reject) => {
      const waiter: Waiter = { isMet, resolve, reject }
      this.#waiting.add(waiter)
      signal?.addEventListener('abort', () => {
        this.#waiting.delete(waiter)
        reject(
          new KvarError('CANCELLED', 'The wait was cancelled', {
            hint: 'the change is stored all the same, later',
          }),
        )
      })
    })
  }

  check(): void {
    for (const waiter of this.#waiting) {
      if (!waiter.isMet()) continue
      this.#waiting.delete(waiter)
      waiter.resolve()
    }
  }

  fail(error: KvarError): void {
    for (const waiter of this.#waiting) waiter.reject(error)
    this.#waiting.clear()
  }
}

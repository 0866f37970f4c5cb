import { KvarError } from '../errors.ts'

/** What is thrown when somebody wants the work to end. */
export function cancelledError(): KvarError {
  return new KvarError('CANCELLED', 'Stopped before it was done', {
    hint: 'nothing is half done: what was not finished was not begun, or is finished by the keeper',
  })
}

/** Waits for work that cannot be told to stop, unless somebody wants us to end. */
export function unlessCancelled<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  if (signal.aborted) return Promise.reject(cancelledError())
  return new Promise((resolve, reject) => {
    signal.addEventListener('abort', () => reject(cancelledError()), { once: true })
    work.then(resolve, reject)
  })
}

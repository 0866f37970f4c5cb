import type { ServerClock } from './clock.ts'

/**
 * Tries `work` again while another process holds the database, without stopping the event loop as
 * SQLite's own busy timeout would. Gives up with SQLite's error after about two seconds.
 */
export async function retryWhileBusy<T>(clock: ServerClock, work: () => Promise<T>): Promise<T> {
  for (let tries = 1; ; tries++) {
    try {
      return await work()
    } catch (thrown) {
      if (!isBusy(thrown) || tries === MAX_TRIES) throw thrown
    }
    await new Promise<void>((resolve) => clock.startTimer(RETRY_MS, resolve))
  }
}

const MAX_TRIES = 40
const RETRY_MS = 50

const SQLITE_BUSY = 5
const SQLITE_LOCKED = 6
/** Results after which the same request may succeed later: busy, locked, read-only, disk trouble, disk full, cannot open. */
const LATER = new Set([SQLITE_BUSY, SQLITE_LOCKED, 8, 10, 13, 14])

function resultCode(thrown: unknown): number | undefined {
  const code = (thrown as { errcode?: unknown } | null)?.errcode
  // The upper bits of an extended result code say more than we need.
  return typeof code === 'number' ? code & 0xff : undefined
}

function isBusy(thrown: unknown): boolean {
  const code = resultCode(thrown)
  return code === SQLITE_BUSY || code === SQLITE_LOCKED
}

/** True when the database could not do it now but may later: the answer is 503. */
export function isDatabaseTrouble(thrown: unknown): boolean {
  const code = resultCode(thrown)
  return code !== undefined && LATER.has(code)
}

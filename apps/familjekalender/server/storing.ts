import type { DatabasePersistence } from 'kvar'
import type { Bilingual } from '../shared/event-types.ts'
import { type ServerClock, within } from './clock.ts'

/**
 * Waits until everything written so far is held away from this machine, but no longer than
 * `limitMs`. It never fails: whatever goes wrong, the change is in the database and Kvar goes on
 * trying, so the honest answer is "not yet".
 *
 * @param options.limitMs longest wait in milliseconds
 * @param options.log told why, when storing failed
 */
export async function storedInTime(
  persistence: Pick<DatabasePersistence, 'flush'>,
  options: { clock: ServerClock; limitMs: number; log: (sentence: string) => void },
): Promise<boolean> {
  const giveUp = new AbortController()
  try {
    const flushed = (async () => persistence.flush({ signal: giveUp.signal }))()
    return (await within(options.clock, options.limitMs, flushed)) !== 'late'
  } catch (thrown) {
    options.log(`A change waits for storage: ${thrown instanceof Error ? thrown.message : String(thrown)}`)
    return false
  } finally {
    giveUp.abort()
  }
}

/** What a person is told who saved something that is not stored elsewhere yet. */
export const WAITS_FOR_STORAGE: Bilingual = {
  sv: 'Ändringen är gjord men väntar på lagring.',
  en: 'The change is made but waits for storage.',
}

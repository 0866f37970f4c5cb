import { KvarError } from '../errors.ts'
import { parseDuration } from '../settings/duration.ts'

const DATE_ONLY = /^\d{4}-\d{2}-\d{2}$/
const HINT = 'write it as 2026-11-23, "2026-11-23 14:03", 2026-11-23T13:03:07Z, or an age such as 2h or 7d'

/**
 * A moment as people write it. Without a zone it is local time; a duration is that long ago.
 *
 * @returns milliseconds since 1970
 * @throws KvarError `USAGE`
 */
export function parseTime(text: string, nowMs: number): number {
  const ageMs = parseDuration(text)
  if (ageMs !== undefined && Number.isFinite(ageMs)) return nowMs - ageMs
  // JavaScript takes a bare date for UTC, unlike every other time without a zone.
  const timeMs = /^\d{4}-/.test(text) ? Date.parse(DATE_ONLY.test(text) ? `${text}T00:00` : text) : Number.NaN
  if (!Number.isNaN(timeMs)) return timeMs
  throw new KvarError('USAGE', `${JSON.stringify(text.slice(0, 80))} is no time`, { hint: HINT })
}

/** Nights are when a family sleeps: local time. */
const NIGHT_HOUR = 3

/**
 * The next 03:00 local time strictly after a moment. Where summer time leaves it out, the hour after it.
 *
 * @param nowMs milliseconds since 1970
 */
export function nextNightMs(nowMs: number): number {
  const night = new Date(nowMs)
  night.setHours(NIGHT_HOUR, 0, 0, 0)
  if (night.getTime() > nowMs) return night.getTime()
  night.setDate(night.getDate() + 1)
  night.setHours(NIGHT_HOUR, 0, 0, 0)
  return night.getTime()
}

/** A moment as people speak of it: `today 03:12`, `yesterday 03:12`, `2026-11-20 03:12`; local time. */
export function spokenTime(timeMs: number, nowMs: number): string {
  const at = new Date(timeMs)
  const clock = `${two(at.getHours())}:${two(at.getMinutes())}`
  if (at.toDateString() === new Date(nowMs).toDateString()) return `today ${clock}`
  const yesterday = new Date(nowMs)
  yesterday.setDate(yesterday.getDate() - 1)
  if (at.toDateString() === yesterday.toDateString()) return `yesterday ${clock}`
  return `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())} ${clock}`
}

function two(value: number): string {
  return String(value).padStart(2, '0')
}

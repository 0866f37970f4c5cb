const UNITS = ['KB', 'MB', 'GB', 'TB', 'PB']

/**
 * A number of bytes for people: three digits and a decimal unit.
 *
 * @example
 * bytesText(14_200_000) // '14.2 MB'
 */
export function bytesText(sizeBytes: number): string {
  let [value, unit] = [sizeBytes, 'bytes']
  for (const next of UNITS) {
    // 999.95 would be shown as 1000.0: it belongs to the next unit.
    if (value < (unit === 'bytes' ? 1000 : 999.95)) break
    value /= 1000
    unit = next
  }
  return unit === 'bytes' ? `${value} ${value === 1 ? 'byte' : unit}` : `${value.toFixed(1)} ${unit}`
}

/** A duration for people, in the largest unit that says enough. */
export function durationText(durationMs: number): string {
  const seconds = Math.max(0, Math.round(durationMs / 1000))
  if (seconds < 120) return `${seconds} s`
  const minutes = Math.round(seconds / 60)
  if (minutes < 120) return `${minutes} min`
  const hours = Math.round(minutes / 60)
  return hours < 48 ? `${hours} h` : `${Math.round(hours / 24)} d`
}

/** Local date and time: what people compare with their own clock. */
export function timeText(time: string | number): string {
  const at = new Date(time)
  return `${at.getFullYear()}-${two(at.getMonth() + 1)}-${two(at.getDate())} ${clockText(time)}`
}

/** Local time of the day, with the date when that is not today. */
export function shortTimeText(time: string, nowMs: number): string {
  const isToday = new Date(time).toDateString() === new Date(nowMs).toDateString()
  return isToday ? clockText(time) : timeText(time)
}

function clockText(time: string | number): string {
  const at = new Date(time)
  return `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`
}

function two(value: number): string {
  return String(value).padStart(2, '0')
}

/** `1 row`, `3 rows`. */
export function countText(count: number, word: string, plural = `${word}s`): string {
  return `${count} ${count === 1 ? word : plural}`
}

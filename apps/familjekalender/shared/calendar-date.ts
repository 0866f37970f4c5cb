/**
 * A day of the calendar as the seed stores it: `YYYY-MM-DD`, without time or zone. Days are counted
 * in UTC, where every day has 24 hours, so summer time can neither skip nor double one.
 */
export type CalendarDate = string

/** The seed's names of weekdays, Monday first. */
export const WEEKDAYS = ['mån', 'tis', 'ons', 'tor', 'fre', 'lör', 'sön'] as const
export type Weekday = (typeof WEEKDAYS)[number]

const DATE_PATTERN = /^(\d{4})-(\d{2})-(\d{2})$/
const DAY_MS = 86_400_000

/** Days since 1970-01-01, or undefined for a text that is no real date between year 1 and 9999. */
export function dayNumber(date: CalendarDate): number | undefined {
  const [, year, month, day] = DATE_PATTERN.exec(date) ?? []
  if (year === undefined || year === '0000') return undefined
  const utc = new Date(0)
  // Date.UTC would take the years 1 to 99 for 1901 to 1999.
  utc.setUTCFullYear(Number(year), Number(month) - 1, Number(day))
  return utc.toISOString().startsWith(date) ? utc.getTime() / DAY_MS : undefined
}

/** The date of a day number: the inverse of `dayNumber`. */
export function dateOfDay(day: number): CalendarDate {
  return new Date(day * DAY_MS).toISOString().slice(0, 10)
}

export function isCalendarDate(text: string): boolean {
  return dayNumber(text) !== undefined
}

/** 0 for Monday … 6 for Sunday. 1970-01-01 was a Thursday. */
export function weekdayIndex(day: number): number {
  return (((day + 3) % 7) + 7) % 7
}

/** The day number of a date that is known to be real. */
export function requireDay(date: CalendarDate): number {
  const day = dayNumber(date)
  if (day === undefined) throw new RangeError(`"${date}" is no date`)
  return day
}

export function addDays(date: CalendarDate, days: number): CalendarDate {
  return dateOfDay(requireDay(date) + days)
}

/** The Monday of the week a date lies in. */
export function mondayOf(date: CalendarDate): CalendarDate {
  const day = requireDay(date)
  return dateOfDay(day - weekdayIndex(day))
}

/** The week number of ISO 8601, as Swedish calendars print it: week 1 holds the year's first Thursday. */
export function weekNumber(date: CalendarDate): number {
  const day = requireDay(date)
  const thursday = day - weekdayIndex(day) + 3
  const newYear = requireDay(`${dateOfDay(thursday).slice(0, 4)}-01-01`)
  return Math.floor((thursday - newYear) / 7) + 1
}

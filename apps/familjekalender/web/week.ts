import {
  addDays,
  type CalendarDate,
  requireDay,
  WEEKDAYS,
  type Weekday,
  weekdayIndex,
} from '../shared/calendar-date.ts'

/** The day it is where the person sits, not where the server stands. */
export function localToday(now: Date): CalendarDate {
  const two = (number: number) => String(number).padStart(2, '0')
  return `${String(now.getFullYear()).padStart(4, '0')}-${two(now.getMonth() + 1)}-${two(now.getDate())}`
}

/** Monday to Sunday. */
export function daysOfWeek(monday: CalendarDate): CalendarDate[] {
  return WEEKDAYS.map((_name, index) => addDays(monday, index))
}

export function weekdayOf(date: CalendarDate): Weekday {
  return WEEKDAYS[weekdayIndex(requireDay(date))] as Weekday
}

/** "23–29 nov. 2026" in the language of `locale`. */
export function weekTitle(monday: CalendarDate, locale: string): string {
  const format = new Intl.DateTimeFormat(locale, {
    day: 'numeric',
    month: 'long',
    year: 'numeric',
    timeZone: 'UTC',
  })
  return format.formatRange(atUtc(monday), atUtc(addDays(monday, 6)))
}

/** "23 november". */
export function dayAndMonth(date: CalendarDate, locale: string): string {
  return new Intl.DateTimeFormat(locale, { day: 'numeric', month: 'long', timeZone: 'UTC' }).format(
    atUtc(date),
  )
}

function atUtc(date: CalendarDate): Date {
  return new Date(`${date}T00:00:00Z`)
}

/** What people type for a time of day, as `HH:MM`: "8", "830", "8.30", "16:30". Anything else stays as it is. */
export function readTime(typed: string): string {
  const [, hour, minute = '00'] = /^\s*(\d{1,2})(?:\s*[:.,]?\s*(\d{2}))?\s*$/.exec(typed) ?? []
  return hour === undefined ? typed : `${hour.padStart(2, '0')}:${minute}`
}

/** The wall-clock time some hours after another, past midnight too; undefined while either is half typed. */
export function endTime(start: string, hours: number | null): string | undefined {
  const [, hour, minute] = /^(\d\d):(\d\d)$/.exec(readTime(start)) ?? []
  if (hour === undefined || minute === undefined || hours === null || !(hours > 0)) return undefined
  const minutes = (Number(hour) * 60 + Number(minute) + Math.round(hours * 60)) % (24 * 60)
  return `${String(Math.floor(minutes / 60)).padStart(2, '0')}:${String(minutes % 60).padStart(2, '0')}`
}

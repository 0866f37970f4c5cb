import {
  type CalendarDate,
  dateOfDay,
  dayNumber,
  requireDay,
  WEEKDAYS,
  weekdayIndex,
} from './calendar-date.ts'

/** What the repeat of an event depends on. */
export interface RepeatRule {
  date: CalendarDate
  repeat_pattern: string | null
  repeat_until: CalendarDate | null
}

/**
 * The days an event happens on, between two days inclusive, in order.
 *
 * The seed's rule: an event happens on its own date, and with a weekday as `repeat_pattern` also on
 * every such weekday after that date, until `repeat_until` inclusive or without end. The weekday need
 * not be the date's own. Rows that other programs wrote are taken as they are: a pattern that is no
 * weekday does not repeat, an end that is no date does not end, a date that is none never happens.
 *
 * @example
 * occurrencesBetween({ date: '2026-03-25', repeat_pattern: 'sön', repeat_until: '2026-04-05' }, '2026-03-01', '2026-04-30')
 * // ['2026-03-25', '2026-03-29', '2026-04-05']
 */
export function occurrencesBetween(rule: RepeatRule, from: CalendarDate, to: CalendarDate): CalendarDate[] {
  const start = dayNumber(rule.date)
  if (start === undefined) return []
  const fromDay = requireDay(from)
  const toDay = requireDay(to)
  const own = start >= fromDay && start <= toDay ? [rule.date] : []
  return own.concat(repeatedDays(rule, start, fromDay, toDay).map(dateOfDay))
}

function repeatedDays(rule: RepeatRule, start: number, fromDay: number, toDay: number): number[] {
  const weekday = (WEEKDAYS as readonly (string | null)[]).indexOf(rule.repeat_pattern)
  if (weekday < 0) return []
  const untilDay = rule.repeat_until === null ? undefined : dayNumber(rule.repeat_until)
  const lastDay = Math.min(toDay, untilDay ?? toDay)
  const earliest = Math.max(fromDay, start + 1)
  const days: number[] = []
  for (let day = earliest + ((weekday - weekdayIndex(earliest) + 7) % 7); day <= lastDay; day += 7)
    days.push(day)
  return days
}

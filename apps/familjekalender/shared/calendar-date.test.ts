// Goal: dates mean the same on every machine. Method: fixed examples of the hard days, and for all
// other days a comparison with the calendar of the JavaScript engine.
import fc from 'fast-check'
import { expect, test } from 'vitest'
import {
  addDays,
  dateOfDay,
  dayNumber,
  isCalendarDate,
  mondayOf,
  weekdayIndex,
  weekNumber,
} from './calendar-date.ts'

test.each(['2024-02-29', '2000-02-29', '0001-01-01', '9999-12-31', '2026-03-29'])('%s is a date', (text) => {
  expect(isCalendarDate(text)).toBe(true)
})

test.each([
  '2026-02-29',
  '1900-02-29',
  '2026-13-01',
  '2026-04-31',
  '2026-00-10',
  '0000-01-01',
  '2026-3-1',
  '26-03-01',
  '2026-03-01 ',
  '２026-03-01',
  '',
])('%s is no date', (text) => expect(isCalendarDate(text)).toBe(false))

test.each([
  ['2026-11-23', 48],
  ['2026-01-01', 1],
  ['2027-01-03', 53],
  ['2024-12-30', 1],
  ['2021-01-03', 53],
  ['2021-01-04', 1],
])('%s lies in week %i', (date, week) => expect(weekNumber(date)).toBe(week))

test('day numbers and weekdays agree with the engine', () => {
  const anyDay = fc.date({ min: new Date('0001-01-01'), max: new Date('9999-12-31'), noInvalidDate: true })
  fc.assert(
    fc.property(anyDay, (moment) => {
      const date = moment.toISOString().slice(0, 10)
      const day = dayNumber(date) as number
      expect(dateOfDay(day)).toBe(date)
      expect(weekdayIndex(day)).toBe((moment.getUTCDay() + 6) % 7)
      const daysSinceMonday = day - (dayNumber(mondayOf(date)) as number)
      expect(daysSinceMonday).toBe(weekdayIndex(day))
    }),
  )
})

test('a day after the night of summer time is the next date', () => {
  expect(addDays('2026-03-28', 1)).toBe('2026-03-29')
  expect(addDays('2026-03-29', 1)).toBe('2026-03-30')
  expect(addDays('2026-10-25', 1)).toBe('2026-10-26')
})

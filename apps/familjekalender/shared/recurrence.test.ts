// Goal: a repeated event happens on exactly the days the seed's rule names. Method: compare the
// expansion with a slow model that asks every single day, over summer time, leap years and ends;
// then examples a person can check in a paper calendar.
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { addDays, WEEKDAYS } from './calendar-date.ts'
import { occurrencesBetween, type RepeatRule } from './recurrence.ts'

/** The seed's rule as a question to one day; the weekday comes from the engine, not from our code. */
function happensOn(rule: RepeatRule, day: string): boolean {
  if (day === rule.date) return true
  if (day < rule.date || rule.repeat_pattern === null) return false
  if (rule.repeat_until !== null && day > rule.repeat_until) return false
  const sundayFirst = ['sön', 'mån', 'tis', 'ons', 'tor', 'fre', 'lör']
  return sundayFirst[new Date(`${day}T12:00:00Z`).getUTCDay()] === rule.repeat_pattern
}

// From 2023 to 2029: two leap days and fourteen changes of summer time.
const anyDate = fc.integer({ min: 0, max: 2_500 }).map((days) => addDays('2023-01-01', days))
const anyRule = fc.record({
  date: anyDate,
  repeat_pattern: fc.constantFrom(null, ...WEEKDAYS),
  repeat_until: fc.option(anyDate),
})

test('the expansion is what a question to every day answers', () => {
  fc.assert(
    fc.property(anyRule, anyDate, fc.integer({ min: 0, max: 500 }), (rule, from, length) => {
      const days = Array.from({ length: length + 1 }, (_nothing, index) => addDays(from, index))
      expect(occurrencesBetween(rule, from, addDays(from, length))).toEqual(
        days.filter((day) => happensOn(rule, day)),
      )
    }),
    { numRuns: 200 },
  )
})

test('the weekday of the repeat need not be the one of the first date', () => {
  const rule = { date: '2026-03-25', repeat_pattern: 'sön', repeat_until: '2026-04-05' }
  expect(occurrencesBetween(rule, '2026-03-01', '2026-04-30')).toEqual([
    '2026-03-25',
    '2026-03-29',
    '2026-04-05',
  ])
})

test('an end before the first date leaves the first date', () => {
  const rule = { date: '2026-03-25', repeat_pattern: 'ons', repeat_until: '2026-03-01' }
  expect(occurrencesBetween(rule, '2026-01-01', '2026-12-31')).toEqual(['2026-03-25'])
})

test('an event happens on the leap day', () => {
  const rule = { date: '2024-02-22', repeat_pattern: 'tor', repeat_until: '2024-03-07' }
  expect(occurrencesBetween(rule, '2024-02-01', '2024-03-31')).toEqual([
    '2024-02-22',
    '2024-02-29',
    '2024-03-07',
  ])
})

test('rows of other programs do not break the week', () => {
  const week = ['2026-03-23', '2026-03-29'] as const
  const rule = { date: '2026-03-24', repeat_pattern: null, repeat_until: null }
  expect(occurrencesBetween({ ...rule, date: 'igår' }, ...week)).toEqual([])
  expect(occurrencesBetween({ ...rule, repeat_pattern: 'Sunday' }, ...week)).toEqual(['2026-03-24'])
  expect(occurrencesBetween({ ...rule, repeat_pattern: 'fre', repeat_until: '' }, ...week)).toEqual([
    '2026-03-24',
    '2026-03-27',
  ])
})

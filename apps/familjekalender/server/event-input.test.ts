// Goal: nothing wrong reaches the database, and every refusal names the field in both languages.
// Method: a table of wrong values by field, the seed's own kinds of right values, and properties.
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { ApiError } from './api-error.ts'
import { LIMITS, parseChange, parseNewEvent } from './event-input.ts'

const SIMPLE = { user: 'Ellen', date: '2026-03-25', time: '16:30', title: 'Simskola' }
const FULL = {
  ...SIMPLE,
  duration: 1.5,
  description: 'Ta med badkläder',
  repeat_pattern: 'sön',
  repeat_until: '2026-06-14',
  reminder: 1,
} as const

function refusal(work: () => unknown): ApiError {
  try {
    work()
  } catch (thrown) {
    if (thrown instanceof ApiError) return thrown
    throw thrown
  }
  throw new Error('nothing was refused')
}

test('what is left out gets the defaults of the seed', () => {
  expect(parseNewEvent(SIMPLE)).toEqual({
    ...SIMPLE,
    duration: 1,
    description: null,
    repeat_pattern: null,
    repeat_until: null,
    reminder: 0,
  })
})

test('a full event is taken as it is', () => expect(parseNewEvent(FULL)).toEqual(FULL))

test.each([
  [true, 1],
  [false, 0],
  [0, 0],
  [30, 30],
])('the reminder %s is stored as %i', (reminder, stored) => {
  expect(parseNewEvent({ ...SIMPLE, reminder }).reminder).toBe(stored)
})

test('names and titles are trimmed, so that nobody is two people', () => {
  expect(parseNewEvent({ ...SIMPLE, user: ' Ellen ', title: 'Kör\n' })).toMatchObject({
    user: 'Ellen',
    title: 'Kör',
  })
})

const WRONG: Array<[field: string, value: unknown, code: string]> = [
  ['user', '', 'empty'],
  ['user', '   ', 'empty'],
  ['user', 7, 'not_text'],
  ['user', 'x'.repeat(LIMITS.userLength + 1), 'too_long'],
  ['user', 'a\0b', 'not_text'],
  ['title', '', 'empty'],
  ['title', null, 'not_text'],
  ['title', '\ud800', 'not_text'],
  ['title', 'x'.repeat(LIMITS.titleLength + 1), 'too_long'],
  ['date', '2026-02-29', 'date_invalid'],
  ['date', '2026-3-1', 'date_invalid'],
  ['date', 20260301, 'date_invalid'],
  ['time', '24:00', 'time_invalid'],
  ['time', '9:00', 'time_invalid'],
  ['time', '09:60', 'time_invalid'],
  ['time', '09:00:00', 'time_invalid'],
  ['duration', 0, 'duration_invalid'],
  ['duration', -1, 'duration_invalid'],
  ['duration', '1', 'duration_invalid'],
  ['duration', LIMITS.durationHours + 1, 'duration_invalid'],
  ['duration', null, 'duration_invalid'],
  ['description', 5, 'not_text'],
  ['description', 'x'.repeat(LIMITS.descriptionLength + 1), 'too_long'],
  ['repeat_pattern', 'Mån', 'weekday_invalid'],
  ['repeat_pattern', 'söndag', 'weekday_invalid'],
  ['repeat_until', '2026-04-31', 'date_invalid'],
  ['repeat_until', '2026-03-24', 'until_before_date'],
  ['reminder', 2.5, 'reminder_invalid'],
  ['reminder', -1, 'reminder_invalid'],
  ['reminder', 'ja', 'reminder_invalid'],
  ['reminder', LIMITS.reminderMinutes + 1, 'reminder_invalid'],
  ['id', 5, 'unknown_field'],
  ['created_at', '2026-01-01 00:00:00', 'unknown_field'],
  ['color', 'blue', 'unknown_field'],
]

describe.each(WRONG)('%s = %j', (field, value, code) => {
  test.each([
    ['a new event', () => parseNewEvent({ ...FULL, [field]: value })],
    ['a change', () => parseChange({ [field]: value }, FULL)],
  ])('is refused in %s', (_where, work) => {
    const { error } = refusal(work).toAnswer()
    expect(error).toMatchObject({ code, field })
    expect(error.message.sv).toMatch(/^\p{Lu}.+\.$/u)
    expect(error.message.en).toMatch(/^\p{Lu}.+\.$/u)
    expect(error.message.sv + error.message.en).not.toContain('{')
  })
})

test.each(['user', 'date', 'time', 'title'])('%s must not be missing', (field) => {
  const { [field as 'user']: _left, ...rest } = SIMPLE
  expect(refusal(() => parseNewEvent(rest))).toMatchObject({ code: 'required', field })
})

test.each([[null], [[]], ['text'], [3]])('%j is no event', (body) => {
  expect(refusal(() => parseNewEvent(body)).code).toBe('not_object')
})

test('a change is checked against what it leaves as it was', () => {
  expect(refusal(() => parseChange({ date: '2026-07-01' }, FULL))).toMatchObject({
    code: 'until_before_date',
  })
  expect(parseChange({ date: '2026-07-01', repeat_until: null }, FULL)).toEqual({
    date: '2026-07-01',
    repeat_until: null,
  })
})

test('the end goes with the repeat', () => {
  expect(parseChange({ repeat_pattern: null }, FULL)).toEqual({ repeat_pattern: null, repeat_until: null })
})

test('a change sets nothing it does not name', () => {
  expect(parseChange({}, FULL)).toEqual({})
  expect(parseChange({ title: 'Kör' }, FULL)).toEqual({ title: 'Kör' })
})

test('whatever is sent, the answer is an event or a refusal', () => {
  fc.assert(
    fc.property(
      fc.oneof(
        fc.jsonValue(),
        fc.record({ user: fc.string(), date: fc.string(), time: fc.string(), title: fc.string() }),
      ),
      (body) => {
        try {
          expect(parseNewEvent(body).title.length).toBeGreaterThan(0)
        } catch (thrown) {
          expect(thrown).toBeInstanceOf(ApiError)
        }
      },
    ),
  )
})

// Goal: a time is what the person meant: local without a zone, an age as an age, and never a guess.
// Method: the forms of the documentation, and things that only look like them.
import { expect, test } from 'vitest'
import { parseTime } from './parse-time.ts'

const NOW = new Date(2026, 10, 23, 15, 0, 0).getTime()

test.each<[text: string, timeMs: number]>([
  ['2026-11-23', new Date(2026, 10, 23).getTime()],
  ['2026-11-23 14:03', new Date(2026, 10, 23, 14, 3).getTime()],
  ['2026-11-23T14:03:07', new Date(2026, 10, 23, 14, 3, 7).getTime()],
  ['2026-11-23T13:03:07Z', Date.UTC(2026, 10, 23, 13, 3, 7)],
  ['2026-11-23T14:03:07.250+01:00', Date.UTC(2026, 10, 23, 13, 3, 7, 250)],
  ['2h', NOW - 7_200_000],
  ['7d', NOW - 7 * 86_400_000],
])('%s', (text, timeMs) => {
  expect(parseTime(text, NOW)).toBe(timeMs)
})

test.each(['', 'yesterday', '5', '14:03', '2026-13-01', '23/11/2026', 'forever'])('"%s" is none', (text) => {
  expect(() => parseTime(text, NOW)).toThrow(expect.objectContaining({ code: 'USAGE' }))
})

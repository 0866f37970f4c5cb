/*
 * Goal: the night comes once a day, at 03:00 local time, also when clocks are put forward or back.
 * Method: a zone with summer time; a year of nights, one after the other.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { nextNightMs, spokenTime } from './drill-time.ts'

const zone = process.env.TZ
beforeAll(() => {
  process.env.TZ = 'Europe/Stockholm'
})
afterAll(() => {
  if (zone === undefined) delete process.env.TZ
  else process.env.TZ = zone
})

describe('the next night', () => {
  it('is today before three, tomorrow from three on', () => {
    expect(nextNightMs(Date.parse('2026-11-23T01:59:59.999Z'))).toBe(Date.parse('2026-11-23T02:00:00Z'))
    expect(nextNightMs(Date.parse('2026-11-23T02:00:00.000Z'))).toBe(Date.parse('2026-11-24T02:00:00Z'))
  })

  it('comes once a day all year, at 03:00 in summer and winter', () => {
    let nowMs = Date.parse('2026-01-01T12:00:00Z')
    const days = new Set<string>()
    for (let night = 0; night < 365; night++) {
      nowMs = nextNightMs(nowMs)
      const at = new Date(nowMs)
      expect(at.getHours()).toBe(3)
      days.add(at.toDateString())
    }
    expect(days.size).toBe(365)
  })
})

it('speaks of times as people do', () => {
  const nowMs = Date.parse('2026-11-23T13:00:00Z')
  expect(spokenTime(Date.parse('2026-11-23T02:12:00Z'), nowMs)).toBe('today 03:12')
  expect(spokenTime(Date.parse('2026-11-22T02:12:00Z'), nowMs)).toBe('yesterday 03:12')
  expect(spokenTime(Date.parse('2026-11-20T02:12:00Z'), nowMs)).toBe('2026-11-20 03:12')
})

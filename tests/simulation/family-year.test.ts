/*
 * Goal: a family's calendar costs little for ever: a small log, few requests, at most five objects to restore
 * the newest version, and every version that `keep` promises, whatever the clock says meanwhile.
 * Method: fourteen days with 50 changes each on a simulated clock (`npm run proof -- family-year` lives
 * through a year): real SQLite, real version files, the keeper's own log keeping, a target that counts.
 */
import { describe, expect, it } from 'vitest'
import { liveThroughDays } from './family-year.ts'

const HOUR = 3_600_000
const KEEP = { all: '2d', hourly: '5d', daily: '1y', monthly: 'forever' }

describe('fourteen days of a family', () => {
  it('stay small, near and whole', { timeout: 120_000 }, async () => {
    const report = await liveThroughDays({ days: 14, seed: 14, keep: KEEP, restores: 150 })
    expect(report.violations).toEqual([])
    expect(report.versions).toBe(700)
    expect(report.newestAtRest).toBeLessThanOrEqual(5)
    expect(report.objects).toBeLessThan(500)
    expect(report.logBytes).toBeLessThan(report.databaseBytes * 30)
    expect(report.requests.create).toBeLessThan(80)
    expect(report.requests.list).toBeLessThan(40)
  })

  const FAULTS: Array<[string, (day: number, hour: number) => number]> = [
    ['goes back three hours for an evening', (day, hour) => (day === 8 && hour > 9 ? -3 * HOUR : 0)],
    ['is ten years ahead for an hour', (day, hour) => (day === 9 && hour === 4 ? 3650 * 24 * HOUR : 0)],
    ['begins in 1970 each morning', (_day, hour) => (hour === 0 ? -56 * 365 * 24 * HOUR : 0)],
    ['jumps an hour for summer time, and back', (day) => (day > 4 && day < 11 ? HOUR : 0)],
  ]
  for (const [what, clockErrorMs] of FAULTS) {
    it(`lose nothing when the clock ${what}`, { timeout: 120_000 }, async () => {
      const keep = { all: '4d', hourly: '4d', daily: '4d', monthly: '4d' }
      const report = await liveThroughDays({ days: 14, seed: 15, keep, clockErrorMs, restores: 40 })
      expect(report.violations).toEqual([])
      expect(report.promised).toBeGreaterThan(190)
    })
  }
})

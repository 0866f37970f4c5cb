// Goal: an alarm comes once for a trouble that lasts, once when it is over, and never for what passes.
// Method: statuses as a keeper would give them, at moments of an invented clock; random courses against
// the plain rule "no second message of the same kind, and none before its time".
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { AlarmJudge } from './alarm-judge.ts'
import type { KeeperStatus, Safety } from './status.ts'

const AFTER_MS = 300_000
const problem = { code: 'TARGET_TEMPORARY' as const, message: 'it does not answer', data: {} }

function status(
  safety: Safety,
  facts: { waitingMs?: number; behindMs?: number; failed?: boolean } = {},
): KeeperStatus {
  const { waitingMs = 0, behindMs = 0, failed = false } = facts
  const target = { behindMs, problem: failed ? problem : null }
  return {
    safety,
    state: 'protecting',
    waitingMs,
    problem: null,
    targets: [target],
  } as unknown as KeeperStatus
}

/** Ages grow with the clock: a course gives the moment since when something waits. */
function aged(status: KeeperStatus, nowMs: number): KeeperStatus {
  const { waitingSinceMs } = status as KeeperStatus & { waitingSinceMs?: number }
  return waitingSinceMs === undefined ? status : { ...status, waitingMs: nowMs - waitingSinceMs }
}

/** What was told, and when, for statuses at their moments; the judge is asked again whenever it wants to be. */
function tell(
  judge: AlarmJudge,
  course: Array<[atMs: number, status: KeeperStatus]>,
  endMs: number,
): string[] {
  const told: string[] = []
  const moments = [...course, [endMs, undefined] as const]
  let current: KeeperStatus | undefined
  let againMs: number | undefined
  const ask = (atMs: number) => {
    if (current === undefined) return
    const verdict = judge.judge(aged(current, atMs), atMs)
    if (verdict.tell !== undefined) told.push(`${verdict.tell} at ${atMs / 1000}`)
    if (verdict.lookAgainMs !== undefined) expect(verdict.lookAgainMs).toBeGreaterThan(atMs)
    againMs = verdict.lookAgainMs
  }
  for (const [atMs, next] of moments) {
    while (againMs !== undefined && againMs < atMs) ask(againMs)
    current = next ?? current
    ask(atMs)
  }
  return told
}

describe('the alarm', () => {
  it('comes when not safe has lasted half a minute, and again when it was well for as long', () => {
    const course: Array<[number, KeeperStatus]> = [
      [0, status('safe')],
      [100_000, status('not-safe')],
      [200_000, status('safe')],
    ]
    expect(tell(new AlarmJudge(AFTER_MS, 'good'), course, 400_000)).toEqual(['bad at 130', 'good at 230'])
  })

  it('does not come for what passes', () => {
    const course = Array.from({ length: 40 }, (_, index): [number, KeeperStatus] => [
      index * 20_000,
      status(index % 2 === 0 ? 'not-safe' : 'safe'),
    ])
    expect(tell(new AlarmJudge(AFTER_MS, 'good'), course, 800_000)).toEqual([])
  })

  it('comes when a commit has waited too long, counted from its own beginning', () => {
    const waiting = Object.assign(status('late'), { waitingSinceMs: 30_000 })
    expect(tell(new AlarmJudge(AFTER_MS, 'good'), [[50_000, waiting]], 1_000_000)).toEqual(['bad at 330'])
  })

  it('comes when a follower stays away, and not when it is always a moment behind', () => {
    const away: Array<[number, KeeperStatus]> = [[0, status('late', { failed: true })]]
    expect(tell(new AlarmJudge(AFTER_MS, 'good'), away, 400_000)).toEqual(['bad at 300'])
    const busy = Array.from({ length: 3600 }, (_, index): [number, KeeperStatus] => [
      index * 1000,
      status('late', { behindMs: 900 }),
    ])
    expect(tell(new AlarmJudge(AFTER_MS, 'good'), busy, 3_600_000)).toEqual([])
  })

  it('leaves out a database that is only on this machine', () => {
    expect(tell(new AlarmJudge(AFTER_MS, 'good'), [[0, status('only-here')]], 10_000_000)).toEqual([])
  })

  it('remembers what a keeper before it told', () => {
    expect(tell(new AlarmJudge(AFTER_MS, 'bad'), [[0, status('not-safe')]], 900_000)).toEqual([])
    expect(tell(new AlarmJudge(AFTER_MS, 'bad'), [[0, status('safe')]], 900_000)).toEqual(['good at 30'])
  })

  it('never tells the same twice, nor before its time, on any course', () => {
    const turn = fc.record({
      afterMs: fc.integer({ min: 1, max: 60_000 }),
      safety: fc.constantFrom<Safety>('safe', 'late', 'not-safe', 'only-here'),
      failed: fc.boolean(),
    })
    fc.assert(
      fc.property(fc.array(turn, { maxLength: 80 }), (turns) => {
        let nowMs = 0
        const course = turns.map(({ afterMs, safety, failed }): [number, KeeperStatus] => {
          nowMs += afterMs
          return [nowMs, status(safety, { failed })]
        })
        const told = tell(new AlarmJudge(AFTER_MS, 'good'), course, nowMs + 1)
        const kinds = told.map((one) => one.split(' ')[0])
        expect(kinds).toEqual(kinds.map((_, index) => (index % 2 === 0 ? 'bad' : 'good')))
        const times = told.map((one) => Number(one.split(' ')[2]))
        expect(times.every((time, index) => time - (times[index - 1] ?? 0) >= 30)).toBe(true)
      }),
    )
  })
})

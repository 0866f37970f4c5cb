// Goal: the two times that safety is judged by are never too kind: what waits does not look newer, and
// "everything up to then" holds nothing that was not reached.
// Method: random courses against a model that keeps every look in a list.
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Milestones } from './milestones.ts'

type Step = { kind: 'look'; news: boolean; afterMs: number } | { kind: 'reach'; back: number }

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({
      kind: fc.constant('look' as const),
      news: fc.boolean(),
      afterMs: fc.integer({ min: 1, max: 50 }),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant('reach' as const), back: fc.integer({ min: 0, max: 6 }) }),
  },
)

/** Every look that was made, and what is reached: the plain form of the same thing. */
class Model {
  readonly looks: Array<{ number: number; atMs: number }> = []
  reached = 0

  get lackingSinceMs(): number | undefined {
    return this.looks.find((look) => look.number > this.reached)?.atMs
  }

  get completeUpToMs(): number | undefined {
    return this.looks.findLast((look) => look.number <= this.reached)?.atMs
  }
}

function play(steps: Step[], compare: (real: Milestones, model: Model) => void): void {
  const [real, model] = [new Milestones(), new Model()]
  let [number, nowMs] = [0, 0]
  for (const one of steps) {
    if (one.kind === 'look') {
      number += one.news ? 1 : 0
      nowMs += one.afterMs
      real.note(number, nowMs)
      model.looks.push({ number, atMs: nowMs })
    } else {
      model.reached = Math.max(model.reached, number - one.back)
      real.reach(number - one.back)
    }
    compare(real, model)
  }
}

describe('milestones', () => {
  it('know both times exactly while there are few', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) =>
        play(steps, (real, model) => {
          expect(real.lackingSinceMs).toBe(model.lackingSinceMs)
          expect(real.completeUpToMs).toBe(model.completeUpToMs)
        }),
      ),
    )
  })

  it('err on the side of caution when there are many, and keep few', () => {
    fc.assert(
      fc.property(fc.array(step, { minLength: 300, maxLength: 500 }), (steps) => {
        // Nothing is reached for a long time, as when a target is away.
        const away = steps.filter((one, index) => one.kind === 'look' || index > 290)
        play(away, (real, model) => {
          expect(real.lackingSinceMs === undefined).toBe(model.lackingSinceMs === undefined)
          expect(real.lackingSinceMs ?? 0).toBeLessThanOrEqual(model.lackingSinceMs ?? 0)
          expect(real.completeUpToMs ?? 0).toBeLessThanOrEqual(model.completeUpToMs ?? 0)
        })
      }),
      { numRuns: 30 },
    )
  })
})

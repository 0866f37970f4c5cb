/**
 * Goal: a clock that goes back, changes to summer time, passes 2038 or is years ahead loses nothing and
 * confuses nobody: versions, times, status, copies and retention (PROOF 15).
 * Method: a keeper in this process whose clock jumps at random between moments that are known to hurt, in
 * four time zones. More rounds: `npm run proof -- clock --rounds 1000 --seed 1`.
 */
import { expect, test } from 'vitest'
import { clockLoop } from './clock-loop.ts'

test('10 rounds of clocks that jump', { timeout: 600_000, retry: 0 }, async () => {
  const { violations, sentence } = await clockLoop({ rounds: 10, seed: 15 })
  expect(violations, sentence).toBe(0)
})

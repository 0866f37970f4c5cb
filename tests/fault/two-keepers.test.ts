/**
 * Goal: two keepers on one log lose nothing that was acknowledged, and bury nothing (PROOF 14).
 * Method: two keepers in this process, each with a disk, a clock up to ten minutes wrong and ways of its
 * own to a ledger and a follower that answer late or not at all; then every version, branch and follower
 * is read. More rounds: `npm run proof -- two-keepers --rounds 1000 --seed 1`.
 */
import { expect, test } from 'vitest'
import { twoKeepersLoop } from './two-keepers-loop.ts'

// A follower on a busy machine may come too late once; what is lost is lost in every run of a seed.
test('20 rounds of two keepers on one log', { timeout: 600_000, retry: 2 }, async () => {
  const { violations, sentence } = await twoKeepersLoop({ rounds: 20, seed: 14 })
  expect(violations, sentence).toBe(0)
})

/**
 * Goal: one object of a log removed or one bit flipped gives the exact version another way, or an error
 * that names the object and the nearest good version; never an older state as the newest (PROOF 17).
 * Method: logs that a keeper, compaction and retention made; each round damages one object and asks for
 * the newest and random versions, lets `kvar verify` look, and now and then a new machine start.
 * More rounds: `npm run proof -- damage --rounds 5000 --seed 1`.
 */
import { expect, test } from 'vitest'
import { damageLoop } from './damage-loop.ts'

test('200 rounds of one damaged object', { timeout: 600_000, retry: 0 }, async () => {
  const { violations, sentence } = await damageLoop({ rounds: 200, seed: 17 })
  expect(violations, sentence).toBe(0)
})

/**
 * Goal: the tests have teeth: mistakes put into the sources are noticed by a test each, by name (PROOF 21).
 * Method: copies of the sources with one mistake in each, and the named test run on each copy; here those
 * that fit a push. All of them: `npm run proof -- seeded-bugs`.
 */
import { expect, test } from 'vitest'
import { seededBugsLoop } from './seeded-bugs-loop.ts'

test('the fast ones of the seeded bugs are each caught by their test', {
  timeout: 600_000,
  retry: 0,
}, async () => {
  const { violations, sentence } = await seededBugsLoop({ rounds: 1, seed: 21, only: 'fast' })
  expect(violations, sentence).toBe(0)
})

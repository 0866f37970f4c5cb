/**
 * Goal: any version from any target is byte-equal to the pages recorded when it was cut (PROOF 9).
 * Method: a keeper in this process, an app that does what SQLite allows, page images taken after every
 * commit by a reader that shares no code with the product; ledger in a folder, followers of other
 * abilities, every version compared before and after compaction.
 * More rounds: `npm run proof -- model --rounds 10000 --seed 1`.
 */
import { expect, test } from 'vitest'
import { modelLoop } from './model-loop.ts'

test('100 rounds of changes, every version from every target', { timeout: 600_000, retry: 0 }, async () => {
  const { violations, sentence } = await modelLoop({ rounds: 100, seed: 9 })
  expect(violations, sentence).toBe(0)
})

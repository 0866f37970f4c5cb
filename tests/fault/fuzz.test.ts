/**
 * Goal: no file, setting or line that comes in can hang a parser, take unbounded memory or make it fail
 * in another way than with a typed error (PROOF 19).
 * Method: mutations that the seed decides of files the product itself wrote: WAL, version files, JSON
 * copies, settings, the keeper's state, lines of the protocol, lineage and branches.
 * More: `npm run proof -- fuzz --rounds 1000000 --seed 1`, one parser alone with `--only ltx`.
 */
import { expect, test } from 'vitest'
import { fuzzLoop } from './fuzz-loop.ts'

test('20 000 mutations for each parser', { timeout: 600_000, retry: 0 }, async () => {
  const { violations, sentence } = await fuzzLoop({ rounds: 20_000, seed: 19 })
  expect(violations, sentence).toBe(0)
})

/**
 * Goal: a database of any page size, of no page, one page, or beyond 1 GiB comes back byte for byte,
 * however it grew and shrank (PROOF 12).
 * Method: a keeper in this process; states that SQLite makes, and a sparse file of more than a gigabyte
 * whose free pages are holes. More rounds: `npm run proof -- boundaries --rounds 160 --seed 1` and
 * `npm run proof -- lock-page --rounds 6 --seed 1`.
 */
import { expect, test } from 'vitest'
import { lockPageLoop } from './boundaries-lock-page.ts'
import { boundariesLoop } from './boundaries-loop.ts'

test('every page size in both kinds of journal', { timeout: 600_000, retry: 0 }, async () => {
  const { violations, sentence } = await boundariesLoop({ rounds: 16, seed: 12 })
  expect(violations, sentence).toBe(0)
})

test('the lock page of a database beyond 1 GiB', { timeout: 600_000, retry: 0 }, async () => {
  const { violations, sentence } = await lockPageLoop({ rounds: 1, seed: 12 })
  expect(violations, sentence).toBe(0)
})

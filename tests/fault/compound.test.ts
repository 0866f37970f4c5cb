/**
 * Goal: a crash during the recovery from a crash costs no more than a single one (PROOF 18).
 * Method: the compound loop at its push size. More rounds: `npm run proof -- compound --rounds 2000 --seed 1`.
 */
import { expect, test } from 'vitest'
import { compoundLoop } from './compound.ts'

test('50 chains of crashes and power cuts', { timeout: 600_000, retry: 0 }, async () => {
  const { violations, failures } = await compoundLoop({ rounds: 50, seed: 1 })
  expect(violations, failures.join('\n')).toBe(0)
})

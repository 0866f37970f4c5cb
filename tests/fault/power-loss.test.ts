/**
 * Goal: when the power goes, what was acknowledged is on the ledger, copies are whole, a restore was made
 * or was not, and nothing that was committed is nowhere (PROOF 2).
 * Method: the power-loss loop at its push size: what the keeper did not force to the disk is kept, dropped
 * or garbled. More rounds: `npm run proof -- power-loss --rounds 5000 --seed 1`.
 */
import { expect, test } from 'vitest'
import { powerLossLoop } from './power-loss.ts'

test('100 power cuts', { timeout: 600_000, retry: 0 }, async () => {
  const { violations, failures } = await powerLossLoop({ rounds: 100, seed: 1 })
  expect(violations, failures.join('\n')).toBe(0)
})

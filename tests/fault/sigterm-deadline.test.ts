/**
 * Goal: an app that is asked to end and killed soon after loses nothing acknowledged, and nothing
 * committed before the signal if there was time to leave (PROOF 5).
 * Method: the SIGTERM loop at its push size, with real processes and SIGKILL at the deadline. More rounds:
 * `npm run proof -- sigterm --rounds 500 --seed 1`.
 */
import { expect, test } from 'vitest'
import { compileProduct } from './proof-product.ts'

test('10 rounds of SIGTERM with so long to live', { timeout: 600_000, retry: 0 }, async () => {
  compileProduct()
  const { sigtermLoop } = await import('./sigterm-deadline.ts')
  const { violations, failures } = await sigtermLoop({ rounds: 10, seed: 1 })
  expect(violations, failures.join('\n')).toBe(0)
})

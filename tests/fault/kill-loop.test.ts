/**
 * Goal: whoever dies, and whenever: nothing acknowledged is missing, nothing unasked appears, and every
 * transaction is whole (PROOF 3).
 * Method: the kill loop at its push size, with Node apps through the library and Python apps under
 * `kvar run`. More rounds: `node tests/fault/proof.ts kill --rounds 2000 --seed 1`.
 */
import { expect, test } from 'vitest'
import { compileProduct } from './proof-product.ts'

test('50 rounds of killing the app, the keeper or both', { timeout: 600_000, retry: 0 }, async () => {
  compileProduct()
  const { killLoop } = await import('./kill-loop.ts')
  const { violations, sentence } = await killLoop({ rounds: 50, seed: 1 })
  expect(violations, sentence).toBe(0)
})

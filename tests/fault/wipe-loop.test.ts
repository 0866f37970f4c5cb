/**
 * Goal: after a disk was emptied, half emptied, replaced by an older image, or left for another machine,
 * the database is back with everything that was acknowledged, and nothing local is lost (PROOF 4).
 * Method: the wipe loop at its push size, 20 rounds of each kind, with Node apps through the library and
 * Python apps under `kvar run`. More rounds: `node tests/fault/proof.ts wipe --rounds 1000 --seed 1`.
 */
import { expect, test } from 'vitest'
import { compileProduct } from './proof-product.ts'

test('80 rounds of wiping, 20 of each kind', { timeout: 600_000, retry: 0 }, async () => {
  compileProduct()
  const { wipeLoop } = await import('./wipe-loop.ts')
  const { violations, sentence } = await wipeLoop({ rounds: 80, seed: 1 })
  expect(violations, sentence).toBe(0)
})

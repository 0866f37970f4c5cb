/**
 * Goal: whichever call of the disk or of a target fails, once or for ever, nothing acknowledged is lost,
 * errors speak in words, and the next healthy start is right (PROOF 1).
 * Method: the Nth-operation fault loop; every N fails here in one of four ways that the seed picks, and in
 * all of them with `npm run proof -- io-fault --rounds 4`.
 */
import { expect, test } from 'vitest'
import { ioFaultLoop } from './io-fault.ts'

test('every call of a life fails', { timeout: 600_000, retry: 0 }, async () => {
  const { violations, failures } = await ioFaultLoop({ rounds: 1, seed: 1 })
  expect(violations, failures.join('\n')).toBe(0)
})

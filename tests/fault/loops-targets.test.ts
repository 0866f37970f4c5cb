/*
 * Goal: the promises of the kill loop and the wipe loop hold on real servers as on folders (PROOF 3, 4).
 * Method: both loops with Ceph and PostgreSQL as the ledger, six rounds each; more with
 * `npm run proof -- wipe --on s3 --rounds 500 --seed 1`.
 */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { RemoteServers, remoteLeftOut } from '../support/remote-places.ts'
import { compileProduct } from './proof-product.ts'

const KINDS = ['s3', 'postgres'] as const
const ROUNDS = 6

let servers: RemoteServers
beforeAll(async () => {
  compileProduct()
  servers = await RemoteServers.start(KINDS)
}, 180_000)
afterAll(() => servers?.stop())

describe.each(KINDS)('on %s', (kind) => {
  const leftOut = remoteLeftOut[kind]
  const options = { timeout: 300_000, retry: 0 }
  const place = () => servers.place(kind)

  it.skipIf(leftOut !== '')(`${ROUNDS} rounds of killing${leftOut}`, options, async () => {
    const { killLoop } = await import('./kill-loop.ts')
    const { violations, sentence } = await killLoop({ rounds: ROUNDS, seed: 11, only: 'wal', place })
    expect(violations, sentence).toBe(0)
  })

  it.skipIf(leftOut !== '')(`${ROUNDS} rounds of wiping${leftOut}`, options, async () => {
    const { wipeLoop } = await import('./wipe-loop.ts')
    const { violations, sentence } = await wipeLoop({ rounds: ROUNDS, seed: 12, place })
    expect(violations, sentence).toBe(0)
  })
})

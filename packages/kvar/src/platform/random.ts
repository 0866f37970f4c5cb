import { randomBytes } from 'node:crypto'

/** Randomness, as data that can be simulated. */
export interface Random {
  bytes(count: number): Uint8Array
  /** A number in [0, 1): for jitter only. */
  fraction(): number
}

export const systemRandom: Random = {
  bytes: (count) => new Uint8Array(randomBytes(count)),
  fraction: () => Math.random(),
}

/** A random unsigned 64-bit number that is never zero. */
export function randomUint64(random: Random): bigint {
  const bytes = random.bytes(8)
  const value = new DataView(bytes.buffer, bytes.byteOffset, 8).getBigUint64(0)
  return value === 0n ? 1n : value
}

import { hash } from 'node:crypto'

/*
 * The page checksum is the first 8 bytes (big-endian) of SHA-256(u32be page number ‖ page); the
 * database checksum is the sum of all page checksums, without the lock page, modulo 2^64.
 *
 * A sum and not the XOR of CRCs that LTX knows: CRC is affine, so two swapped pages, or the same
 * edit made on two pages, leave that XOR unchanged and the change would go unseen.
 */

let scratch = Buffer.alloc(4 + 4096)

/**
 * The checksum of one page at its place in the database.
 *
 * @example
 * sum = addChecksum(subtractChecksum(sum, pageChecksum(7, before)), pageChecksum(7, after))
 */
export function pageChecksum(pageNumber: number, page: Uint8Array): bigint {
  if (scratch.length !== 4 + page.length) scratch = Buffer.alloc(4 + page.length)
  scratch.writeUInt32BE(pageNumber, 0)
  scratch.set(page, 4)
  // One character a byte: making a Buffer of the result takes as long as half of the hashing.
  const digest = hash('sha256', scratch, 'binary')
  return (BigInt(u32(digest, 0)) << 32n) | BigInt(u32(digest, 4))
}

function u32(text: string, at: number): number {
  const high = (text.charCodeAt(at) << 24) | (text.charCodeAt(at + 1) << 16)
  return (high | (text.charCodeAt(at + 2) << 8) | text.charCodeAt(at + 3)) >>> 0
}

/** A database checksum with one page checksum (or another sum) more. */
export function addChecksum(sum: bigint, checksum: bigint): bigint {
  return BigInt.asUintN(64, sum + checksum)
}

/** A database checksum with one page checksum (or another sum) less. */
export function subtractChecksum(sum: bigint, checksum: bigint): bigint {
  return BigInt.asUintN(64, sum - checksum)
}

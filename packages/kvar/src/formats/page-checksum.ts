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
  return hash('sha256', scratch, 'buffer').readBigUInt64BE(0)
}

/** A database checksum with one page checksum (or another sum) more. */
export function addChecksum(sum: bigint, checksum: bigint): bigint {
  return BigInt.asUintN(64, sum + checksum)
}

/** A database checksum with one page checksum (or another sum) less. */
export function subtractChecksum(sum: bigint, checksum: bigint): bigint {
  return BigInt.asUintN(64, sum - checksum)
}

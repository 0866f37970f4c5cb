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
  const digest = sha256(scratch)
  return (BigInt(u32(digest, 0)) << 32n) | BigInt(u32(digest, 4))
}

/** How much room a buffer for `pageChecksumsOver` has before its first page. */
export const BEFORE_PAGES_BYTES = 4

/**
 * The checksums of neighbouring pages, without copying them: each page's number is written over the end
 * of the page before it, which has had its turn. The buffer is spoilt afterwards.
 *
 * @param buffer four bytes of room, then the pages
 * @returns one checksum a page, the lock page's too: the caller leaves it out
 */
export function pageChecksumsOver(
  buffer: Uint8Array,
  first: number,
  pageSize: number,
): BigUint64Array<ArrayBuffer> {
  const count = (buffer.length - BEFORE_PAGES_BYTES) / pageSize
  const view = new DataView(buffer.buffer, buffer.byteOffset, buffer.length)
  const checksums = new BigUint64Array(count)
  const result = new DataView(checksums.buffer)
  for (let i = 0, start = 0; i < count; i++, start += pageSize) {
    view.setUint32(start, first + i)
    const digest = sha256(buffer.subarray(start, start + BEFORE_PAGES_BYTES + pageSize))
    result.setUint32(i * 8 + (HOST_IS_LITTLE_ENDIAN ? 4 : 0), u32(digest, 0), HOST_IS_LITTLE_ENDIAN)
    result.setUint32(i * 8 + (HOST_IS_LITTLE_ENDIAN ? 0 : 4), u32(digest, 4), HOST_IS_LITTLE_ENDIAN)
  }
  return checksums
}

const HOST_IS_LITTLE_ENDIAN = new Uint8Array(new Uint32Array([1]).buffer)[0] === 1

/** One character a byte: making a Buffer of the result takes as long as half of the hashing. */
function sha256(bytes: Uint8Array): string {
  return hash('sha256', bytes, 'binary')
}

function u32(text: string, at: number): number {
  const high = (text.charCodeAt(at) << 24) | (text.charCodeAt(at + 1) << 16)
  return (high | (text.charCodeAt(at + 2) << 8) | text.charCodeAt(at + 3)) >>> 0
}

/** A database checksum with one page checksum (or another sum) more. */
export function addChecksum(sum: bigint, checksum: bigint): bigint {
  return BigInt.asUintN(64, sum + checksum)
}

/** The database checksum of a whole table of page checksums (zero at the lock page). */
export function sumChecksums(checksums: BigUint64Array): bigint {
  const halves = new Uint32Array(checksums.buffer, checksums.byteOffset, checksums.length * 2)
  const [lowAt, highAt] = HOST_IS_LITTLE_ENDIAN ? [0, 1] : [1, 0]
  let sum = 0n
  // Halves as plain numbers, which hold the sum of a million of them; BigInt addition is slow.
  for (let start = 0; start < halves.length; start += HALVES_AT_ONCE) {
    const end = Math.min(halves.length, start + HALVES_AT_ONCE)
    let [low, high] = [0, 0]
    for (let i = start; i < end; i += 2) {
      low += halves[i + lowAt] as number
      high += halves[i + highAt] as number
    }
    sum += BigInt(low) + (BigInt(high) << 32n)
  }
  return BigInt.asUintN(64, sum)
}

const HALVES_AT_ONCE = 1 << 20

/** A database checksum with one page checksum (or another sum) less. */
export function subtractChecksum(sum: bigint, checksum: bigint): bigint {
  return BigInt.asUintN(64, sum - checksum)
}

import { assert, KvarError } from '../errors.ts'
import { isPageSize } from './database-header.ts'

/*
 * The LTX version file as Litestream 0.5 reads and writes it (docs/FORMATS.md has the whole file).
 * Header, big-endian, 100 bytes:
 *
 *   0  4  "LTX1"                         40  8  checksum before applying, 0
 *   4  4  flags, 2 = without checksums   48  8  WAL offset: 32, neutral
 *   8  4  page size                      56  8  WAL size: 0
 *  12  4  pages after applying           64  8  WAL salts: 0
 *  16  8  first version                  72  8  node id
 *  24  8  last version                   80  4  "KVR1", or all 20 bytes zero
 *  32  8  milliseconds since 1970        84  8  database checksum after applying, 0 unknown
 *                                        92  8  lineage, 0 unknown
 */

export const LTX_HEADER_BYTES = 100
export const LTX_FRAME_HEADER_BYTES = 6
export const LTX_BLOCK_SIZE_BYTES = 4
export const LTX_TRAILER_BYTES = 16
/** The only flag of a page frame: a size follows, then one raw LZ4 block. */
export const LTX_FRAME_HAS_SIZE = 1
/** Bit 63 marks a file checksum, so that it is never zero. */
export const LTX_CHECKSUM_FLAG = 1n << 63n

const MAGIC = 0x4c545831
const FLAG_NO_CHECKSUM = 2
const NEUTRAL_WAL_OFFSET = 32n
const KVAR_MAGIC = 0x4b565231
const NAME_PATTERN = /^([0-9a-f]{16})-([0-9a-f]{16})\.ltx$/
const NAME_AT_END_OF_KEY = /(?:^|\/)([0-9a-f]{16}-[0-9a-f]{16}\.ltx)(?:\.age)?$/

/** What the first 100 bytes of a version file say. */
export interface LtxHeader {
  pageSize: number
  /** Pages of the database after applying the file; never 0. */
  pageCount: number
  /** First version in the file; 1 makes it a snapshot that holds every page. */
  minVersion: number
  maxVersion: number
  /** When version `maxVersion` was cut, milliseconds since 1970. */
  timestampMs: number
  /** Who cut it: random, one per life of a keeper. */
  nodeId: bigint
  /** Sum of all page checksums after applying; undefined (stored as 0) if unknown. */
  databaseChecksum?: bigint | undefined
  /** The identity of the database; undefined (stored as 0) if unknown. */
  lineage?: bigint | undefined
}

/** The name of the file that holds the versions `minVersion` to `maxVersion`. */
export function ltxName(minVersion: number, maxVersion: number): string {
  assert(isVersionRange(minVersion, maxVersion), `no versions ${minVersion}-${maxVersion} can exist`)
  return `${hex16(minVersion)}-${hex16(maxVersion)}.ltx`
}

/** The versions a file name tells of; undefined if it is no name of a version file. */
export function parseLtxName(name: string): { minVersion: number; maxVersion: number } | undefined {
  const match = NAME_PATTERN.exec(name)
  if (match === null) return undefined
  const minVersion = Number.parseInt(match[1] as string, 16)
  const maxVersion = Number.parseInt(match[2] as string, 16)
  return isVersionRange(minVersion, maxVersion) ? { minVersion, maxVersion } : undefined
}

/** The 100 bytes of a header. */
export function encodeLtxHeader(header: LtxHeader): Uint8Array {
  assertHeader(header)
  const bytes = new Uint8Array(LTX_HEADER_BYTES)
  const view = new DataView(bytes.buffer)
  view.setUint32(0, MAGIC)
  view.setUint32(4, FLAG_NO_CHECKSUM)
  view.setUint32(8, header.pageSize)
  view.setUint32(12, header.pageCount)
  view.setBigUint64(16, BigInt(header.minVersion))
  view.setBigUint64(24, BigInt(header.maxVersion))
  view.setBigUint64(32, BigInt(header.timestampMs))
  view.setBigUint64(48, NEUTRAL_WAL_OFFSET)
  view.setBigUint64(72, header.nodeId)
  if (header.databaseChecksum !== undefined || header.lineage !== undefined) {
    view.setUint32(80, KVAR_MAGIC)
    view.setBigUint64(84, header.databaseChecksum ?? 0n)
    view.setBigUint64(92, header.lineage ?? 0n)
  }
  return bytes
}

/**
 * Reads and checks a header. If `name` ends in the name of a version file (a key on a target does),
 * the versions must agree with it: a file in another's place must not pass for it.
 *
 * @param bytes at least the first 100 bytes of the file
 * @param name what errors call the file
 * @throws KvarError DAMAGED
 */
export function parseLtxHeader(bytes: Uint8Array, name: string): LtxHeader {
  if (bytes.length < LTX_HEADER_BYTES)
    throw damagedLtx(name, `it ends inside its header (${bytes.length} bytes)`)
  const view = new DataView(bytes.buffer, bytes.byteOffset, LTX_HEADER_BYTES)
  if (view.getUint32(0) !== MAGIC) throw damagedLtx(name, 'it does not begin with "LTX1"')
  checkFlags(view, name)
  const safe = (offset: number, field: string) => safeInteger(view.getBigUint64(offset), field, name)
  const header: LtxHeader = {
    pageSize: view.getUint32(8),
    pageCount: view.getUint32(12),
    minVersion: safe(16, 'first version'),
    maxVersion: safe(24, 'last version'),
    timestampMs: safe(32, 'time'),
    nodeId: view.getBigUint64(72),
  }
  if (view.getUint32(80) === KVAR_MAGIC) {
    header.databaseChecksum = view.getBigUint64(84) || undefined
    header.lineage = view.getBigUint64(92) || undefined
  }
  checkHeader(header, name)
  return header
}

function checkFlags(view: DataView, name: string): void {
  const flags = view.getUint32(4)
  if (flags !== FLAG_NO_CHECKSUM) {
    throw damagedLtx(name, `its flags are ${flags}, where only 2 (without rolling checksums) is known`)
  }
  if (view.getBigUint64(40) !== 0n) throw damagedLtx(name, 'it has a checksum where its flags say none')
}

function checkHeader(header: LtxHeader, name: string): void {
  const { pageSize, pageCount, minVersion, maxVersion } = header
  if (!isPageSize(pageSize)) throw damagedLtx(name, `${pageSize} is no page size`)
  if (pageCount === 0) throw damagedLtx(name, 'it tells of a database without pages')
  if (!isVersionRange(minVersion, maxVersion))
    throw damagedLtx(name, `no versions ${minVersion}-${maxVersion} can exist`)
  const named = NAME_AT_END_OF_KEY.exec(name)?.[1]
  if (named !== undefined && named !== ltxName(minVersion, maxVersion)) {
    throw damagedLtx(name, `it holds the versions ${minVersion}-${maxVersion}, not those of its name`)
  }
}

function assertHeader(header: LtxHeader): void {
  const { pageSize, pageCount, minVersion, maxVersion, timestampMs } = header
  assert(isPageSize(pageSize), `${pageSize} is no page size`)
  assert(Number.isInteger(pageCount) && pageCount > 0 && pageCount < 2 ** 32, `${pageCount} is no page count`)
  assert(isVersionRange(minVersion, maxVersion), `no versions ${minVersion}-${maxVersion} can exist`)
  assert(Number.isSafeInteger(timestampMs) && timestampMs >= 0, `${timestampMs} is no time`)
}

function isVersionRange(minVersion: number, maxVersion: number): boolean {
  const bothSafe = Number.isSafeInteger(minVersion) && Number.isSafeInteger(maxVersion)
  return bothSafe && minVersion >= 1 && maxVersion >= minVersion
}

function safeInteger(value: bigint, field: string, name: string): number {
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw damagedLtx(name, `its ${field} ${value} is out of range`)
  return Number(value)
}

function hex16(value: number): string {
  return value.toString(16).padStart(16, '0')
}

/** The error for a version file whose content cannot be true. */
export function damagedLtx(name: string, what: string, cause?: unknown): KvarError {
  return new KvarError('DAMAGED', `The version file "${name}" is damaged: ${what}`, {
    hint: 'restore from another target, or a version that does not need this file',
    data: { name },
    ...(cause === undefined ? {} : { cause }),
  })
}

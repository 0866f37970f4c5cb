import { addChecksum, pageChecksum } from '../../packages/kvar/src/formats/page-checksum.ts'

/*
 * A database small enough to know by heart, in a file that our code takes for SQLite's (rollback
 * journal). Rows are numbers that never come twice and are never deleted, so "nothing is lost" is a
 * question of sets.
 *
 *   page 1   0  100  SQLite's header, as far as Kvar reads it
 *          100    4  1 when the app has made its table
 *          104    4  number of rows
 *          108    4  number of pages of padding behind the rows: they come and go
 *          112    4  checksum of everything else
 *   page 2 … rows, 127 to a page behind the number of the page's last writer; then padding
 */

export const PAGE_BYTES = 512
const ROWS_PER_PAGE = PAGE_BYTES / 4 - 1
const TABLE_AT = 100
const ROWS_AT = 104
const PADDING_AT = 108
const CHECKSUM_AT = 112

export interface Content {
  hasTable: boolean
  rows: readonly number[]
  paddingPages: number
  changeCounter: number
}

export const EMPTY: Content = { hasTable: false, rows: [], paddingPages: 0, changeCounter: 0 }

/** The file that holds this content. */
export function encode(content: Content): Uint8Array {
  const rowPages = Math.ceil(content.rows.length / ROWS_PER_PAGE)
  const pageCount = 1 + rowPages + content.paddingPages
  const bytes = new Uint8Array(pageCount * PAGE_BYTES)
  const view = new DataView(bytes.buffer)
  writeHeader(view, pageCount, content.changeCounter)
  view.setUint32(TABLE_AT, content.hasTable ? 1 : 0)
  view.setUint32(ROWS_AT, content.rows.length)
  view.setUint32(PADDING_AT, content.paddingPages)
  content.rows.forEach((row, index) => {
    view.setUint32(offsetOfRow(index), row)
  })
  for (let page = 1 + rowPages; page < pageCount; page++)
    bytes.fill(page + content.rows.length, page * PAGE_BYTES, (page + 1) * PAGE_BYTES)
  view.setUint32(CHECKSUM_AT, checksumOf(bytes))
  return bytes
}

/** The content of a file; undefined when it is none that an app ever committed. */
export function decode(bytes: Uint8Array): Content | undefined {
  if (bytes.length < PAGE_BYTES || bytes.length % PAGE_BYTES !== 0) return undefined
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  const [stored, count] = [view.getUint32(CHECKSUM_AT), view.getUint32(ROWS_AT)]
  const paddingPages = view.getUint32(PADDING_AT)
  const pageCount = 1 + Math.ceil(count / ROWS_PER_PAGE) + paddingPages
  if (view.getUint32(28) !== pageCount || bytes.length !== pageCount * PAGE_BYTES) return undefined
  if (checksumOf(bytes) !== stored) return undefined
  const rows = Array.from({ length: count }, (_, index) => view.getUint32(offsetOfRow(index)))
  return { hasTable: view.getUint32(TABLE_AT) === 1, rows, paddingPages, changeCounter: view.getUint32(24) }
}

/** The database checksum that Kvar computes of a file. */
export function databaseChecksum(bytes: Uint8Array): bigint {
  let sum = 0n
  for (let page = 1; page * PAGE_BYTES <= bytes.length; page++) {
    sum = addChecksum(sum, pageChecksum(page, bytes.subarray((page - 1) * PAGE_BYTES, page * PAGE_BYTES)))
  }
  return sum
}

function offsetOfRow(index: number): number {
  return (1 + Math.floor(index / ROWS_PER_PAGE)) * PAGE_BYTES + 4 + (index % ROWS_PER_PAGE) * 4
}

function writeHeader(view: DataView, pageCount: number, changeCounter: number): void {
  new TextEncoder().encodeInto('SQLite format 3\0', new Uint8Array(view.buffer))
  view.setUint16(16, PAGE_BYTES)
  view.setUint8(18, 1)
  view.setUint8(19, 1)
  view.setUint32(24, changeCounter)
  view.setUint32(28, pageCount)
  view.setUint32(92, changeCounter)
}

/** FNV-1a over words, the place of the checksum itself left out. */
function checksumOf(bytes: Uint8Array): number {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
  let value = 0x811c9dc5
  for (let offset = 0; offset < bytes.length; offset += 4) {
    if (offset !== CHECKSUM_AT) value = Math.imul(value ^ view.getUint32(offset), 0x01000193)
  }
  return value >>> 0
}

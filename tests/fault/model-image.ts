import { createHash } from 'node:crypto'
import * as fs from 'node:fs'

/*
 * What a database's pages are, told without any code of the product: the file, and over it the newest
 * committed frames of its WAL. The app must be at rest: then every frame of the present generation was
 * written by the app that is asked for its truth, so salts suffice and no checksum has to be believed.
 *
 *   WAL: 32 bytes (page size at 8, salts at 16), then frames: page number at 0, size after commit at 4,
 *   salts at 8, the page at 24
 */

const WAL_HEADER_BYTES = 32
const FRAME_HEADER_BYTES = 24

/** Every page of the committed state; the lock page's place is taken as it lies. */
export function imageOf(path: string): Buffer {
  const file = fs.existsSync(path) ? fs.readFileSync(path) : Buffer.alloc(0)
  const walPath = `${path}-wal`
  const wal = fs.existsSync(walPath) ? fs.readFileSync(walPath) : Buffer.alloc(0)
  const frames = committedFrames(wal)
  const last = frames.at(-1)
  if (last === undefined) return file.subarray(0, sizeOf(file))
  const { pageSize } = last
  const image = Buffer.alloc(last.pageCount * pageSize)
  file.copy(image)
  for (const { pageNumber, offset } of frames)
    if (pageNumber <= last.pageCount) wal.copy(image, (pageNumber - 1) * pageSize, offset, offset + pageSize)
  return image
}

function sizeOf(file: Buffer): number {
  return file.length === 0 ? 0 : file.readUInt32BE(28) * pageSizeOf(file)
}

export function pageSizeOf(file: Buffer): number {
  const stored = file.readUInt16BE(16)
  return stored === 1 ? 65536 : stored
}

interface Frame {
  pageNumber: number
  /** Of the page inside the WAL. */
  offset: number
  pageSize: number
  /** Of the database, after the newest commit. */
  pageCount: number
}

function committedFrames(wal: Buffer): Frame[] {
  if (wal.length < WAL_HEADER_BYTES) return []
  const pageSize = wal.readUInt32BE(8)
  const salts = wal.subarray(16, 24)
  const step = FRAME_HEADER_BYTES + pageSize
  const found: Frame[] = []
  let committed = 0
  for (let start = WAL_HEADER_BYTES; start + step <= wal.length; start += step) {
    if (wal.compare(salts, 0, 8, start + 8, start + 16) !== 0) break
    const pageCount = wal.readUInt32BE(start + 4)
    found.push({
      pageNumber: wal.readUInt32BE(start),
      offset: start + FRAME_HEADER_BYTES,
      pageSize,
      pageCount,
    })
    if (pageCount !== 0) committed = found.length
  }
  return found.slice(0, committed)
}

/** Where two images differ, for a person. */
export function difference(found: Uint8Array, wanted: Uint8Array): string {
  if (found.length !== wanted.length) return `${found.length} bytes instead of ${wanted.length}`
  const at = found.findIndex((byte, index) => byte !== wanted[index])
  return at === -1 ? 'nothing' : `byte ${at} is ${found[at]} instead of ${wanted[at]}`
}

export function digestOf(image: Uint8Array): string {
  return createHash('sha256').update(image).digest('hex')
}

import { isPageSize } from './database-header.ts'
import { WalChecksum } from './wal-checksum.ts'

/*
 * SQLite's write-ahead log (sqlite.org/walformat.html). All header fields are big-endian.
 *
 *  WAL header                        frame header
 *   0  4  magic 0x377f0682 / …83      0  4  page number
 *   4  4  version 3007000             4  4  pages of the database after the commit, else 0
 *   8  4  page size                   8  8  salt-1, salt-2 as in the WAL header
 *  12  4  checkpoint sequence        16  8  checksum-1, checksum-2
 *  16  8  salt-1, salt-2             24  …  the page
 *  24  8  checksum-1, checksum-2
 *
 * The checksum runs over the header and all frames so far; its words are big-endian if the magic is
 * odd. A restarted WAL reuses the file (new salts in front, old frames behind), so neither size nor
 * time of the file tells anything: only salts and the chain of checksums do.
 */

export const WAL_HEADER_BYTES = 32
export const WAL_FRAME_HEADER_BYTES = 24
const MAGIC_LITTLE_ENDIAN = 0x377f0682
const MAGIC_BIG_ENDIAN = 0x377f0683
const WAL_VERSION = 3007000
const CHUNK_BYTES = 256 * 1024

export interface WalHeader {
  pageSize: number
  bigEndianChecksum: boolean
  checkpointSequence: number
  salt1: number
  salt2: number
  checksum1: number
  checksum2: number
}

/** A place in one generation of a WAL: just after a commit, or (frameCount 0) after the header. */
export interface WalPosition {
  checkpointSequence: number
  salt1: number
  salt2: number
  /** Frames before this place. */
  frameCount: number
  /** The running checksum at this place, needed to verify the next frame. */
  checksum1: number
  checksum2: number
}

export interface WalScan {
  header: WalHeader
  /**
   * True if `from` belongs to this generation and its frames are still there: the scan went on from
   * it. False: the scan began at the first frame. If the salts are `from`'s and the new position lies
   * before it all the same, the file went back in time.
   */
  continued: boolean
  /** Just after the last valid commit. */
  position: WalPosition
  /** Commits found after the place where the scan began. */
  commits: number
  /** Pages of the database after the last commit; 0 when `commits` is 0. */
  pageCount: number
  /**
   * Page number → offset in the WAL of the newest committed image of the page (of the page itself,
   * after its frame header). Pages beyond `pageCount` are no part of the database now, but must not be
   * forgotten: if it grows over them again without a frame of their own (free pages), SQLite and its
   * checkpoints take the old frame as their content.
   */
  pages: Map<number, number>
}

/** Fills `buffer` from `offset`; answers how many bytes there were (fewer at the end of the file). */
export type ReadAt = (buffer: Uint8Array, offset: number) => number

/**
 * Reads the committed frames of a WAL, verifying salt and checksum of each, up to the last valid
 * commit. What follows it (a running transaction, a torn write, frames of an older generation) does
 * not exist for SQLite and not for us.
 *
 * @param read reads the WAL file; its size is never asked
 * @param from where an earlier scan ended; without it everything is read
 * @returns undefined if there is no valid WAL header: file missing, short or torn
 * @example
 * const scan = scanWal((buffer, offset) => file.readSync(buffer, offset), previous?.position)
 */
export function scanWal(read: ReadAt, from?: WalPosition): WalScan | undefined {
  const start = new Uint8Array(WAL_HEADER_BYTES)
  if (read(start, 0) < WAL_HEADER_BYTES) return undefined
  const header = parseWalHeader(start)
  if (header === undefined) return undefined
  const continued = from !== undefined && isStillThere(read, header, from)
  const scanner = new FrameScanner(header, continued ? from : positionAfterHeader(header))
  readFrames(read, header.pageSize, scanner)
  return scanner.result(continued)
}

/**
 * Reads the rest of a generation whose header has already been overwritten by the next one. Its last
 * frames stay in the file until the new generation has grown as far; the caller checks that it has not.
 *
 * @param header the header of the former generation
 * @param from where the last scan of that generation ended
 */
export function scanFormerGeneration(read: ReadAt, header: WalHeader, from: WalPosition): WalScan {
  const scanner = new FrameScanner(header, from)
  readFrames(read, header.pageSize, scanner)
  return scanner.result(true)
}

/**
 * Reads a WAL header.
 *
 * @returns undefined if it is short, of another version, or its checksum does not match
 */
export function parseWalHeader(bytes: Uint8Array): WalHeader | undefined {
  if (bytes.length < WAL_HEADER_BYTES) return undefined
  const view = new DataView(bytes.buffer, bytes.byteOffset, WAL_HEADER_BYTES)
  const field = (index: number) => view.getUint32(index * 4)
  const bigEndianChecksum = field(0) === MAGIC_BIG_ENDIAN
  if (!bigEndianChecksum && field(0) !== MAGIC_LITTLE_ENDIAN) return undefined
  if (field(1) !== WAL_VERSION || !isPageSize(field(2))) return undefined
  const sum = new WalChecksum(bigEndianChecksum, 0, 0).update(bytes, 0, 24)
  if (sum.first !== field(6) || sum.second !== field(7)) return undefined
  return {
    pageSize: field(2),
    bigEndianChecksum,
    checkpointSequence: field(3),
    salt1: field(4),
    salt2: field(5),
    checksum1: field(6),
    checksum2: field(7),
  }
}

/** Offset in the WAL of frame number `frameIndex`, counted from 0; the page follows 24 bytes later. */
export function walFrameOffset(pageSize: number, frameIndex: number): number {
  return WAL_HEADER_BYTES + frameIndex * (WAL_FRAME_HEADER_BYTES + pageSize)
}

/** The place just after a header, before any frame. */
export function positionAfterHeader(header: WalHeader): WalPosition {
  const { checkpointSequence, salt1, salt2, checksum1, checksum2 } = header
  return { checkpointSequence, salt1, salt2, frameCount: 0, checksum1, checksum2 }
}

/** Equal salts are not enough: a disk that went back in time has them too, with fewer frames. */
function isStillThere(read: ReadAt, header: WalHeader, from: WalPosition): boolean {
  const { checkpointSequence, salt1, salt2 } = header
  if (from.checkpointSequence !== checkpointSequence) return false
  if (from.salt1 !== salt1 || from.salt2 !== salt2) return false
  if (from.frameCount === 0) return from.checksum1 === header.checksum1 && from.checksum2 === header.checksum2
  const last = new Uint8Array(WAL_FRAME_HEADER_BYTES)
  if (read(last, walFrameOffset(header.pageSize, from.frameCount - 1)) < last.length) return false
  const view = new DataView(last.buffer)
  const isCommit = view.getUint32(4) !== 0
  return isCommit && view.getUint32(16) === from.checksum1 && view.getUint32(20) === from.checksum2
}

/** One buffer for all scans: making a new one each time would cost more than what is read into it. */
let frameBuffer = new Uint8Array(0)

/** Feeds whole frames to the scanner, many per read, until one is invalid or the file ends. */
function readFrames(read: ReadAt, pageSize: number, scanner: FrameScanner): void {
  const frameBytes = WAL_FRAME_HEADER_BYTES + pageSize
  const largestRead = Math.max(4, Math.floor(CHUNK_BYTES / frameBytes))
  if (frameBuffer.length < largestRead * frameBytes) frameBuffer = new Uint8Array(largestRead * frameBytes)
  // The usual scan finds a commit or none, so the first read is small.
  for (let frameCount = 4; ; frameCount = Math.min(frameCount * 4, largestRead)) {
    const buffer = frameBuffer.subarray(0, frameCount * frameBytes)
    const view = new DataView(buffer.buffer, 0, buffer.length)
    const sizeBytes = read(buffer, walFrameOffset(pageSize, scanner.frameCount))
    for (let start = 0; start + frameBytes <= sizeBytes; start += frameBytes) {
      if (!scanner.accept(buffer, view, start)) return
    }
    if (sizeBytes < buffer.length) return
  }
}

/** Follows the chain of checksums and keeps what is committed apart from what is not yet. */
class FrameScanner {
  frameCount: number
  readonly #header: WalHeader
  readonly #checksum: WalChecksum
  readonly #pages = new Map<number, number>()
  readonly #uncommitted = new Map<number, number>()
  readonly #from: WalPosition
  /** Just after the last commit. */
  #committed: { frameCount: number; checksum1: number; checksum2: number }
  #commits = 0
  #pageCount = 0

  constructor(header: WalHeader, position: WalPosition) {
    this.#header = header
    this.#from = position
    const { frameCount, checksum1, checksum2 } = position
    this.#committed = { frameCount, checksum1, checksum2 }
    this.frameCount = position.frameCount
    this.#checksum = new WalChecksum(header.bigEndianChecksum, position.checksum1, position.checksum2)
  }

  /** Takes one frame; false if it is not valid, and then nothing after it counts. */
  accept(buffer: Uint8Array, view: DataView, start: number): boolean {
    const pageNumber = view.getUint32(start)
    if (pageNumber === 0) return false
    const { salt1, salt2 } = this.#header
    if (view.getUint32(start + 8) !== salt1 || view.getUint32(start + 12) !== salt2) return false
    const { pageSize } = this.#header
    this.#checksum.update(buffer, start, 8).update(buffer, start + WAL_FRAME_HEADER_BYTES, pageSize)
    const { first, second } = this.#checksum
    if (view.getUint32(start + 16) !== first || view.getUint32(start + 20) !== second) return false
    this.#uncommitted.set(pageNumber, walFrameOffset(pageSize, this.frameCount) + WAL_FRAME_HEADER_BYTES)
    this.frameCount++
    if (view.getUint32(start + 4) !== 0) this.#commit(view.getUint32(start + 4))
    return true
  }

  #commit(pageCount: number): void {
    for (const [pageNumber, offset] of this.#uncommitted) this.#pages.set(pageNumber, offset)
    this.#uncommitted.clear()
    this.#commits++
    this.#pageCount = pageCount
    this.#committed.frameCount = this.frameCount
    this.#committed.checksum1 = this.#checksum.first
    this.#committed.checksum2 = this.#checksum.second
  }

  result(continued: boolean): WalScan {
    return {
      header: this.#header,
      continued,
      position: { ...this.#from, ...this.#committed },
      commits: this.#commits,
      pageCount: this.#pageCount,
      pages: this.#pages,
    }
  }
}

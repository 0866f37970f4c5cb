import { KvarError } from '../errors.ts'
import { lockPageNumber } from '../formats/database-header.ts'
import { pageChecksum } from '../formats/page-checksum.ts'
import {
  parseWalHeader,
  scanFormerGeneration,
  scanWal,
  WAL_HEADER_BYTES,
  type WalHeader,
  type WalPosition,
  type WalScan,
  walFrameOffset,
} from '../formats/wal.ts'
import { sleep } from '../platform/clock.ts'
import type { Platform } from '../platform/platform.ts'
import { sqliteErrorCode } from '../platform/sqlite.ts'
import type {
  CapturePosition,
  CaptureSource,
  ChangeSink,
  CheckOutcome,
  LookOutcome,
  RestOutcome,
} from './capture-source.ts'
import { DatabaseFile, WalFile } from './database-files.ts'
import { RollingReadLock } from './rolling-read-lock.ts'

/** Beyond this size the WAL is moved back into the database by us, as often as `CHECKPOINT_PAUSE_MS` allows. */
const WAL_LIMIT_BYTES = 4 * 1024 * 1024
const CHECKPOINT_PAUSE_MS = 50
/** Beyond this size at the latest a writer without pauses is given the moment it needs to begin the WAL anew. */
const WAL_RESTART_BYTES = 64 * 1024 * 1024
/** How long that moment lasts at most, and how often we look whether it was used. */
const RESTART_WINDOW_MS = 50
const RESTART_LOOK_MS = 1
/** For so many such moments the WAL must last, so that what was written in one is never overwritten in it. */
const RESTART_MARGIN = 4
/** What a comparison costs that becomes due when it was overwritten all the same, about 1 GB/s. */
const COMPARED_BYTES_PER_MS = 1e6
/** How long everything is let go when somebody waits for our read lock. */
const RELEASE_MS = 1000
/** Rest tries without reaching mark 0 before everything is let go. */
const REST_TRIES = 4
/** What is compared between two turns of the event loop. */
const SLICE_BYTES = 2 * 1024 * 1024

const SQLITE_BUSY = 5
const SQLITE_PROTOCOL = 15

/**
 * Capture by WAL: reads the frames that were appended since the last look, under the rolling read
 * lock. After a gap (start, release, replaced file) every page is compared with the table instead.
 */
export class WalSource implements CaptureSource {
  readonly mode = 'wal' as const
  readonly #platform: Platform
  readonly #file: DatabaseFile
  readonly #wal: WalFile
  readonly #lock: RollingReadLock
  readonly #pageSize: number
  /** Newest captured frame of each page in the present WAL generation. */
  readonly #frames = new Map<number, number>()
  #position: WalPosition | undefined
  #header: WalHeader | undefined
  /** The page that `readPage` answers with, and the pages of a slice that is compared. */
  readonly #page: Uint8Array
  #slice: Uint8Array = new Uint8Array(0)
  /** True until every page was compared once without a gap since. */
  #compareNext = true
  #resting = false
  #restTries = 0
  #releasedUntilMs = 0
  #checkpointedAtMs = 0
  #checkpointedBytes = 0

  /** @throws a SQLite error (busy, not a database) when the file cannot be opened just now */
  constructor(path: string, platform: Platform) {
    this.#platform = platform
    this.#file = new DatabaseFile(path, platform)
    try {
      const header = this.#file.header()
      if (header === undefined) throw new KvarError('DATABASE_UNREADABLE', `"${path}" is no SQLite database`)
      this.#pageSize = header.pageSize
      this.#page = new Uint8Array(header.pageSize)
      this.#lock = new RollingReadLock(path, platform)
    } catch (thrown) {
      this.#file.close()
      throw thrown
    }
    this.#wal = new WalFile(path, platform)
  }

  async look(sink: ChangeSink): Promise<LookOutcome> {
    if (this.#platform.clock.monotonicMs() < this.#releasedUntilMs) {
      return { kind: 'busy', why: 'another connection waits to checkpoint' }
    }
    try {
      const done = this.#compareNext ? await this.#compareAll(sink) : this.#readNewFrames(sink)
      if (!done) return { kind: 'moved' }
      await this.#keepWalSmall(sink)
      return { kind: 'complete' }
    } catch (thrown) {
      const code = sqliteErrorCode(thrown)
      if (code === SQLITE_BUSY || code === SQLITE_PROTOCOL)
        return { kind: 'busy', why: 'the database is locked' }
      throw thrown
    }
  }

  /** The fast way: what was appended since the last look. */
  #readNewFrames(sink: ChangeSink): boolean {
    return this.#lock.roll(() => {
      if (!this.#sameFiles()) return false
      const scan = this.#scanVisible(this.#position)
      if (scan === undefined) return this.#walIsEmpty()
      if (!scan.continued) this.#frames.clear()
      this.#remember(scan)
      if (scan.commits > 0) this.#takeFrames(scan, sink)
      return true
    })
  }

  /**
   * What is committed in the WAL: never more frames than SQLite's index names. The index is asked before
   * and after, because a WAL that was begun anew in between has another count.
   */
  #scanVisible(from?: WalPosition): WalScan | undefined {
    let limit = this.#lock.visibleFrames()
    for (;;) {
      const scan = scanWal(this.#readUpTo(limit), from)
      const now = this.#lock.visibleFrames()
      if (scan === undefined || scan.position.frameCount <= now) return scan
      limit = now
    }
  }

  /** Reads the WAL as if it ended after so many frames. */
  #readUpTo(frameCount: number) {
    const endOffset = walFrameOffset(this.#pageSize, frameCount)
    return (buffer: Uint8Array, offset: number) =>
      this.#wal.read(buffer.subarray(0, Math.max(0, Math.min(buffer.length, endOffset - offset))), offset)
  }

  #remember(scan: WalScan): void {
    this.#position = scan.position
    this.#header = scan.header
  }

  #walIsEmpty(): boolean {
    // Truncated or not yet begun: everything captured so far is back in the database, because the
    // read lock we hold would have stopped the truncation otherwise.
    this.#frames.clear()
    this.#position = undefined
    return true
  }

  #takeFrames(scan: WalScan, sink: ChangeSink): void {
    this.#resting = false
    this.#restTries = 0
    const before = sink.table?.pageCount ?? 0
    const table = sink.shape(this.#pageSize, scan.pageCount)
    for (const [pageNumber, offset] of scan.pages) {
      this.#frames.set(pageNumber, offset)
      if (pageNumber <= scan.pageCount) sink.page(pageNumber, this.#readFrame(offset), true)
    }
    // SQLite does not always write a page it adds (a free page, for instance).
    const lockPage = lockPageNumber(this.#pageSize)
    for (let pageNumber = before + 1; pageNumber <= table.pageCount; pageNumber++) {
      if (scan.pages.has(pageNumber) || pageNumber === lockPage) continue
      sink.page(pageNumber, this.#readCurrent(pageNumber), true)
    }
  }

  /** The thorough way: every page of the state that our read transaction sees. */
  async #compareAll(sink: ChangeSink): Promise<boolean> {
    const scan = this.#lock.roll(() => {
      if (!this.#sameFiles()) return undefined
      return { wal: this.#scanVisible(), fileBytes: this.#file.facts().sizeBytes }
    })
    if (scan === undefined) return false
    this.#frames.clear()
    for (const [pageNumber, offset] of scan.wal?.pages ?? []) this.#frames.set(pageNumber, offset)
    this.#position = undefined
    if (scan.wal !== undefined) this.#remember(scan.wal)
    const pageCount = scan.wal?.pageCount || this.#file.header()?.pageCount || 0
    const table = sink.shape(this.#pageSize, pageCount)
    const lockPage = lockPageNumber(this.#pageSize)
    const slicePages = Math.max(1, SLICE_BYTES / this.#pageSize)
    for (let first = 1; first <= pageCount; first += slicePages) {
      const last = Math.min(pageCount, first + slicePages - 1)
      this.#compareSlice(first, last, lockPage, sink)
      if (last < pageCount) await this.#platform.clock.turn()
    }
    if (!this.#sameFiles()) return false
    this.#compareNext = false
    this.#resting = false
    return table.pageCount === pageCount
  }

  #compareSlice(first: number, last: number, lockPage: number, sink: ChangeSink): void {
    const slice = this.#readSlice(first, last)
    // A WAL that was restarted meanwhile was wholly back in the database when our transaction began
    // (we are on mark 0), and nothing newer can follow it there while we read.
    if (this.#frames.size > 0 && !this.#sameGeneration()) {
      this.#frames.clear()
      this.#compareSlice(first, last, lockPage, sink)
      return
    }
    for (let pageNumber = first, start = 0; pageNumber <= last; pageNumber++, start += this.#pageSize) {
      if (pageNumber !== lockPage) sink.page(pageNumber, slice.subarray(start, start + this.#pageSize), false)
    }
  }

  /** Neighbouring pages in one buffer, which the next call uses again: one read instead of hundreds. */
  #readSlice(first: number, last: number): Uint8Array {
    const sliceBytes = (last - first + 1) * this.#pageSize
    if (this.#slice.length < sliceBytes) this.#slice = new Uint8Array(sliceBytes)
    const slice = this.#slice.subarray(0, sliceBytes)
    this.#file.readPages(first, this.#pageSize, slice)
    if (this.#frames.size === 0) return slice
    for (let pageNumber = first, start = 0; pageNumber <= last; pageNumber++, start += this.#pageSize) {
      const offset = this.#frames.get(pageNumber)
      if (offset !== undefined) this.#readFrame(offset, slice.subarray(start, start + this.#pageSize))
    }
    return slice
  }

  /**
   * Our read lock keeps checkpoints from moving anything newer into the file, so what stands there and
   * in the captured frames is the captured state, unless the WAL was begun anew (mark 0).
   */
  async check(sink: ChangeSink, first: number, last: number): Promise<CheckOutcome> {
    const lockPage = lockPageNumber(this.#pageSize)
    const drifted: Array<[number, Uint8Array]> = []
    for (let pageNumber = first; pageNumber <= last; pageNumber++) {
      if (pageNumber === lockPage) continue
      // While everything is back in the database file, that file is what every reader sees.
      const image = this.#resting ? this.#readStored(pageNumber) : this.#readCurrent(pageNumber)
      if (pageChecksum(pageNumber, image) !== sink.table?.get(pageNumber)) drifted.push([pageNumber, image])
    }
    const sameWal = this.#resting || this.#frames.size === 0 || this.#sameGeneration()
    const stable = this.#sameFiles() && sameWal
    return stable ? { kind: 'checked', drifted } : { kind: 'unsure' }
  }

  readPage(pageNumber: number, expected: bigint): Uint8Array | undefined {
    const image = this.#readCurrent(pageNumber, this.#page)
    if (pageChecksum(pageNumber, image) === expected) return image
    const stored = this.#readStored(pageNumber, this.#page)
    return pageChecksum(pageNumber, stored) === expected ? stored : undefined
  }

  #readCurrent(pageNumber: number, image?: Uint8Array): Uint8Array {
    const offset = this.#frames.get(pageNumber)
    return offset === undefined ? this.#readStored(pageNumber, image) : this.#readFrame(offset, image)
  }

  #readFrame(offset: number, image: Uint8Array = new Uint8Array(this.#pageSize)): Uint8Array {
    image.fill(0, this.#wal.read(image, offset))
    return image
  }

  #isStored(pageNumber: number, offset: number): boolean {
    return Buffer.compare(this.#readFrame(offset), this.#readStored(pageNumber)) === 0
  }

  #readStored(pageNumber: number, image: Uint8Array = new Uint8Array(this.#pageSize)): Uint8Array {
    this.#file.readPage(pageNumber, image)
    return image
  }

  #sameFiles(): boolean {
    return this.#wal.follow() && this.#file.stillThere()
  }

  #sameGeneration(): boolean {
    const start = new Uint8Array(WAL_HEADER_BYTES)
    this.#wal.read(start, 0)
    const header = parseWalHeader(start)
    return header?.salt1 === this.#position?.salt1 && header?.salt2 === this.#position?.salt2
  }

  /** Bytes of the WAL that the present generation uses; the file itself never shrinks by a restart. */
  #usedBytes(): number {
    return walFrameOffset(this.#pageSize, this.#position?.frameCount ?? 0)
  }

  /** Our read lock keeps the app's own checkpoints from ever finishing, so we finish them. */
  async #keepWalSmall(sink: ChangeSink): Promise<void> {
    const nowMs = this.#platform.clock.monotonicMs()
    if (this.#usedBytes() < WAL_LIMIT_BYTES || nowMs - this.#checkpointedAtMs < CHECKPOINT_PAUSE_MS) return
    if (this.#resting) return
    const { complete } = this.#lock.checkpoint()
    const before = this.#position
    this.#readNewFrames(sink)
    // Nothing was written since: we are on mark zero, and the app's next commit begins the WAL anew.
    const onMarkZero = complete && samePosition(before, this.#position)
    if (!onMarkZero && this.#usedBytes() > this.#restartBytes(nowMs)) await this.#letRestart(sink)
    this.#checkpointedAtMs = this.#platform.clock.monotonicMs()
    this.#checkpointedBytes = this.#usedBytes()
  }

  /**
   * How large the WAL may become before it is let begin anew. A small one is quicker for the app: it
   * overwrites what the cache still holds instead of making a file longer. But what the app writes while we
   * let go, at the rate it wrote since the last time, must stay far behind the new beginning; the farther,
   * the more a comparison would cost.
   */
  #restartBytes(nowMs: number): number {
    if (this.#checkpointedAtMs === 0) return WAL_RESTART_BYTES
    const usedBytes = this.#usedBytes()
    const isSame = usedBytes >= this.#checkpointedBytes
    const grownBytes = isSame ? usedBytes - this.#checkpointedBytes : usedBytes
    const bytesPerMs = grownBytes / Math.max(1, nowMs - this.#checkpointedAtMs)
    const spanMs = RESTART_MARGIN * RESTART_WINDOW_MS + this.#file.facts().sizeBytes / COMPARED_BYTES_PER_MS
    return Math.min(WAL_RESTART_BYTES, Math.max(WAL_LIMIT_BYTES, bytesPerMs * spanMs))
  }

  /**
   * A writer without any pause always has a frame beyond our mark, and its WAL would grow for ever.
   * Taking the write lock would make an app without busy timeout fail; instead we let go for a moment:
   * the app's own checkpoint then finishes and its next commit begins the WAL anew. The frames it wrote
   * in between still lie at the end of the file, megabytes behind the new beginning.
   */
  async #letRestart(sink: ChangeSink): Promise<void> {
    const former = this.#position
    const header = this.#header
    if (former === undefined || header === undefined) return
    this.#lock.release()
    const { clock } = this.#platform
    const untilMs = clock.monotonicMs() + RESTART_WINDOW_MS
    while (this.#sameGeneration() && clock.monotonicMs() < untilMs) await sleep(clock, RESTART_LOOK_MS)
    this.#lock.roll(() => {
      const scan = this.#scanVisible(former)
      if (scan?.continued) return this.#takeScan(scan, sink)
      // One restart adds one to the first salt (walRestartHdr). Anything else may hide a generation.
      const oneRestart = scan !== undefined && scan.header.salt1 === (header.salt1 + 1) >>> 0
      if (!oneRestart || !this.#sameFiles()) return this.#compareLater()
      const tail = scanFormerGeneration(this.#wal.read, header, former)
      // A writer killed before SQLite counted its frames leaves a commit that never was. What really
      // was committed is back in the database by now; anything else is sorted out by comparing.
      if (![...tail.pages].every(([page, offset]) => this.#isStored(page, offset)))
        return this.#compareLater()
      if (tail.commits > 0) this.#takeFrames(tail, sink)
      const reached = this.#scanVisible()?.position.frameCount ?? Number.POSITIVE_INFINITY
      if (reached >= former.frameCount) return this.#compareLater()
      this.#frames.clear()
      this.#takeScan(scan, sink)
    })
    if (this.#compareNext) await this.#compareAll(sink)
  }

  #takeScan(scan: WalScan, sink: ChangeSink): void {
    this.#remember(scan)
    if (scan.commits > 0) this.#takeFrames(scan, sink)
  }

  #compareLater(): void {
    this.#compareNext = true
  }

  async rest(sink: ChangeSink): Promise<RestOutcome> {
    if (this.#resting) return 'resting'
    if (this.#platform.clock.monotonicMs() < this.#releasedUntilMs) return 'released'
    try {
      const moved = this.#lock.checkpoint()
      const before = this.#position
      if (this.#compareNext || !this.#readNewFrames(sink)) return 'again'
      this.#resting = moved.complete && samePosition(before, this.#position)
    } catch (thrown) {
      if (sqliteErrorCode(thrown) !== SQLITE_BUSY) throw thrown
    }
    if (this.#resting) return 'resting'
    this.#restTries += 1
    if (this.#restTries < REST_TRIES) return 'again'
    this.#release()
    return 'released'
  }

  /** Somebody's checkpoint waits for us: let it pass, and compare afterwards. */
  #release(): void {
    this.#lock.release()
    this.#restTries = 0
    this.#compareNext = true
    this.#releasedUntilMs = this.#platform.clock.monotonicMs() + RELEASE_MS
  }

  isUnchanged(): boolean {
    if (this.#compareNext || !this.#sameFiles()) return false
    const scan = scanWal(this.#wal.read, this.#position)
    if (scan === undefined) return this.#position === undefined
    return scan.commits === 0 && (scan.continued || this.#position === undefined)
  }

  position(): CapturePosition {
    const changeCounter = this.#file.header()?.changeCounter ?? 0
    if (this.#position === undefined) return { changeCounter }
    const { salt1, salt2, frameCount, checksum1, checksum2 } = this.#position
    return { changeCounter, wal: { salt1, salt2, frameCount, checksum1, checksum2 } }
  }

  close(): void {
    this.#lock.close()
    this.#wal.close()
    this.#file.close()
  }
}

function samePosition(a: WalPosition | undefined, b: WalPosition | undefined): boolean {
  return a?.salt1 === b?.salt1 && a?.salt2 === b?.salt2 && a?.frameCount === b?.frameCount
}

import { assert } from '../errors.ts'
import { lockPageNumber } from '../formats/database-header.ts'
import { pageChecksum } from '../formats/page-checksum.ts'
import type { Platform } from '../platform/platform.ts'
import { sqliteErrorCode } from '../platform/sqlite.ts'
import type { CapturePosition, CaptureSource, ChangeSink } from './capture-source.ts'
import { ComparisonSource } from './comparison-source.ts'
import { DatabaseFile } from './database-files.ts'
import { PageTable } from './page-table.ts'
import { PendingPages } from './pending-pages.ts'
import { WalSource } from './wal-source.ts'

/**
 * `complete`: everything committed before the call is captured · `busy`: a writer was in the way,
 * look again soon · `missing`: there is no database at the path.
 */
export type CaptureOutcome = { kind: 'complete' } | { kind: 'busy'; why: string } | { kind: 'missing' }

/**
 * What a slice of a scrub found: `drifted` pages were taken in as changes; `next` is where to go on, 0
 * at the end · `unsure`: writers were in the way, check the same pages again.
 */
export type SliceOutcome =
  | { kind: 'checked'; next: number; pages: number; drifted: number; firstDrifted: number }
  | { kind: 'unsure'; why: string }
  | { kind: 'missing' }

/** How long a database that has just become a WAL database is left to its app before we open it. */
const WAL_SETTLE_MS = 100

/**
 * From SQLite's files to changed pages. After a `complete` look `table` describes one committed
 * state of the database and `pending` holds every page in which it differs from the state at the
 * last cut.
 *
 * Calls must not overlap; the keeper queues them.
 */
export class Capture implements ChangeSink {
  readonly pending: PendingPages
  /** Grows with every captured change: tells two states apart without comparing them. */
  sequence = 0
  /** A new page size: the next version must hold every page. */
  wholeImage = false
  readonly #path: string
  readonly #platform: Platform
  #table: PageTable | undefined
  #source: CaptureSource | undefined
  #consistent = false
  #walSince: number | undefined

  /**
   * @param options.table the pages of the newest version, or undefined to take every page as changed
   * @param options.restored we have just put the file there, before the app: nobody is changing its journal mode
   */
  constructor(options: {
    path: string
    platform: Platform
    pendingBytes: number
    table?: PageTable | undefined
    restored?: boolean
  }) {
    this.#path = options.path
    this.#platform = options.platform
    this.#table = options.table
    if (options.restored === true) this.#walSince = Number.NEGATIVE_INFINITY
    this.pending = new PendingPages(options.pendingBytes)
  }

  get table(): PageTable | undefined {
    return this.#table
  }

  /** False while a look was cut short: nothing may be cut then. */
  get consistent(): boolean {
    return this.#consistent
  }

  get mode(): 'wal' | 'comparison' | 'none' {
    return this.#source?.mode ?? 'none'
  }

  async look(): Promise<CaptureOutcome> {
    for (let tries = 0; tries < 3; tries++) {
      const opened = this.#open()
      if (opened !== undefined) return opened
      this.#consistent = false
      const outcome = await (this.#source as CaptureSource).look(this)
      if (outcome.kind === 'busy') return outcome
      if (outcome.kind === 'complete') {
        this.#consistent = true
        return outcome
      }
      this.#closeSource()
    }
    return { kind: 'busy', why: 'the file was replaced again and again' }
  }

  /**
   * One slice of a scrub (R6): captures what was committed, then holds pages as they stand in SQLite's
   * files against the table. One that differs although nothing was committed has drifted; it is taken
   * in as a change, so that the next version shows what is really there.
   *
   * @param sliceBytes how much to read at most
   */
  async checkPages(first: number, sliceBytes: number): Promise<SliceOutcome> {
    // A difference counts when it is seen twice: what was in flux at the first sight is captured by the second look.
    for (let sight = 1; ; sight++) {
      const outcome = await this.look()
      if (outcome.kind !== 'complete')
        return outcome.kind === 'busy' ? { kind: 'unsure', why: outcome.why } : outcome
      const table = this.#table
      assert(table !== undefined, 'a complete look without a table')
      const last = Math.min(table.pageCount, first - 1 + Math.max(1, Math.floor(sliceBytes / table.pageSize)))
      const found = await (this.#source as CaptureSource).check(this, first, last)
      if (found.kind === 'unsure')
        return { kind: 'unsure', why: 'a writer was at work while pages were checked' }
      if (found.drifted.length > 0 && sight === 1) continue
      for (const [pageNumber, image] of found.drifted) this.page(pageNumber, image, true)
      const next = last >= table.pageCount ? 0 : last + 1
      const pages = Math.max(0, last - first + 1)
      const firstDrifted = found.drifted[0]?.[0] ?? 0
      return { kind: 'checked', next, pages, drifted: found.drifted.length, firstDrifted }
    }
  }

  /** Every page counts as changed: the next version holds them all, whatever the log holds. */
  distrust(): void {
    const table = this.#table
    if (table === undefined) return
    const lockPage = lockPageNumber(table.pageSize)
    for (let pageNumber = 1; pageNumber <= table.pageCount; pageNumber++) {
      if (pageNumber !== lockPage) this.pending.mark(pageNumber)
    }
    this.sequence += 1
  }

  /** Counts the table's sum anew; a wrong one is mended, and the next version carries the right one. */
  recount(): boolean {
    if (this.#table === undefined || this.#table.recount()) return true
    this.pending.mark(1)
    this.sequence += 1
    return false
  }

  /** Opens the source that fits the journal mode; answers why not, if it cannot. */
  #open(): CaptureOutcome | undefined {
    if (this.#source !== undefined) return undefined
    const header = this.#header()
    if (header === undefined) return { kind: 'missing' }
    if (header.journalMode === 'rollback') {
      this.#walSince = undefined
      this.#source = new ComparisonSource(this.#path, this.#platform)
      return undefined
    }
    return this.#openWal()
  }

  /**
   * An app that switches to WAL mode initialises the WAL index under exclusive locks; opening the
   * database in that instant could make it fail, so it gets a moment.
   */
  #openWal(): CaptureOutcome | undefined {
    const nowMs = this.#platform.clock.monotonicMs()
    this.#walSince ??= nowMs
    const begun = (this.#platform.files.statSync(`${this.#path}-wal`)?.sizeBytes ?? 0) > 0
    if (!begun && nowMs - this.#walSince < WAL_SETTLE_MS)
      return { kind: 'busy', why: 'the database turns to WAL mode' }
    try {
      this.#source = new WalSource(this.#path, this.#platform)
      return undefined
    } catch (thrown) {
      if (sqliteErrorCode(thrown) === 5) return { kind: 'busy', why: 'the database is locked' }
      throw thrown
    }
  }

  #header() {
    const facts = this.#platform.files.statSync(this.#path)
    if (facts === undefined || facts.isFolder || facts.sizeBytes === 0) return undefined
    const file = new DatabaseFile(this.#path, this.#platform)
    try {
      return file.header()
    } finally {
      // No SQLite connection of ours is open at this point, so closing drops no lock.
      file.close()
    }
  }

  shape(pageSize: number, pageCount: number): PageTable {
    if (this.#table === undefined || this.#table.pageSize !== pageSize) {
      this.wholeImage = this.#table !== undefined || this.wholeImage
      this.#table = new PageTable(pageSize, Math.max(pageCount, 1))
      this.pending.clear()
    }
    if (this.#table.pageCount !== pageCount) this.sequence += 1
    this.#table.resize(pageCount)
    this.pending.truncate(pageCount)
    return this.#table
  }

  page(pageNumber: number, image: Uint8Array, owned: boolean): void {
    const table = this.#table
    assert(table !== undefined, 'a page before its shape')
    const checksum = pageChecksum(pageNumber, image)
    if (table.get(pageNumber) === checksum) return
    table.set(pageNumber, checksum)
    this.pending.set(pageNumber, image, owned)
    this.sequence += 1
  }

  /** A page of the captured state, valid until the next call; undefined when the database has moved on and must be looked at again. */
  readPage(pageNumber: number): Uint8Array | undefined {
    const held = this.pending.image(pageNumber)
    if (held !== undefined) return held
    return this.#source?.readPage(pageNumber, this.#table?.get(pageNumber) ?? 0n)
  }

  /** Lets the app's own checkpoints pass when nothing happens. */
  async rest(): Promise<'resting' | 'again' | 'released'> {
    return (await this.#source?.rest(this)) ?? 'resting'
  }

  /** Whether the database still is what was captured last. */
  isUnchanged(): boolean {
    return this.#consistent && (this.#source?.isUnchanged() ?? false)
  }

  position(): CapturePosition {
    return this.#source?.position() ?? { changeCounter: 0 }
  }

  close(): void {
    this.#closeSource()
  }

  #closeSource(): void {
    this.#source?.close()
    this.#source = undefined
    this.#consistent = false
  }
}

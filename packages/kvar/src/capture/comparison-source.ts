import { basename, dirname } from 'node:path'
import { KvarError } from '../errors.ts'
import { lockPageNumber } from '../formats/database-header.ts'
import { pageChecksum } from '../formats/page-checksum.ts'
import { systemErrorCode, type Watch } from '../platform/files.ts'
import type { Platform } from '../platform/platform.ts'
import type {
  CapturePosition,
  CaptureSource,
  ChangeSink,
  CheckOutcome,
  LookOutcome,
  RestOutcome,
} from './capture-source.ts'
import { DatabaseFile } from './database-files.ts'

/** Bytes read and hashed between two looks at whether a writer came in between: a few milliseconds. */
const SLICE_BYTES = 2 * 1024 * 1024
/** A write less than this before our pass may share its time stamp with a later one (coarse kernel clock). */
const CLOCK_GRAIN_MS = 25
/** A journal that nobody holds a lock for is left by a crash when it has been still for so long. */
const HOT_JOURNAL_STILL_MS = 1000
const JOURNAL_MAGIC = Uint8Array.of(0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7)

/**
 * Capture by comparison, for every journal mode but WAL: reads all pages and keeps those whose
 * checksum differs from the table.
 *
 * It takes no lock at all, because any SHARED lock, however short, can make the commit of an app
 * without busy timeout fail. Instead it proves afterwards that nobody wrote while it read: the
 * change counter and the file's time stamp are the same, no process held a lock that allows writing
 * pages, and no file-system event arrived (docs/decisions/012-comparison-without-locks.md).
 */
export class ComparisonSource implements CaptureSource {
  readonly mode = 'comparison' as const
  readonly #platform: Platform
  readonly #file: DatabaseFile
  readonly #watch: Watch | undefined
  #writesSeen = 0
  #captured: Fingerprint | undefined

  constructor(path: string, platform: Platform) {
    this.#platform = platform
    this.#file = new DatabaseFile(path, platform)
    const name = basename(path)
    this.#watch = platform.files.watch(dirname(path), (changed) => {
      if (changed === undefined || changed === name) this.#writesSeen += 1
    })
  }

  async look(sink: ChangeSink): Promise<LookOutcome> {
    if (!this.#file.stillThere()) return { kind: 'moved' }
    const before = this.#fingerprint()
    if (before === undefined) return { kind: 'busy', why: 'a writer is changing the file' }
    if (before.journalMode === 'wal') return { kind: 'moved' }
    if (this.#captured !== undefined && sameFile(before, this.#captured)) return { kind: 'complete' }
    const clean = await this.#pass(before, sink)
    if (!clean) return { kind: 'busy', why: 'a writer changed the file while it was read' }
    this.#captured = before
    return { kind: 'complete' }
  }

  /** One reading of all pages; true when nobody wrote meanwhile. */
  async #pass(before: Fingerprint, sink: ChangeSink): Promise<boolean> {
    sink.shape(before.pageSize, before.pageCount)
    const slicePages = Math.max(1, Math.floor(SLICE_BYTES / before.pageSize))
    const page = new Uint8Array(before.pageSize)
    const lockPage = lockPageNumber(before.pageSize)
    for (let first = 1; first <= before.pageCount; first += slicePages) {
      const last = Math.min(before.pageCount, first + slicePages - 1)
      for (let pageNumber = first; pageNumber <= last; pageNumber++) {
        if (pageNumber === lockPage) continue
        this.#file.readPage(pageNumber, page)
        sink.page(pageNumber, page, false)
      }
      await this.#platform.clock.turn()
      if (!this.#unchangedSince(before)) return false
    }
    return this.#file.stillThere()
  }

  /** The same proof as for a pass: nobody wrote since the captured state, and nobody wrote while we read. */
  async check(sink: ChangeSink, first: number, last: number): Promise<CheckOutcome> {
    const before = this.#fingerprint()
    const captured = this.#captured
    if (before === undefined || captured === undefined || !sameFile(before, captured))
      return { kind: 'unsure' }
    const page = new Uint8Array(before.pageSize)
    const lockPage = lockPageNumber(before.pageSize)
    const drifted: Array<[number, Uint8Array]> = []
    for (let pageNumber = first; pageNumber <= last; pageNumber++) {
      if (pageNumber === lockPage) continue
      this.#file.readPage(pageNumber, page)
      if (pageChecksum(pageNumber, page) !== sink.table?.get(pageNumber))
        drifted.push([pageNumber, page.slice()])
    }
    await this.#platform.clock.turn()
    if (!this.#unchangedSince(before) || !this.#file.stillThere()) return { kind: 'unsure' }
    // Page 1 says how many pages there are: with another one the whole file is looked at anew.
    if (drifted[0]?.[0] === 1) this.#captured = undefined
    return { kind: 'checked', drifted }
  }

  #unchangedSince(before: Fingerprint): boolean {
    const now = this.#fingerprint()
    if (now === undefined || !sameFile(before, now)) return false
    return before.settled || this.#writesSeen === before.writesSeen
  }

  /** The state of the file, or undefined while its pages may not show a committed one. */
  #fingerprint(): Fingerprint | undefined {
    const facts = this.#file.facts()
    const header = this.#file.header()
    const writer = this.#platform.fileLocks.writerState(this.#file.inode)
    if (header === undefined || writer === 'writing') return undefined
    if (writer !== 'preparing' && this.#journalIsHot(writer === undefined)) return undefined
    // Versions of SQLite before 3.7.0 leave the size in the header behind; the file then decides.
    const pageCount = header.pageCountValid ? header.pageCount : Math.floor(facts.sizeBytes / header.pageSize)
    return {
      pageSize: header.pageSize,
      pageCount,
      journalMode: header.journalMode,
      changeCounter: header.changeCounter,
      sizeBytes: facts.sizeBytes,
      modifiedAtNs: facts.modifiedAtNs,
      writesSeen: this.#writesSeen,
      settled: this.#platform.clock.nowMs() - facts.modifiedAtMs > CLOCK_GRAIN_MS,
    }
  }

  /** A journal without a living writer means a crash in the middle of a commit: SQLite puts the pages back. */
  #journalIsHot(locksUnknown: boolean): boolean {
    const path = `${this.#file.path}-journal`
    const facts = this.#platform.files.statSync(path)
    if (facts === undefined || facts.sizeBytes < JOURNAL_MAGIC.length) return false
    const start = this.#startOf(path)
    // Deleted since we looked: a commit has ended in this very moment, and the header we read is from before it.
    if (start === undefined) return true
    if (JOURNAL_MAGIC.some((byte, index) => start[index] !== byte)) return false
    const stillForMs = this.#platform.clock.nowMs() - facts.modifiedAtMs
    if (stillForMs > HOT_JOURNAL_STILL_MS) this.#rollBack(locksUnknown)
    return true
  }

  #startOf(path: string): Uint8Array | undefined {
    const start = new Uint8Array(JOURNAL_MAGIC.length)
    try {
      const journal = this.#platform.files.openSync(path, 'read')
      try {
        journal.readSync(start, 0)
      } finally {
        journal.closeSync()
      }
      return start
    } catch (thrown) {
      if (systemErrorCode(thrown) === 'ENOENT') return undefined
      throw thrown
    }
  }

  #rollBack(locksUnknown: boolean): void {
    try {
      const database = this.#platform.openSqlite(this.#file.path, { mode: 'readWrite', timeoutMs: 0 })
      try {
        database.prepare('SELECT 1 FROM sqlite_schema LIMIT 1').get()
      } finally {
        database.close()
      }
    } catch (thrown) {
      // Without sight of locks the journal may well be a living writer's: it is asked again later.
      if (!locksUnknown)
        throw new KvarError('DATABASE_UNREADABLE', 'SQLite cannot roll back the journal', { cause: thrown })
    }
  }

  readPage(pageNumber: number, expected: bigint): Uint8Array | undefined {
    const pageSize = this.#captured?.pageSize
    if (pageSize === undefined) return undefined
    const image = new Uint8Array(pageSize)
    this.#file.readPage(pageNumber, image)
    return pageChecksum(pageNumber, image) === expected ? image : undefined
  }

  isUnchanged(): boolean {
    const header = this.#file.header()
    return this.#file.stillThere() && header?.changeCounter === this.#captured?.changeCounter
  }

  position(): CapturePosition {
    return { changeCounter: this.#captured?.changeCounter ?? 0 }
  }

  async rest(): Promise<RestOutcome> {
    return 'resting'
  }

  close(): void {
    this.#watch?.close()
    this.#file.close()
  }
}

interface Fingerprint {
  pageSize: number
  pageCount: number
  journalMode: 'wal' | 'rollback'
  changeCounter: number
  sizeBytes: number
  modifiedAtNs: bigint
  writesSeen: number
  /** The last write is old enough for a later one to show in the time stamp. */
  settled: boolean
}

function sameFile(a: Fingerprint, b: Fingerprint): boolean {
  return (
    a.changeCounter === b.changeCounter && a.sizeBytes === b.sizeBytes && a.modifiedAtNs === b.modifiedAtNs
  )
}

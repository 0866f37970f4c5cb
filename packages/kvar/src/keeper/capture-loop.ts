import { basename, dirname } from 'node:path'
import type { Capture, CaptureOutcome, SliceOutcome } from '../capture/capture.ts'
import { KvarError, toKvarError } from '../errors.ts'
import { sleep, type Timer } from '../platform/clock.ts'
import type { Watch } from '../platform/files.ts'
import type { Platform } from '../platform/platform.ts'

/** The safety net under file-system events, and the only thing that happens while idle (R9). */
const LOOK_EVERY_MS = 1000
/** Events come in bursts: no more than one look in this time, unless somebody waits. */
const LOOK_PAUSE_MS = 50
/** Comparison reads the whole database: it may take a tenth of a core. */
const COMPARISON_SHARE = 0.1
/** Under an app that writes without pause looks are paced too: pages that change all the time are taken in less often. */
const WAL_SHARE = 0.25
/** … but no longer than this, or the WAL would outgrow what can be checkpointed beside the app. */
const WAL_LONGEST_PAUSE_MS = 100
/** Nothing changed for so long: the app's own checkpoints are let through. */
const REST_AFTER_MS = 100
const BUSY_FIRST_MS = 5
const BUSY_LONGEST_MS = 200
/** A look that somebody waits for gives up after so long without a moment's peace. */
const BUSY_LIMIT_MS = 60_000

export interface CaptureLoopEvents {
  /** New changes were captured. */
  changed(): void
  /** Everything committed before this moment (monotonic) is captured, in a state of this number. */
  seen?(sequence: number, atMs: number): void
  /** The state of capture turned bad or good again. */
  trouble(error: KvarError | undefined): void
  /** Nothing changes, and everything captured is back in the database file. */
  resting(): void
  /** Pages had changed in the file although nothing was committed; they are captured now. */
  drifted?(pages: number, firstPage: number): void
  /** The database is there, or is not. */
  present(present: boolean): void
}

/** Decides when to look at the database, and sees to it that looks, cuts and copies never overlap. */
export class CaptureLoop {
  readonly capture: Capture
  /** Since when (monotonic) something may have been committed that no complete look has seen. */
  unseenSinceMs: number | undefined
  readonly #path: string
  readonly #platform: Platform
  readonly #events: CaptureLoopEvents
  #queue: Promise<unknown> = Promise.resolve()
  #watch: Watch | undefined
  /** Changes come, and looks follow one another without a watch. */
  #isBusy = false
  #tick: Timer | undefined
  #soon: Timer | undefined
  #rest: Timer | undefined
  #notBeforeMs = 0
  /** The first change told since the newest look began: that look may not have seen it. */
  #toldMs: number | undefined
  #stopped = false
  #trouble: string | undefined

  constructor(options: { capture: Capture; path: string; platform: Platform; events: CaptureLoopEvents }) {
    this.capture = options.capture
    this.#path = options.path
    this.#platform = options.platform
    this.#events = options.events
  }

  start(): void {
    this.#openWatch()
    this.#nextTick()
  }

  /**
   * Only the first change after a quiet time is told: each event costs the app some microseconds of its
   * commit. While changes come, looks follow one another by themselves, and the first one that finds
   * nothing new opens the watch again.
   */
  #openWatch(): void {
    if (this.#stopped) return
    this.#isBusy = false
    const names = new Set(['', '-wal', '-journal'].map((suffix) => basename(this.#path) + suffix))
    this.#watch = this.#platform.files.watch(dirname(this.#path), (name) => {
      if (name !== undefined && !names.has(name)) return
      this.#closeWatch()
      this.#isBusy = true
      this.#toldMs ??= this.#platform.clock.monotonicMs()
      this.unseenSinceMs ??= this.#toldMs
      this.#lookSoon()
    })
  }

  #closeWatch(): void {
    this.#watch?.close()
    this.#watch = undefined
  }

  /** Runs work that must not overlap with a look. */
  exclusively<T>(work: () => T | Promise<T>): Promise<T> {
    const run = this.#queue.then(work)
    this.#queue = run.catch(() => undefined)
    return run
  }

  /**
   * Captures everything committed before the call.
   *
   * @returns the number of the captured state, and whether there is a database at all
   * @throws KvarError `HELD` when a writer never gives a moment's peace
   */
  async lookNow(): Promise<{ sequence: number; present: boolean }> {
    const { clock } = this.#platform
    const untilMs = clock.monotonicMs() + BUSY_LIMIT_MS
    for (let pauseMs = BUSY_FIRST_MS; ; pauseMs = Math.min(pauseMs * 2, BUSY_LONGEST_MS)) {
      const outcome = await this.#look()
      if (outcome.kind !== 'busy')
        return { sequence: this.capture.sequence, present: outcome.kind === 'complete' }
      if (this.#stopped || clock.monotonicMs() > untilMs) {
        throw new KvarError('HELD', `Cannot read "${this.#path}": ${outcome.why}`, {
          hint: 'a transaction that stays open, or locking_mode=EXCLUSIVE, keeps Kvar from seeing a committed state',
        })
      }
      await sleep(clock, pauseMs)
    }
  }

  /** One slice of a scrub; between two of them everything else gets its turn. */
  checkPages(first: number, sliceBytes: number): Promise<SliceOutcome> {
    return this.exclusively(async () => {
      if (this.#stopped) return { kind: 'missing' }
      const before = this.capture.sequence
      const outcome = await this.capture.checkPages(first, sliceBytes)
      if (outcome.kind === 'checked' && outcome.drifted > 0)
        this.#events.drifted?.(outcome.drifted, outcome.firstDrifted)
      if (this.capture.sequence !== before) {
        this.#restSoon()
        this.#events.changed()
      }
      return outcome
    })
  }

  #look() {
    return this.exclusively(async () => {
      const { clock } = this.#platform
      const [before, begunMs] = [this.capture.sequence, clock.monotonicMs()]
      const outcome = await this.#lookOnce(begunMs)
      const endMs = clock.monotonicMs()
      this.#notBeforeMs = endMs + Math.max(LOOK_PAUSE_MS, this.#pauseAfter(endMs - begunMs))
      this.#events.present(outcome.kind !== 'missing')
      if (this.capture.sequence !== before) {
        this.#restSoon()
        this.#events.changed()
      }
      return outcome
    })
  }

  /** What a look was to see stays unseen when it fails or is cut short. */
  async #lookOnce(begunMs: number): Promise<CaptureOutcome> {
    this.#toldMs = undefined
    let isOver = false
    try {
      const outcome = await this.capture.look()
      isOver = outcome.kind !== 'busy'
      if (outcome.kind === 'complete') this.#events.seen?.(this.capture.sequence, begunMs)
      return outcome
    } finally {
      // Without a watch anything may have been committed since the look began.
      if (isOver) this.unseenSinceMs = this.#isBusy ? begunMs : this.#toldMs
      else this.unseenSinceMs ??= begunMs
    }
  }

  #pauseAfter(tookMs: number): number {
    if (this.capture.mode === 'comparison') return tookMs * (1 / COMPARISON_SHARE - 1)
    return Math.min(WAL_LONGEST_PAUSE_MS, tookMs * (1 / WAL_SHARE - 1))
  }

  #lookSoon(): void {
    if (this.#soon !== undefined || this.#stopped) return
    const delayMs = Math.max(0, this.#notBeforeMs - this.#platform.clock.monotonicMs())
    this.#soon = this.#platform.clock.startTimer(delayMs, () => {
      this.#soon = undefined
      void this.#lookQuietly()
    })
  }

  /** A look that nobody waits for: trouble is told, not thrown, and the next one tries again. */
  async #lookQuietly(): Promise<void> {
    if (this.#stopped) return
    try {
      const before = this.capture.sequence
      const outcome = await this.#look()
      this.#tell(undefined)
      const isQuiet = outcome.kind !== 'busy' && this.capture.sequence === before
      if (isQuiet && !this.#isBusy) return
      if (isQuiet) this.#openWatch()
      // Also after the watch was opened: for what came just before.
      this.#lookSoon()
    } catch (thrown) {
      this.#tell(toKvarError(thrown))
    }
  }

  #tell(error: KvarError | undefined): void {
    if (error?.message === this.#trouble) return
    this.#trouble = error?.message
    this.#events.trouble(error)
  }

  #nextTick(): void {
    this.#tick = this.#platform.clock.startTimer(LOOK_EVERY_MS, () => {
      if (this.#soon === undefined) this.#lookSoon()
      this.#nextTick()
    })
  }

  #restSoon(): void {
    this.#rest?.cancel()
    if (this.#stopped) return
    this.#rest = this.#platform.clock.startTimer(REST_AFTER_MS, () => void this.#restNow())
  }

  async #restNow(): Promise<void> {
    try {
      const before = this.capture.sequence
      const outcome = await this.exclusively(() => (this.#stopped ? 'released' : this.capture.rest()))
      if (this.capture.sequence !== before) this.#events.changed()
      if (outcome === 'again') this.#restSoon()
      else if (outcome === 'resting' && this.capture.mode === 'wal') this.#events.resting()
    } catch (thrown) {
      this.#tell(toKvarError(thrown))
    }
  }

  /** Ends all looks; waits for the one under way. */
  async stop(): Promise<void> {
    this.#stopped = true
    this.#closeWatch()
    for (const timer of [this.#tick, this.#soon, this.#rest]) timer?.cancel()
    await this.#queue
  }
}

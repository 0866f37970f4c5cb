import { type KvarError, toKvarError } from '../errors.ts'
import type { Timer } from '../platform/clock.ts'
import type { Platform } from '../platform/platform.ts'
import type { CaptureLoop } from './capture-loop.ts'
import type { PreparedVersion } from './version-cutter.ts'

/** A cut that failed (a full disk, for instance) is tried again after this time. */
const RETRY_MS = 1000

export interface CutScheduleOptions {
  loop: CaptureLoop
  platform: Platform
  /** Longest time between a change and its version. */
  intervalMs: number
  /** Somebody waits for durability. */
  isAwaited: () => boolean
  /** A version is under way, or nothing may be numbered now. */
  isHalted: () => boolean
  /** Makes the version of everything captured; undefined when a page must be looked at again first. */
  make: () => Promise<PreparedVersion | undefined>
  /** Takes the version over. */
  cut: (version: PreparedVersion) => Promise<void> | void
  trouble: (error: KvarError) => void
}

/** Decides when a version is cut: when somebody waits, the interval is over, or too much is pending. */
export class CutSchedule {
  /** The captured state that the newest cut version shows. */
  sequence = 0
  readonly #options: CutScheduleOptions
  #dirtySinceMs: number | undefined
  #timer: Timer | undefined
  #cutting: Promise<boolean> | undefined

  constructor(options: CutScheduleOptions) {
    this.#options = options
  }

  /** Something was captured, or confirmed, or is waited for. */
  async consider(now = false): Promise<void> {
    if (this.#cutting !== undefined || !this.#hasNews || this.#options.isHalted()) return
    const { clock } = this.#options.platform
    this.#dirtySinceMs ??= clock.monotonicMs()
    const leftMs = this.#options.intervalMs - (clock.monotonicMs() - this.#dirtySinceMs)
    const { capture } = this.#options.loop
    if (!now && !this.#options.isAwaited() && !capture.pending.overflowed && leftMs > 0)
      return this.#later(leftMs)
    this.#cutting = this.#cutUntilDone().finally(() => {
      this.#cutting = undefined
    })
    const isCut = await this.#cutting
    // Somebody may have begun to wait for what was captured during the cut. A cut that failed waits for
    // its timer: tried again at once, it would fail again and again without ever letting go of the thread.
    if (isCut && this.#options.isAwaited()) void this.consider()
  }

  get #hasNews(): boolean {
    return this.#options.loop.capture.sequence > this.sequence
  }

  #later(delayMs: number): void {
    this.#timer?.cancel()
    this.#timer = this.#options.platform.clock.startTimer(delayMs, () => void this.consider(true))
  }

  async #cutUntilDone(): Promise<boolean> {
    const { loop } = this.#options
    try {
      for (let done = false; !done; ) {
        done = await loop.exclusively(() => this.cutNow())
        if (!done && !(await loop.lookNow()).present) return true
      }
      return true
    } catch (thrown) {
      this.#options.trouble(toKvarError(thrown))
      this.#later(RETRY_MS)
      return false
    }
  }

  /** Only while nothing else looks at the database. False when it has to be looked at again first. */
  async cutNow(): Promise<boolean> {
    const { capture } = this.#options.loop
    if (!this.#hasNews) return true
    if (!capture.consistent || capture.table === undefined || capture.table.pageCount === 0) return false
    const version = await this.#options.make()
    if (version === undefined) return false
    capture.pending.clear()
    capture.wholeImage = false
    this.sequence = version.sequence
    this.#dirtySinceMs = undefined
    this.#timer?.cancel()
    await this.#options.cut(version)
    return true
  }

  /** Cut again what was cut but is not stored: see `Protector`. */
  rewind(sequence: number): void {
    this.sequence = sequence
  }

  stop(): void {
    this.#timer?.cancel()
  }
}

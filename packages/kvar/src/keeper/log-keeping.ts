import { type KvarError, toKvarError } from '../errors.ts'
import { imageSource } from '../log/page-source.ts'
import { Retention } from '../log/retention.ts'
import { storeSnapshot } from '../log/snapshot.ts'
import type { VersionLog } from '../log/version-log.ts'
import type { Timer } from '../platform/clock.ts'
import type { Platform } from '../platform/platform.ts'
import type { KeepSettings } from '../settings/keeper-settings.ts'
import type { VersionImage } from './copier.ts'

/** A log is tidied when nothing was appended for so long … */
const QUIET_MS = 10_000
/** … or, under load, after so many versions, or so long after the first of them. */
const BUSY_VERSIONS = 64
const BUSY_MS = 30_000
/** Files are removed at most once in this time, unless many wait: each removal lists the whole log. */
const REMOVE_EVERY_MS = 24 * 3_600_000
const REMOVE_AT_COUNT = 64
/** A newest version so far in the future is worth a word: days pass by the times of versions. */
const AHEAD_MS = 24 * 3_600_000
/** After a failure the log is left alone for so long. */
const PAUSE_MS = 60_000

export interface LogKeepingOptions {
  url: string
  log: () => Promise<VersionLog>
  keep: KeepSettings
  platform: Platform
  /** A path that is free for a database image. */
  scratchPath: string
  recent: (version: number) => Uint8Array | undefined
  /** Images of the database are made from time to time, for the copies. */
  imagesComing: boolean
  changed: () => void
}

/**
 * Keeps one target's log small while the keeper lives: a step at a time, after appends and never before
 * them. It does nothing where nothing is appended: an idle keeper makes no request (R9).
 */
export class LogKeeping {
  readonly #options: LogKeepingOptions
  readonly #stop = new AbortController()
  #retention: Retention | undefined
  #head = 0
  /** Versions since the last round, and when the first of them came. */
  #fresh = 0
  #freshSinceMs = 0
  #timer: Timer | undefined
  #running: Promise<void> | undefined
  #notBeforeMs = 0
  #removedAtMs: number | undefined
  /** Why the last round failed. Nothing is lost by it: the log is only larger than it need be. */
  problem: KvarError | undefined

  constructor(options: LogKeepingOptions) {
    this.#options = options
  }

  /** Says that the target has confirmed this version, and that it is ours. */
  confirmed(version: number): void {
    if (version <= this.#head || this.#stop.signal.aborted) return
    const nowMs = this.#nowMs()
    if (this.#fresh === 0) this.#freshSinceMs = nowMs
    this.#fresh += version - this.#head
    this.#head = version
    const isBusy = this.#fresh >= BUSY_VERSIONS || nowMs - this.#freshSinceMs >= BUSY_MS
    if (isBusy) this.#start(true)
    else this.#wake(QUIET_MS)
  }

  /** What the target holds was changed by somebody else, such as a follower that was filled anew. */
  forget(): void {
    this.#retention?.forget()
  }

  /** Stores an image of a version that the target has confirmed, if the log would gain by it. */
  async offer(image: VersionImage): Promise<void> {
    if (image.version === 0 || image.version > this.#head || this.#stop.signal.aborted) return
    if (this.#retention?.wantsSnapshot() !== true) return
    try {
      const log = await this.#options.log()
      const pages = imageSource({ platform: this.#options.platform, ...image })
      await storeSnapshot({ log, version: image.version, pages, signal: this.#stop.signal })
      this.forget()
    } catch (thrown) {
      this.#failed(thrown)
    }
  }

  /** Things worth knowing that are no danger. */
  notes(): string[] {
    const notes: string[] = []
    const { url, platform } = this.#options
    const aheadMs = this.#retention?.aheadMs(platform.clock.nowMs()) ?? 0
    if (aheadMs > AHEAD_MS) {
      const days = Math.round(aheadMs / AHEAD_MS)
      notes.push(
        `The newest version on ${url} bears a time ${days} d ahead, from a clock that was wrong: nothing newer is given up until then.`,
      )
    }
    if (this.problem !== undefined) {
      notes.push(`Tidying the log on ${url} has to wait: ${this.problem.message}.`)
    }
    return notes
  }

  async stop(): Promise<void> {
    this.#stop.abort()
    this.#timer?.cancel()
    await this.#running
  }

  #nowMs(): number {
    return this.#options.platform.clock.monotonicMs()
  }

  #wake(delayMs: number): void {
    this.#timer?.cancel()
    this.#timer = this.#options.platform.clock.startTimer(delayMs, () => this.#start(false))
  }

  #start(isBusy: boolean): void {
    if (this.#running !== undefined || this.#stop.signal.aborted || this.#nowMs() < this.#notBeforeMs) return
    this.#timer?.cancel()
    this.#fresh = 0
    this.#running = this.#round(isBusy)
      .catch((thrown) => this.#failed(thrown))
      .finally(() => {
        this.#running = undefined
        this.#schedule()
      })
  }

  /** Under load only what keeps the newest version near; the rest can wait for a quiet moment. */
  async #round(isBusy: boolean): Promise<void> {
    const retention = await this.#open()
    const options = { catchUpOnly: isBusy, signal: this.#stop.signal }
    while (!this.#stop.signal.aborted && (await retention.compactNext(this.#head, options)));
    if (!isBusy && this.#removalIsDue(retention)) {
      this.#removedAtMs = this.#nowMs()
      await retention.removeDue(this.#head, { signal: this.#stop.signal })
    }
    if (this.problem !== undefined) this.#options.changed()
    this.problem = undefined
  }

  async #open(): Promise<Retention> {
    if (this.#retention !== undefined) return this.#retention
    const { keep, platform, scratchPath, recent, imagesComing } = this.#options
    const log = await this.#options.log()
    this.#retention = new Retention({ log, keep, platform, scratchPath, recent, imagesComing })
    return this.#retention
  }

  #removalIsDue(retention: Retention): boolean {
    const waiting = retention.waiting()
    if (waiting === undefined || waiting.dueInMs > 0) return false
    if (this.#removedAtMs === undefined || waiting.count >= REMOVE_AT_COUNT) return true
    return this.#nowMs() - this.#removedAtMs >= REMOVE_EVERY_MS
  }

  /** What came during the round has its own turn; the first removal of a life does not wait for an append. */
  #schedule(): void {
    if (this.#stop.signal.aborted) return
    const waiting = this.#retention?.waiting()
    if (this.#fresh > 0) this.#wake(Math.max(QUIET_MS, this.#notBeforeMs - this.#nowMs()))
    else if (waiting !== undefined && this.#removedAtMs === undefined) this.#wake(waiting.dueInMs + 1)
  }

  #failed(thrown: unknown): void {
    if (this.#stop.signal.aborted) return
    this.problem = toKvarError(thrown)
    this.#notBeforeMs = this.#nowMs() + PAUSE_MS
    this.#fresh = Math.max(this.#fresh, 1)
    this.forget()
    this.#options.changed()
  }
}

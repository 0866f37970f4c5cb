import { KvarError, toKvarError } from '../errors.ts'
import type { Ledger } from '../log/ledger.ts'
import type { VersionInfo } from '../log/version-log.ts'
import { sleep } from '../platform/clock.ts'
import type { Platform } from '../platform/platform.ts'
import type { PreparedVersion } from './version-cutter.ts'

/** Waits between tries while the ledger does not take a version. */
const FIRST_PAUSE_MS = 250
const LONGEST_PAUSE_MS = 15_000
/** An owner that appends without pause leaves one round trip free this often, so that a claimant gets in (R4). */
const YIELD_EVERY_MS = 2000
/** At least so much room: on a fast target a claimant's way from listing to claiming takes longer than our appends. */
const ROOM_MS = 150
/** A gap this long between two appends is room enough. */
const PAUSE_MS = ROOM_MS
/** How many versions may be prepared while one is on its way. */
export const QUEUE_LIMIT = 2

export interface AppenderEvents {
  /** Noted before the version is sent: after a crash it tells our own version from another keeper's. */
  sending(version: PreparedVersion): Promise<void>
  confirmed(version: PreparedVersion): Promise<void>
  /** The number belongs to somebody else. The appender stands still until `resume`. */
  fenced(by: VersionInfo): void
  trouble(error: KvarError | undefined, nextTryMs: number | undefined): void
}

/** Takes versions to the ledger, one after the other, for as long as it takes. */
export class Appender {
  readonly ledger: Ledger
  readonly queue: PreparedVersion[] = []
  readonly #platform: Platform
  readonly #events: AppenderEvents
  #running = false
  #stopped = false
  #halted = false
  #pause = new AbortController()
  #busySinceMs: number | undefined
  #lastEndMs = 0

  constructor(ledger: Ledger, platform: Platform, events: AppenderEvents) {
    this.ledger = ledger
    this.#platform = platform
    this.#events = events
  }

  /** Versions cut and not yet confirmed; the last one is what the next cut builds on. */
  get newest(): { version: number; timestampMs: number } {
    const last = this.queue.at(-1)
    return last ?? { version: this.ledger.confirmed, timestampMs: this.ledger.confirmedTimestampMs }
  }

  push(version: PreparedVersion): void {
    this.queue.push(version)
    void this.#run()
  }

  /** Tries again at once, for instance because somebody waits or the process has to leave. */
  hurry(): void {
    this.#pause.abort()
  }

  /** Forgets what was prepared: after being fenced it would not fit any more. */
  resume(): void {
    this.queue.length = 0
    this.#halted = false
  }

  stop(): void {
    this.#stopped = true
    this.hurry()
  }

  async #run(): Promise<void> {
    if (this.#running || this.#halted) return
    this.#running = true
    try {
      for (let pauseMs = FIRST_PAUSE_MS; this.queue.length > 0 && !this.#stopped && !this.#halted; ) {
        const failed = await this.#appendFirst()
        if (failed === undefined) pauseMs = FIRST_PAUSE_MS
        else {
          this.#events.trouble(failed, this.#platform.clock.nowMs() + pauseMs)
          this.#pause = new AbortController()
          await sleep(this.#platform.clock, pauseMs, this.#pause.signal)
          pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS)
        }
      }
    } finally {
      this.#running = false
    }
  }

  async #appendFirst(): Promise<KvarError | undefined> {
    const version = this.queue[0] as PreparedVersion
    try {
      await this.#events.sending(version)
      const begunMs = this.#platform.clock.monotonicMs()
      const outcome = await this.ledger.append(version)
      if (outcome.kind === 'fenced') {
        this.#halted = true
        this.#events.fenced(outcome.by)
        return undefined
      }
      this.queue.shift()
      await this.#events.confirmed(version)
      this.#events.trouble(undefined, undefined)
      await this.#leaveRoom(begunMs)
      return undefined
    } catch (thrown) {
      return toKvarError(thrown)
    }
  }

  async #leaveRoom(begunMs: number): Promise<void> {
    const nowMs = this.#platform.clock.monotonicMs()
    if (this.#busySinceMs === undefined || begunMs - this.#lastEndMs > PAUSE_MS) this.#busySinceMs = begunMs
    this.#lastEndMs = nowMs
    if (nowMs - this.#busySinceMs < YIELD_EVERY_MS) return
    this.#busySinceMs = undefined
    await sleep(this.#platform.clock, Math.max(ROOM_MS, (nowMs - begunMs) * 2))
  }
}

/** What a caller of `flush` hears when another keeper has taken over. */
export function fencedError(by: VersionInfo | undefined): KvarError {
  return new KvarError('FENCED', 'Another instance of the app has taken over this database', {
    hint: 'start this app again: it begins with the newest version; changes it had not stored are kept as a branch',
    data: by === undefined ? {} : { version: by.version },
  })
}

/** What a caller of `flush` hears after a start without an answering ledger. */
export function staleError(): KvarError {
  return new KvarError('UNREACHABLE', 'The targets did not answer at start, so nothing can be stored yet', {
    hint: 'it goes on by itself as soon as they answer',
  })
}

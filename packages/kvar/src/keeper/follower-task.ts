import { type KvarError, toKvarError } from '../errors.ts'
import { Follower } from '../log/follower.ts'
import type { VersionLog } from '../log/version-log.ts'
import { sleep } from '../platform/clock.ts'
import type { Platform } from '../platform/platform.ts'
import { Milestones } from './milestones.ts'
import type { TargetInUse } from './target-set.ts'

const FIRST_PAUSE_MS = 1000
const LONGEST_PAUSE_MS = 60_000

export interface FollowerTaskOptions {
  target: TargetInUse
  ledgerLog: VersionLog
  platform: Platform
  scratchPath: string
  nodeId: bigint
  host: string
  catchUpVersions: number
  /** A version's bytes, if they are still in memory. */
  recent: (version: number) => Uint8Array | undefined
  changed: () => void
}

/** Brings one follower after the ledger, at its own pace: its troubles delay nobody else (R3). */
export class FollowerTask {
  readonly target: TargetInUse
  readonly #options: FollowerTaskOptions
  readonly #stop = new AbortController()
  #follower: Follower | undefined
  #wanted = 0
  #running = false
  #pause = new AbortController()
  /** What the ledger holds, and how far this follower has come. */
  readonly #ledger = new Milestones()
  confirmed = 0
  confirmedAtMs: number | undefined
  problem: KvarError | undefined
  nextTryMs: number | undefined
  branches = 0

  constructor(options: FollowerTaskOptions) {
    this.target = options.target
    this.#options = options
  }

  /** Says what the ledger holds now. */
  follow(version: number): void {
    this.#wanted = Math.max(this.#wanted, version)
    this.#ledger.note(this.#wanted, this.#options.platform.clock.monotonicMs())
    void this.#run()
  }

  /** How long it has lacked the oldest version that the ledger holds and it does not; 0 when it has all. */
  get behindMs(): number {
    const sinceMs = this.#ledger.lackingSinceMs
    return sinceMs === undefined ? 0 : this.#options.platform.clock.monotonicMs() - sinceMs
  }

  hurry(): void {
    this.#pause.abort()
  }

  stop(): void {
    this.#stop.abort()
    this.hurry()
  }

  async #run(): Promise<void> {
    if (this.#running) return
    this.#running = true
    for (let pauseMs = FIRST_PAUSE_MS; this.confirmed < this.#wanted && !this.#stop.signal.aborted; ) {
      if (await this.#step()) {
        pauseMs = FIRST_PAUSE_MS
        continue
      }
      this.nextTryMs = this.#options.platform.clock.nowMs() + pauseMs
      this.#options.changed()
      this.#pause = new AbortController()
      await sleep(this.#options.platform.clock, pauseMs, this.#pause.signal)
      pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS)
    }
    this.#running = false
  }

  async #step(): Promise<boolean> {
    const { ledgerLog, recent, platform } = this.#options
    try {
      this.#follower ??= await this.#open()
      const source = async (n: number) => recent(n) ?? (await ledgerLog.readVersion(n))
      const progress = await this.#follower.catchUp(this.#wanted, source, this.#stop.signal)
      if (progress.branch !== undefined) this.branches += 1
      this.confirmed = progress.confirmed
      this.#ledger.reach(this.confirmed)
      this.confirmedAtMs = platform.clock.nowMs()
      this.problem = undefined
      this.nextTryMs = undefined
      this.#options.changed()
      return true
    } catch (thrown) {
      this.problem = toKvarError(thrown)
      return false
    }
  }

  async #open(): Promise<Follower> {
    const { ledgerLog, platform, scratchPath, nodeId, host, catchUpVersions } = this.#options
    const log = await this.target.log()
    return new Follower({ log, ledgerLog, platform, scratchPath, nodeId, host, limits: { catchUpVersions } })
  }
}

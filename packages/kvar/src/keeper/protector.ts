import { Capture } from '../capture/capture.ts'
import { type KvarError, toKvarError } from '../errors.ts'
import { nextTimestampMs } from '../log/claim.ts'
import { Ledger } from '../log/ledger.ts'
import { lineageNumber } from '../log/lineage.ts'
import type { VersionInfo, VersionLog } from '../log/version-log.ts'
import { beforeDeadline } from '../platform/clock.ts'
import type { Platform } from '../platform/platform.ts'
import type { KeeperSettings } from '../settings/keeper-settings.ts'
import { Appender, fencedError, QUEUE_LIMIT, staleError } from './appender.ts'
import { branchOfLive } from './branch-of-live.ts'
import { CaptureLoop } from './capture-loop.ts'
import { Copier, type VersionImage } from './copier.ts'
import { CutSchedule } from './cut-schedule.ts'
import type { FollowerTask } from './follower-task.ts'
import { HeadRecord } from './head-record.ts'
import { Milestones } from './milestones.ts'
import { Places } from './places.ts'
import { SelfChecks } from './self-checks.ts'
import type { Started } from './start/start.ts'
import type { KeeperMemory, StateStore } from './state-store.ts'
import { takeBack } from './take-back.ts'
import { adoptLog, asPrepared, claimVersion, notTaken } from './take-log.ts'
import type { TargetSet } from './target-set.ts'
import { Troubles } from './troubles.ts'
import { cutVersion, type PreparedVersion } from './version-cutter.ts'
import { imageOfVersion } from './version-image.ts'
import { Waiters } from './waiters.ts'

export interface ProtectorOptions {
  settings: KeeperSettings
  platform: Platform
  store: StateStore
  targets: TargetSet
  nodeId: bigint
  started: Started
  changed: () => void
  fenced: (error: KvarError) => void
}

/**
 * Protects one database from the end of its start to the end of the keeper's life, or until another
 * keeper takes over: captured changes become versions, versions go to the ledger, then to the
 * followers, and copies are written beside the database.
 */
export class Protector {
  readonly memory: KeeperMemory
  readonly loop: CaptureLoop
  readonly copier: Copier
  /** Where versions go; undefined without targets, or as long as they have not answered. */
  readonly places: Places | undefined
  readonly appender: Appender | undefined
  readonly checks: SelfChecks
  /** What was captured, as the complete looks saw it, and how far the ledger has followed. */
  readonly captured = new Milestones()
  ledgerProblem: KvarError | undefined
  ledgerNextTryMs: number | undefined
  confirmedAtMs: number | undefined
  present = true
  fencedBy: KvarError | undefined
  branch: string | undefined
  readonly #options: ProtectorOptions
  readonly #troubles: Troubles
  readonly #waiters = new Waiters()
  readonly #head: HeadRecord
  readonly #schedule: CutSchedule
  #closing = false
  /** A version cut before the log is adopted would bear the wrong lineage, and nobody would wait for it. */
  #mayCut = false
  #onFirst: ((outcome: 'stored' | 'lost') => void) | undefined

  constructor(options: ProtectorOptions) {
    this.#options = options
    const { settings, platform, started, targets } = options
    this.memory = started.memory
    this.#troubles = new Troubles(options.changed)
    this.#head = new HeadRecord({
      memory: this.memory,
      table: started.table?.copy(),
      store: options.store,
      platform,
      nodeId: options.nodeId,
      ledgerUrl: targets.ledger?.url,
    })
    const path = settings.databasePath
    const capture = new Capture({
      path,
      platform,
      pendingBytes: settings.limits.pendingBytes,
      table: started.table,
      restored: started.report.restored,
    })
    this.loop = new CaptureLoop({
      capture,
      path,
      platform,
      events: {
        changed: () => {
          void this.#schedule.consider()
          this.#options.changed()
        },
        seen: (sequence, atMs) => this.captured.note(sequence, atMs),
        trouble: (error) => this.#troubles.set('capture', error),
        resting: () =>
          void this.#head
            .noteCheckpoint(capture.position())
            .catch((thrown) => this.#troubles.set('notes', toKvarError(thrown))),
        drifted: (pages, firstPage) => this.checks.onDrift(pages, firstPage),
        present: (present) => {
          if (present !== this.present) this.#options.changed()
          this.present = present
        },
      },
    })
    this.#schedule = this.#makeSchedule()
    this.copier = this.#makeCopier()
    this.appender =
      started.found === undefined
        ? undefined
        : this.#makeAppender(new Ledger(started.found.log, started.head))
    this.checks = this.#makeChecks()
    this.places = started.found === undefined ? undefined : this.#makePlaces(started.found.log)
  }

  get followers(): FollowerTask[] {
    return this.places?.followers ?? []
  }

  /** Takes the log over, then goes on by itself. `lost`: another keeper was faster, start anew. */
  async begin(deadlineMs: number): Promise<'owner' | 'lost'> {
    const { present } = await this.loop.lookNow()
    const { started, platform } = this.#options
    if (started.found !== undefined) await adoptLog(started.found, this.memory, platform)
    this.#mayCut = true
    // Others went on. The next number alone would not tell: it may be gone from their log by now
    // (thinned out, or never filled), and what is put into such a hole is buried under the newest version.
    if (started.found?.head?.version !== started.head?.version) return 'lost'
    if (present && this.appender !== undefined) {
      const first = await this.#appendFirst(deadlineMs)
      if (first === 'lost') return 'lost'
    } else if (present) await this.#schedule.consider(true)
    this.loop.start()
    this.#followLedger()
    await this.checks.start()
    if (present) this.copier.request(this.#schedule.sequence)
    return 'owner'
  }

  /** The first version of a keeper's life: what is new, or a claim that changes nothing (R4). */
  async #appendFirst(deadlineMs: number): Promise<'stored' | 'lost'> {
    const { started, platform, nodeId, settings } = this.#options
    const { capture } = this.loop
    if (started.claim !== undefined) {
      // The start has claimed the log already: that is noted as every confirmed version is.
      await this.#confirmed(asPrepared(started.claim, capture))
      return 'stored'
    }
    const done = new Promise<'stored' | 'lost'>((resolve) => {
      this.#onFirst = resolve
    })
    if (started.head === undefined || capture.sequence > 0) await this.#schedule.consider(true)
    else {
      const claim = claimVersion({ capture, head: started.head, memory: this.memory, nodeId, platform })
      if (claim === undefined) return 'lost'
      this.appender?.push(claim)
    }
    const outcome = await beforeDeadline(platform.clock, deadlineMs, done)
    this.#onFirst = undefined
    if (outcome !== 'late') return outcome
    if (settings.onUnreachable === 'stale') return 'stored'
    throw notTaken(this.ledgerProblem)
  }

  /**
   * Resolves when everything committed before the call is durable (R1).
   *
   * @throws KvarError `FENCED` when another keeper owns the log
   */
  async flush(signal?: AbortSignal): Promise<{ version: number; targets: string[] }> {
    if (this.fencedBy !== undefined) throw this.fencedBy
    if (this.#options.started.stale) throw staleError()
    const { sequence, present } = await this.loop.lookNow()
    if (present && sequence > this.captured.reached) {
      this.appender?.hurry()
      const waited = this.#waiters.until(() => this.captured.reached >= sequence, signal)
      void this.#schedule.consider(true)
      await waited
    }
    const version = this.memory.version
    if (this.#options.settings.durable === 'all') {
      for (const follower of this.followers) follower.hurry()
      await this.#waiters.until(
        () => this.followers.every((follower) => follower.confirmed >= version),
        signal,
      )
    }
    return { version, targets: this.places?.holding(version) ?? [] }
  }

  async writeCopies(): Promise<void> {
    const { sequence, present } = await this.loop.lookNow()
    if (present) await this.copier.writeNow(sequence)
  }

  /** The ledger's log; undefined without targets. */
  get log(): VersionLog | undefined {
    return this.#options.started.found?.log
  }

  scratchPath(name: string): string {
    return this.#options.store.path(name)
  }

  notes(): string[] {
    const isMissing = !this.present && this.memory.version > 0
    const missing = isMissing ? ['The database file is missing; its newest version is stored.'] : []
    return [...missing, ...this.checks.notes(), ...(this.places?.notes() ?? [])]
  }

  /** Captured changes that no version holds, or versions that the ledger does not hold. */
  get unstored(): boolean {
    return this.loop.capture.sequence > this.captured.reached
  }

  #makeSchedule(): CutSchedule {
    const { settings, platform, started } = this.#options
    return new CutSchedule({
      loop: this.loop,
      platform,
      intervalMs: settings.intervalMs,
      isAwaited: () => this.#waiters.waiting,
      // Without knowing the newest version nothing may be numbered.
      isHalted: () =>
        !this.#mayCut ||
        started.stale ||
        this.fencedBy !== undefined ||
        (this.appender?.queue.length ?? 0) > 0,
      make: () => this.#makeVersion(),
      cut: (version) => {
        this.copier.request(version.sequence)
        if (this.appender === undefined) return this.#confirmed(version)
        this.appender.push(version)
      },
      trouble: (error) => this.#troubles.set('cut', error),
    })
  }

  #makeVersion(): Promise<PreparedVersion | undefined> {
    const { platform, nodeId, store } = this.#options
    const before = this.appender?.newest ?? this.memory
    return cutVersion({
      capture: this.loop.capture,
      version: before.version + 1,
      timestampMs: nextTimestampMs(before.timestampMs, platform.clock.nowMs()),
      nodeId,
      lineage: lineageNumber(this.memory.lineage),
      folder: store.folder,
      platform,
    })
  }

  #makeAppender(ledger: Ledger): Appender {
    return new Appender(ledger, this.#options.platform, {
      // State is a cache: a disk that is full must not stop the log.
      sending: (version) =>
        this.#head.intend(version).catch((thrown) => this.#troubles.set('notes', toKvarError(thrown))),
      confirmed: (version) => this.#confirmed(version),
      fenced: (by) => void this.#onFenced(by),
      trouble: (error, nextTryMs) => {
        this.ledgerProblem = error
        this.ledgerNextTryMs = nextTryMs
        this.#options.changed()
      },
    })
  }

  async #confirmed(version: PreparedVersion): Promise<void> {
    const { platform } = this.#options
    try {
      await this.#head.advance(version)
      this.#troubles.set('notes', undefined)
    } catch (thrown) {
      this.#troubles.set('notes', toKvarError(thrown))
    }
    this.#troubles.set('cut', undefined)
    this.places?.remember(version)
    if (version.file !== undefined) await platform.files.remove(version.file)
    this.confirmedAtMs = platform.clock.nowMs()
    this.captured.reach(version.sequence)
    this.#onFirst?.('stored')
    this.#followLedger()
    this.#waiters.check()
    this.#options.changed()
    void this.#schedule.consider()
  }

  #followLedger(): void {
    this.places?.follow(this.appender?.ledger.confirmed ?? 0)
  }

  /** Somebody else appended where we meant to: at start we begin anew, later they may go away again. */
  async #onFenced(by: VersionInfo): Promise<void> {
    if (this.#onFirst !== undefined) return this.#onFirst('lost')
    this.ledgerProblem = fencedError(by)
    this.#options.changed()
    const { platform, settings } = this.#options
    const takenBack = await takeBack({
      appender: this.appender as Appender,
      loop: this.loop,
      memory: this.memory,
      platform,
      takeBackMs: settings.limits.takeBackMs,
      isOver: () => this.#closing,
      rewind: () => this.#schedule.rewind(this.captured.reached),
    })
    if (!takenBack) return this.#giveUp(by)
    this.ledgerProblem = undefined
    await this.#schedule.consider(true)
  }

  /** Fenced for good: what the log does not hold is kept as a branch, then everybody is told. */
  async #giveUp(by: VersionInfo | undefined): Promise<void> {
    const error = fencedError(by)
    this.fencedBy = error
    void this.checks.stop()
    try {
      const { log, loop, memory } = this
      const { platform, store, nodeId } = this.#options
      if (this.unstored && log !== undefined) {
        const scratchPath = store.path('branch.tmp')
        const kept = { log, loop, memory, scratchPath, nodeId, platform }
        this.branch = await branchOfLive({ ...kept, reason: 'fenced' })
      }
    } catch (thrown) {
      this.#troubles.set('notes', toKvarError(thrown))
    }
    this.#waiters.fail(error)
    this.#options.changed()
    this.#options.fenced(error)
  }

  #makePlaces(ledgerLog: VersionLog): Places {
    const { settings, platform, store, targets, nodeId, changed } = this.#options
    return new Places({
      ...{ settings, platform, store, targets, nodeId, ledgerLog },
      changed: () => {
        this.#waiters.check()
        changed()
      },
    })
  }

  #makeChecks(): SelfChecks {
    const { settings, platform, store } = this.#options
    return new SelfChecks({
      platform,
      folder: store.folder,
      memory: this.memory,
      loop: this.loop,
      scrubAfterMs: settings.limits.scrubAfterMs,
      drillAfterMs: settings.limits.drillAfterMs,
      places: () => (this.memory.version === 0 ? [] : (this.places?.toRehearse() ?? [])),
      isSettled: () =>
        !this.unstored && (this.appender?.queue.length ?? 0) === 0 && this.fencedBy === undefined,
      changed: this.#options.changed,
    })
  }

  #makeCopier(): Copier {
    const { settings, platform, store } = this.#options
    return new Copier({
      databasePath: settings.databasePath,
      kinds: settings.copies,
      platform,
      memory: this.memory,
      saveMemory: () => store.save(this.memory),
      makeImage: (path) => this.#imageOfVersion(path),
      imagePath: store.path('image.tmp'),
      useImage: async (image) => this.places?.offer(image),
      changed: this.#options.changed,
    })
  }

  #imageOfVersion(path: string): Promise<VersionImage> {
    return imageOfVersion({
      loop: this.loop,
      schedule: this.#schedule,
      path,
      platform: this.#options.platform,
      newest: () => this.appender?.newest ?? this.memory,
      hasRoom: () =>
        (this.appender?.queue.length ?? 0) < QUEUE_LIMIT &&
        this.fencedBy === undefined &&
        !this.#options.started.stale,
    })
  }

  /** What keeps us from working as we should, as long as it lasts. */
  get problem(): KvarError | undefined {
    return this.#troubles.first
  }

  /** Lets go without storing anything: the start is made anew. */
  async abandon(): Promise<void> {
    this.#closing = true
    await this.checks.stop()
    this.#schedule.stop()
    this.appender?.stop()
    await this.places?.stop()
    await this.copier.stop()
    await this.loop.stop()
    this.loop.capture.close()
    this.#options.store.close()
  }

  /** The log went on without us while our app was running: its changes become a branch (R3). */
  takenOver(): Promise<void> {
    return this.#giveUp(undefined)
  }

  /**
   * A last look and a last flush, then everything is let go.
   *
   * @returns undefined when all is stored, otherwise a sentence about what is not
   */
  async close(deadlineMs: number): Promise<string | undefined> {
    this.#closing = true
    void this.checks.stop()
    void this.places?.stopKeeping()
    const work = this.#lastWork().catch((thrown) => toKvarError(thrown).message)
    const outcome = await beforeDeadline(this.#options.platform.clock, deadlineMs, work)
    await this.#options.store.save(this.memory).catch(() => undefined)
    await this.abandon()
    if (outcome !== 'late') return outcome
    return `not everything was stored within ${Math.round(deadlineMs / 1000)} s`
  }

  async #lastWork(): Promise<string | undefined> {
    if (this.fencedBy !== undefined) return this.fencedBy.message
    const { version } = await this.flush()
    for (const follower of this.followers) follower.hurry()
    await Promise.all([
      this.writeCopies(),
      this.#waiters.until(() =>
        this.followers.every((one) => one.confirmed >= version || one.problem !== undefined),
      ),
    ])
    return undefined
  }
}

import { KvarError, toKvarError } from '../errors.ts'
import { type RestoreProgress, restoreToFile } from '../log/restore.ts'
import type { RestoreWant } from '../log/restore-plan.ts'
import type { FlushResult, RestoreOptions } from '../persistence-types.ts'
import type { Platform } from '../platform/platform.ts'
import { processId } from '../platform/processes.ts'
import { randomUint64 } from '../platform/random.ts'
import type { KeeperSettings } from '../settings/keeper-settings.ts'
import { backupCopyPath, jsonCopyPath, stateFolder } from '../settings/names.ts'
import { VERSION } from '../settings/version.ts'
import type { TargetOpener } from '../targets/open-target.ts'
import { buildStatus, nextVerdictMs, type StatusFacts } from './build-status.ts'
import type { DrillReport } from './drill-record.ts'
import { keepAside } from './keep-aside.ts'
import {
  type BranchLine,
  findBranchLog,
  listBranchLines,
  listVersionLines,
  type VersionLine,
} from './list-log.ts'
import { Protector } from './protector.ts'
import type { Replaced } from './protocol.ts'
import { replaceContent } from './replace-content.ts'
import { restoreFromCopy } from './start/copy-restore.ts'
import { resumeDatabase } from './start/resume.ts'
import { nodeText, type StartContext } from './start/situation.ts'
import { type Started, startDatabase } from './start/start.ts'
import { StateStore } from './state-store.ts'
import type { KeeperState, KeeperStatus, StartReport } from './status.ts'
import { TargetSet } from './target-set.ts'

/** How often an app may commit between the last flush and the moment its database is replaced. */
const REPLACE_TRIES = 100
/** How often a start is made anew because another keeper appended in between. */
const START_LIMIT = 50

export interface KeeperEvents {
  changed: () => void
  fenced: (error: KvarError) => void
  tell: (sentence: string) => void
  progress?: (progress: RestoreProgress) => void
}

/** One database under protection: its start, its protector, and the verbs that clients call. */
export class Keeper {
  readonly #settings: KeeperSettings
  readonly #platform: Platform
  readonly #events: KeeperEvents
  readonly #targets: TargetSet
  readonly #nodeId: bigint
  readonly #startedAtMs: number
  readonly #abort = new AbortController()
  #protector: Protector | undefined
  #report: StartReport | undefined
  #startError: KvarError | undefined
  #state: KeeperState = 'starting'
  #recovering: Promise<void> | undefined

  constructor(settings: KeeperSettings, platform: Platform, events: KeeperEvents, opener?: TargetOpener) {
    this.#settings = settings
    this.#platform = platform
    this.#events = events
    this.#targets = new TargetSet(settings, platform, opener)
    this.#nodeId = randomUint64(platform.random)
    this.#startedAtMs = platform.clock.nowMs()
  }

  /**
   * Brings the database into its right state and begins to protect it.
   *
   * @param appRunning the app has the database open: nothing is renamed under it
   */
  async start(appRunning: boolean): Promise<StartReport> {
    try {
      for (let tries = 0; tries < START_LIMIT; tries++) {
        const started = await this.#startOnce(appRunning)
        const protector = this.#protect(started)
        const outcome = await protector.begin(this.#settings.startTimeoutMs)
        if (outcome === 'owner') {
          if (started.stale) this.#recoverLater()
          return this.#began(started)
        }
        if (appRunning) {
          await protector.takenOver()
          return this.#began(started)
        }
        await protector.abandon()
      }
      throw new KvarError('FENCED', 'Other instances of the app keep taking this database over', {
        hint: 'run one instance at a time',
      })
    } catch (thrown) {
      this.#startError = toKvarError(thrown)
      this.#events.changed()
      throw thrown
    }
  }

  /**
   * After a stale start: as soon as the ledger answers, what happened here follows the newest version
   * if that is the one we began with, and otherwise becomes a branch.
   */
  #recoverLater(): void {
    this.#recovering = this.#recover()
    // It ends without a result when the keeper closes; whoever waits for it hears that.
    this.#recovering.catch((thrown) => {
      this.#startError = toKvarError(thrown)
      this.#events.tell(this.#startError.message)
      this.#events.changed()
    })
  }

  async #recover(): Promise<void> {
    const started = await resumeDatabase(this.#context(), { afterStale: true })
    await this.#protector?.abandon()
    const protector = this.#protect(started)
    const outcome = await protector.begin(this.#settings.startTimeoutMs)
    if (outcome === 'lost') await protector.takenOver()
    else this.#state = 'protecting'
    this.#events.changed()
  }

  #startOnce(appRunning: boolean): Promise<Started> {
    return appRunning ? resumeDatabase(this.#context()) : startDatabase(this.#context())
  }

  #context(): StartContext {
    return {
      settings: this.#settings,
      platform: this.#platform,
      store: new StateStore(stateFolder(this.#settings.databasePath), this.#platform),
      targets: this.#targets,
      nodeId: this.#nodeId,
      tell: this.#events.tell,
      progress: (progress) => this.#events.progress?.(progress),
      signal: this.#abort.signal,
    }
  }

  #protect(started: Started): Protector {
    this.#protector = new Protector({
      settings: this.#settings,
      platform: this.#platform,
      store: new StateStore(stateFolder(this.#settings.databasePath), this.#platform),
      targets: this.#targets,
      nodeId: this.#nodeId,
      started,
      changed: this.#events.changed,
      fenced: (error) => {
        this.#state = 'fenced'
        this.#events.fenced(error)
      },
    })
    return this.#protector
  }

  #began(started: Started): StartReport {
    if (this.#state === 'starting') this.#state = started.stale ? 'stale' : 'protecting'
    const version = this.#protector?.memory.version ?? started.report.version
    this.#report = { ...started.report, version: Math.max(version, started.report.version) }
    this.#startError = undefined
    this.#events.tell(this.#report.sentence)
    this.#events.changed()
    return this.#report
  }

  get #running(): Protector {
    if (this.#protector !== undefined && this.#report !== undefined) return this.#protector
    throw (
      this.#startError ?? new KvarError('KEEPER_GONE', 'The keeper is still starting', { hint: 'try again' })
    )
  }

  async flush(signal?: AbortSignal): Promise<FlushResult> {
    // Nothing is durable before the ledger has answered (R1).
    if (this.#state === 'stale') await unlessCancelled(this.#recovering, signal)
    return this.#running.flush(signal)
  }

  async backupDatabase(signal?: AbortSignal): Promise<FlushResult> {
    const [flushed] = await Promise.all([this.flush(signal), this.#running.writeCopies()])
    return flushed
  }

  async backupToJson(): Promise<{ path: string; version: number }> {
    if (!this.#settings.copies.includes('json')) {
      throw new KvarError('SETTING_INVALID', 'The JSON copy is switched off', {
        hint: 'add "json" to copies',
      })
    }
    await this.#running.writeCopies()
    return {
      path: jsonCopyPath(this.#settings.databasePath),
      version: this.#running.memory.copies.json?.version ?? 0,
    }
  }

  /** Replaces the content by that of a copy; the present content stays in the log. */
  async restoreFromFile(
    kind: 'json' | 'backup',
    options: { path?: string; force?: boolean },
  ): Promise<{ rows: number } & Replaced> {
    const { databasePath, schema } = this.#settings
    const beside = kind === 'json' ? jsonCopyPath(databasePath) : backupCopyPath(databasePath)
    const protector = this.#running
    const scratch = protector.scratchPath('import.tmp')
    const path = options.path ?? beside
    if (this.#platform.files.statSync(path) === undefined) {
      throw new KvarError('NOT_FOUND', `There is no file "${path}"`, { data: { path } })
    }
    const { rows } = await restoreFromCopy(
      { kind, path },
      { databasePath: scratch, schema, platform: this.#platform },
    )
    return { rows, ...(await this.#replace(scratch, options.force === true)) }
  }

  /** Brings an older version, or a branch, back as the next version. */
  async restore(options: RestoreOptions & { branch?: string }): Promise<{ restoredFrom: number } & Replaced> {
    const protector = this.#running
    if (protector.log === undefined)
      throw new KvarError('NO_BACKUP', 'No target is set, so there is no log to restore from')
    await protector.flush()
    const { branch } = options
    const log = branch === undefined ? protector.log : await findBranchLog(this.#targets.all, branch)
    const plan = await log.plan(wanted(options))
    const path = protector.scratchPath('restore-in-place.tmp')
    await this.#platform.files.remove(path)
    const onProgress = (progress: RestoreProgress) => this.#events.progress?.(progress)
    await restoreToFile({ log, plan, path, platform: this.#platform, onProgress })
    return { restoredFrom: plan.version, ...(await this.#replace(path, true)) }
  }

  /** The old content is stored first, and the new one becomes the next version: every restore can be undone (R2). */
  async #replace(scratch: string, force: boolean): Promise<Replaced> {
    const protector = this.#running
    const { databasePath } = this.#settings
    try {
      for (let tries = 0; tries < REPLACE_TRIES; tries++) {
        const { version: previousVersion } = await protector.flush()
        // Without force nothing is replaced that has rows.
        const isOnlyHere = force && protector.log === undefined
        const aside = isOnlyHere ? await keepAside(databasePath, protector.loop, this.#platform) : null
        const { capture } = protector.loop
        const replaced = await replaceContent({
          databasePath,
          newFile: scratch,
          force,
          pageSize: capture.table?.pageSize,
          // A database that is not there holds nothing that could be lost.
          isStored: () => !protector.present || (!protector.unstored && capture.isUnchanged()),
          platform: this.#platform,
        })
        if (replaced === 'moved-on') continue
        const { version } = await protector.flush()
        return { version, previousVersion, aside }
      }
      throw new KvarError('HELD', `Cannot restore into "${databasePath}": the app commits without a pause`, {
        hint: 'stop the app for a moment and try again; nothing was changed',
      })
    } finally {
      await this.#platform.files.remove(scratch)
    }
  }

  /** The seed's verb: a database that is missing or empty is brought back, one with data is left alone. */
  async checkAndRestore(): Promise<StartReport> {
    const protector = this.#running
    const { present } = await protector.loop.lookNow()
    if (present)
      return { ...(this.#report as StartReport), action: 'kept-local', restored: false, from: null }
    await protector.abandon()
    this.#state = 'starting'
    return this.start(false)
  }

  async versions(options: { limit?: number; details?: boolean }): Promise<VersionLine[]> {
    const log = this.#running.log
    return log === undefined ? [] : listVersionLines(log, options)
  }

  /** Rehearses a restore now (PROOF 22). */
  drill(options: { target?: string }): Promise<DrillReport[]> {
    return this.#running.checks.drillNow(options.target)
  }

  async branches(): Promise<BranchLine[]> {
    return listBranchLines(this.#targets.all)
  }

  status(): KeeperStatus {
    return buildStatus(this.#facts())
  }

  /** When time alone will change what `status` says, in monotonic milliseconds. */
  get nextVerdictMs(): number | undefined {
    return nextVerdictMs(this.#facts())
  }

  #facts(): StatusFacts {
    const waiting = this.#state === 'protecting' && this.#protector?.present === false
    return {
      settings: this.#settings,
      targets: this.#targets,
      state: waiting ? 'waiting' : this.#state,
      start: this.#report,
      startError: this.#startError,
      protector: this.#protector,
      nowMs: this.#platform.clock.nowMs(),
      monotonicMs: this.#platform.clock.monotonicMs(),
      keeper: {
        processId,
        nodeId: nodeText(this.#nodeId),
        startedAt: new Date(this.#startedAtMs).toISOString(),
        version: VERSION,
      },
      notes: this.#protector?.notes() ?? [],
    }
  }

  /**
   * Stores what is left and lets everything go.
   *
   * @returns a sentence about what could not be finished in time
   */
  async close(deadlineMs: number): Promise<string | undefined> {
    this.#abort.abort()
    if (this.#state !== 'fenced') this.#state = 'closing'
    const unfinished = await this.#protector?.close(deadlineMs)
    await this.#targets.close()
    return unfinished
  }
}

function unlessCancelled(work: Promise<void> | undefined, signal?: AbortSignal): Promise<void> {
  if (signal === undefined) return work ?? Promise.resolve()
  const cancelled = new Promise<never>((_resolve, reject) => {
    signal.addEventListener('abort', () => reject(new KvarError('CANCELLED', 'The wait was cancelled')))
  })
  return Promise.race([work ?? Promise.resolve(), cancelled])
}

function wanted(options: RestoreOptions): RestoreWant {
  if (options.version !== undefined) return { kind: 'version', version: options.version }
  if (options.before === undefined) return { kind: 'latest' }
  const timeMs = Date.parse(options.before)
  if (Number.isNaN(timeMs)) {
    throw new KvarError('USAGE', `"${options.before}" is no time`, {
      hint: 'write it as 2026-11-23T14:03:07Z',
    })
  }
  return { kind: 'before', timeMs }
}

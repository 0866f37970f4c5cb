import { join } from 'node:path'
import { KvarError, type KvarErrorCode, toKvarError } from '../errors.ts'
import { rehearseRestore } from '../log/drill.ts'
import { versionKey } from '../log/log-layout.ts'
import type { VersionLog } from '../log/version-log.ts'
import { sleep, type Timer } from '../platform/clock.ts'
import type { Platform } from '../platform/platform.ts'
import type { CaptureLoop } from './capture-loop.ts'
import {
  type DrillReport,
  emptyRecord,
  loadRecord,
  noteDrift,
  noteDrill,
  noteScrub,
  type ProofRecord,
  saveRecord,
} from './drill-record.ts'
import { nextNightMs, spokenTime } from './drill-time.ts'
import { scrubDatabase } from './scrub.ts'
import type { KeeperMemory } from './state-store.ts'

/** The clock may jump and the machine may sleep: the night is looked for at least this often. */
const LONGEST_TIMER_MS = 3_600_000
/** Timers beyond this fire at once. */
const TIMER_LIMIT_MS = 2 ** 31 - 1
/** A check begins when nothing has changed for so long … */
const QUIET_MS = 1000
/** … and begins all the same when that moment has not come. */
const QUIET_LIMIT_MS = 600_000
/** A check that could not be carried out is tried again. */
const RETRY_MS = 600_000
/** A target whose drill failed is tried again, for it may have been mended. */
const RETRY_FAILED_MS = 3_600_000
/** How long a drift that is over is still told. */
const PAST_DRIFT_MS = 7 * 24 * 3_600_000

export interface DrillPlace {
  url: string
  log: () => Promise<VersionLog>
}

export interface SelfCheckOptions {
  platform: Platform
  /** `.NAME-kvar/`. */
  folder: string
  memory: KeeperMemory
  loop: CaptureLoop
  /** 0 switches the check off. */
  scrubAfterMs: number
  drillAfterMs: number
  /** Targets that hold versions, the ledger first. */
  places: () => DrillPlace[]
  /** Nothing is captured that the ledger does not hold. */
  isSettled: () => boolean
  changed: () => void
}

type Check = 'scrub' | 'drill'

/**
 * Does by itself, shortly after start and every night, what nobody does by hand: reads the whole
 * database and compares it with what was captured (scrub), and restores it from the targets and
 * compares that (drill). Never at the same time, never while changes wait to be stored.
 */
export class SelfChecks {
  readonly #options: SelfCheckOptions
  readonly #stop = new AbortController()
  readonly #wanted = new Set<Check>()
  readonly #timers = new Set<Timer>()
  #record: ProofRecord
  #running: Promise<void> | undefined
  #exclusive: Promise<unknown> = Promise.resolve()
  #headTrouble: KvarError | undefined
  #leftUndone: Partial<Record<Check, string>> = {}

  constructor(options: SelfCheckOptions) {
    this.#options = options
    this.#record = emptyRecord(options.memory.lineage)
  }

  get record(): ProofRecord {
    return this.#record
  }

  async start(): Promise<void> {
    const { folder, memory, platform, scrubAfterMs, drillAfterMs } = this.#options
    const early = this.#record
    this.#record = await loadRecord(folder, memory.lineage, platform)
    // Drift that was seen while the record was being read.
    if (early.drift !== null) noteDrift(this.#record, early.drift)
    if (this.#stop.signal.aborted) return
    if (scrubAfterMs > 0) this.#after(scrubAfterMs, () => this.#request('scrub'))
    if (drillAfterMs > 0) this.#after(drillAfterMs, () => this.#request('drill'))
    this.#awaitNight()
    if (this.#record.drift !== null) this.#options.changed()
  }

  /** What turns the first line of the status to *Not safe*, until the check that found it finds it mended. */
  get problem(): KvarError | undefined {
    const { failed, drift } = this.#record
    const urls = new Set(this.#options.places().map(({ url }) => url))
    const worst = Object.values(failed).find(({ target }) => urls.has(target))
    if (this.#headTrouble !== undefined) return this.#headTrouble
    if (worst !== undefined) return drillError(worst, this.#options.platform.clock.nowMs())
    return drift === null ? undefined : driftError(drift)
  }

  /** Things worth knowing that are no danger. */
  notes(): string[] {
    const nowMs = this.#options.platform.clock.nowMs()
    const past = this.#record.pastDrift
    const notes = Object.values(this.#leftUndone)
    if (past !== null && nowMs - past.foundAtMs < PAST_DRIFT_MS) {
      const when = spokenTime(past.foundAtMs, nowMs)
      notes.push(
        `${pagesText(past.pages)} of the database had changed without a commit (found ${when}); version ${past.lastGoodVersion} shows the content from before.`,
      )
    }
    return notes
  }

  /** Capture found pages that had changed although nothing was committed. */
  onDrift(pages: number, firstPage: number): void {
    const { memory, platform } = this.#options
    noteDrift(this.#record, {
      foundAtMs: platform.clock.nowMs(),
      pages,
      firstPage,
      lastGoodVersion: memory.version,
    })
    this.#save()
    // Not at once: first the version that corrects it has to be stored, which the check waits for.
    this.#request('drill')
  }

  /**
   * Rehearses a restore now, from every place or the named one.
   *
   * @throws KvarError `NO_BACKUP` without targets, what keeps a drill from being carried out
   */
  async drillNow(url?: string): Promise<DrillReport[]> {
    const places = this.#options.places().filter((place) => url === undefined || place.url === url)
    if (places.length === 0)
      throw new KvarError('NO_BACKUP', 'There is no target that a restore could be rehearsed from')
    const reports: DrillReport[] = []
    for (const place of places) reports.push(await this.#oneAtATime(() => this.#drillFrom(place)))
    return reports
  }

  #after(delayMs: number, then: () => void): void {
    const timer = this.#options.platform.clock.startTimer(Math.min(delayMs, TIMER_LIMIT_MS), () => {
      this.#timers.delete(timer)
      then()
    })
    this.#timers.add(timer)
  }

  #awaitNight(): void {
    const { clock } = this.#options.platform
    const dueMs = nextNightMs(clock.nowMs())
    const wait = () => {
      const leftMs = dueMs - clock.nowMs()
      // A clock that was set back by days would put the night off by days.
      if (leftMs > 25 * LONGEST_TIMER_MS) return this.#awaitNight()
      if (leftMs > 0) return this.#after(Math.min(leftMs, LONGEST_TIMER_MS), wait)
      if (this.#options.scrubAfterMs > 0) this.#request('scrub')
      if (this.#options.drillAfterMs > 0) this.#request('drill')
      this.#awaitNight()
    }
    wait()
  }

  #request(check: Check): void {
    if (this.#stop.signal.aborted) return
    this.#wanted.add(check)
    this.#running ??= this.#work().finally(() => {
      this.#running = undefined
      // Asked for in the very moment in which the work had ended.
      for (const left of this.#wanted) this.#request(left)
    })
  }

  async #work(): Promise<void> {
    for (const check of this.#wanted) {
      await this.#quiet()
      if (this.#stop.signal.aborted) return
      this.#wanted.delete(check)
      try {
        await this.#oneAtATime(() => (check === 'scrub' ? this.#scrub() : this.#drill()))
        delete this.#leftUndone[check]
      } catch (thrown) {
        if (this.#stop.signal.aborted) return
        this.#leftUndone[check] = `${toKvarError(thrown).message}.`
        this.#after(RETRY_MS, () => this.#request(check))
      }
      this.#options.changed()
    }
  }

  #oneAtATime<T>(work: () => Promise<T>): Promise<T> {
    const run = this.#exclusive.then(work)
    this.#exclusive = run.catch(() => undefined)
    return run
  }

  /** Waits for a moment in which everything is stored and nothing changes. */
  async #quiet(): Promise<void> {
    const { platform, loop, isSettled } = this.#options
    const untilMs = platform.clock.monotonicMs() + QUIET_LIMIT_MS
    let before = -1
    while (!this.#stop.signal.aborted && platform.clock.monotonicMs() < untilMs) {
      if (isSettled() && loop.capture.sequence === before) return
      before = loop.capture.sequence
      await sleep(platform.clock, QUIET_MS, this.#stop.signal)
    }
  }

  async #scrub(): Promise<void> {
    const { loop, platform, places } = this.#options
    const scrubbed = await scrubDatabase({ loop, platform, signal: this.#stop.signal })
    if (scrubbed === undefined) return
    const { pages, drifted, durationMs, sumWasRight } = scrubbed
    if (!sumWasRight) this.onDrift(0, 1)
    // Without a log there is nothing that a drill could prove.
    if (places().length === 0 && this.#record.drift !== null) this.#record.drift.proved = true
    noteScrub(this.#record, { atMs: platform.clock.nowMs(), pages, drifted, durationMs })
    this.#save()
    await this.#checkHead()
  }

  /** The pair of a scrub (R6): the newest version, as the ledger holds it, against our own table of it. */
  async #checkHead(): Promise<void> {
    const { loop, memory, isSettled, places } = this.#options
    const ledger = places()[0]
    const seen = await loop.exclusively(() => ({
      settled: isSettled() && memory.version > 0 && loop.capture.consistent,
      version: memory.version,
      recorded: BigInt(memory.databaseChecksum),
      table: loop.capture.table?.databaseChecksum,
    }))
    if (!seen.settled || ledger === undefined) return
    if (seen.table !== seen.recorded) {
      await loop.exclusively(() => loop.capture.distrust())
      return this.onDrift(loop.capture.table?.pageCount ?? 0, 1)
    }
    const log = await ledger.log()
    const why = await headFault(log, seen.version, seen.recorded, BigInt(`0x${memory.nodeId}`))
    this.#headTrouble = why === undefined ? undefined : headError(seen.version, log, why)
  }

  /** The target whose turn it is, and those that failed the last time. */
  async #drill(): Promise<void> {
    const places = this.#options.places()
    const turn = places[this.#record.drills % places.length]
    const due = places.filter((place) => place === turn || this.#record.failed[place.url] !== undefined)
    for (const place of due) await this.#drillFrom(place)
    if (due.some((place) => this.#record.failed[place.url] !== undefined))
      this.#after(RETRY_FAILED_MS, () => this.#request('drill'))
    if (this.#record.drift?.proved === true) this.#request('scrub')
  }

  async #drillFrom(place: DrillPlace): Promise<DrillReport> {
    const { platform, folder } = this.#options
    const begunMs = platform.clock.monotonicMs()
    const report: DrillReport = {
      ...{ atMs: platform.clock.nowMs(), target: place.url, versions: [], durationMs: 0, sizeBytes: 0 },
      problem: null,
    }
    try {
      const log = await place.log()
      const [newest, ...older] = await rehearseRestore({
        log,
        platform,
        scratchPath: join(folder, 'drill.tmp'),
        recorded: (version) => this.#recorded(version, place),
        signal: this.#stop.signal,
      })
      report.versions = [newest, ...older].flatMap((one) => one?.version ?? [])
      report.durationMs = newest?.durationMs ?? 0
      report.sizeBytes = newest?.sizeBytes ?? 0
    } catch (thrown) {
      const error = toKvarError(thrown)
      if (!provesFailure(error)) throw error
      report.problem = error.toJSON()
      report.durationMs = Math.round(platform.clock.monotonicMs() - begunMs)
    }
    noteDrill(this.#record, report)
    this.#save()
    this.#options.changed()
    return report
  }

  /** What was noted at capture: our own notes of the last versions; for a follower, what the ledger says. */
  async #recorded(version: number, place: DrillPlace): Promise<bigint | undefined> {
    const { memory, places } = this.#options
    if (version === memory.version) return BigInt(memory.databaseChecksum)
    const noted = memory.history.find((entry) => entry.version === version)
    if (noted !== undefined) return BigInt(noted.databaseChecksum)
    const ledger = places()[0]
    if (ledger === undefined || ledger.url === place.url) return undefined
    const log = await ledger.log()
    return (await log.readHeader(versionKey(log.target, version)))?.databaseChecksum
  }

  /** A cache: a disk that is full costs the memory of a drill, nothing else. */
  #save(): void {
    const { folder, platform } = this.#options
    saveRecord(folder, this.#record, platform).catch(() => undefined)
  }

  /** Ends what is under way; nothing is left behind. */
  async stop(): Promise<void> {
    this.#stop.abort()
    for (const timer of this.#timers) timer.cancel()
    await this.#running
    await this.#exclusive
  }
}

/** Failures that would meet a person who restores, too; all others say only that it could not be tried. */
const PROVES_A_FAILURE = new Set<KvarErrorCode>([
  'DAMAGED',
  'LOG_BROKEN',
  'NO_BACKUP',
  'NOT_FOUND',
  'FORMAT_TOO_NEW',
  'TARGET_DENIED',
  'TARGET_PERMANENT',
])

/** What is wrong with the file of our newest version; undefined when all is well. */
async function headFault(
  log: VersionLog,
  version: number,
  recorded: bigint,
  nodeId: bigint,
): Promise<string | undefined> {
  try {
    const header = await log.readHeader(versionKey(log.target, version))
    if (header === undefined) return 'its file is not there any more'
    // Another keeper's version in this place means that we are fenced, which the next append finds.
    const isOurs = header.nodeId === nodeId
    return isOurs && header.databaseChecksum !== recorded
      ? 'it does not show the database as it is'
      : undefined
  } catch (thrown) {
    const error = toKvarError(thrown)
    if (!provesFailure(error)) throw thrown
    return error.message
  }
}

/** Whether an error of a rehearsed restore is a verdict on the log. */
export function provesFailure(error: KvarError): boolean {
  return PROVES_A_FAILURE.has(error.code)
}

function drillError({ target, problem, atMs }: DrillReport, nowMs: number): KvarError {
  const why = problem?.message ?? ''
  return new KvarError(
    problem?.code ?? 'DAMAGED',
    `A restore rehearsed from ${target} failed (${spokenTime(atMs, nowMs)}): ${why}`,
    {
      hint: problem?.hint ?? 'find out what is left with: kvar verify --data',
      data: { ...problem?.data, target, drill: new Date(atMs).toISOString() },
    },
  )
}

function driftError({ pages, firstPage, lastGoodVersion }: NonNullable<ProofRecord['drift']>): KvarError {
  const first = pages > 1 ? `, page ${firstPage} first` : firstPage === null ? '' : `, page ${firstPage}`
  return new KvarError(
    'DAMAGED',
    `${pagesText(pages)} of the database changed without a commit (${first.slice(2)}): a failing disk, or a program that writes past SQLite`,
    {
      hint: `see that everything is right; the content from before is in: kvar restore --version ${lastGoodVersion} --to FILE`,
      data: { pages, firstPage, lastGoodVersion },
    },
  )
}

function headError(version: number, log: VersionLog, why: string): KvarError {
  return new KvarError(
    'DAMAGED',
    `The newest version (${version}) on ${log.name} is not as it was stored: ${why}`,
    {
      hint: 'find out what is left with: kvar verify --data',
      data: { version, target: log.target.url },
    },
  )
}

function pagesText(pages: number): string {
  return pages === 1 ? '1 page' : `${pages} pages`
}

import { type KvarError, toKvarError } from '../errors.ts'
import type { Timer } from '../platform/clock.ts'
import type { Platform } from '../platform/platform.ts'
import { processId } from '../platform/processes.ts'
import { parseDuration } from '../settings/duration.ts'
import { DEFAULT_ALARM_AFTER, type KeeperSettings } from '../settings/keeper-settings.ts'
import { VERSION } from '../settings/version.ts'
import { Alarm } from './alarm.ts'
import { HealthDoor } from './health.ts'
import type { Keeper } from './keeper.ts'
import { errorFacts, KeeperLog, type LogLine } from './logging.ts'
import { journalLines } from './logging-journal.ts'
import type { KeeperStatus } from './status.ts'

/** Changes are gathered: watchers, log and alarm see at most this many a second. */
const GATHER_MS = 100

export interface ReportingOptions {
  platform: Platform
  /** `.NAME-kvar/`. */
  folder: string
  /** The status has changed, for clients that watch. */
  changed: (status: KeeperStatus) => void
  isWatched: () => boolean
}

/** All that a keeper tells of itself beside its answers: watchers, log, alarm, metrics and health. */
export class Reporting {
  readonly #options: ReportingOptions
  readonly #log: KeeperLog
  #keeper: Keeper | undefined
  #alarm: Alarm | undefined
  #door: HealthDoor | undefined
  #gathering: Timer | undefined
  #turning: Timer | undefined
  #before: KeeperStatus | undefined
  #opened: Promise<void> = Promise.resolve()
  #closed = false

  constructor(options: ReportingOptions) {
    const { folder, platform } = options
    this.#options = options
    this.#log = new KeeperLog({ folder, platform, processId })
  }

  /** The first client has said what to tell, and where. */
  open(keeper: Keeper, settings: KeeperSettings): void {
    const { platform, folder } = this.#options
    const status = () => this.statusOf(keeper)
    this.#keeper = keeper
    this.log({
      level: 'info',
      event: 'keeper',
      facts: { version: VERSION, targets: settings.targets.map((one) => one.url) },
    })
    this.#alarm = new Alarm({
      ...{ platform, folder, status },
      alarms: settings.alarms ?? [],
      afterMs: settings.alarmAfterMs ?? (parseDuration(DEFAULT_ALARM_AFTER) as number),
      log: (line) => this.log(line),
      changed: () => this.changed(),
    })
    if (settings.metricsPort !== undefined) this.#door = this.#makeDoor(settings.metricsPort, status)
    this.#opened = this.#openAll(settings)
    this.changed()
  }

  async #openAll({ logLevel }: KeeperSettings): Promise<void> {
    await Promise.all([this.#log.open(logLevel ?? 'info'), this.#alarm?.open(), this.#door?.open()])
  }

  #makeDoor(port: number, status: () => KeeperStatus): HealthDoor {
    const told = (problem: string | undefined) => {
      const isFine = problem === undefined
      this.log({
        level: isFine ? 'info' : 'warn',
        event: 'metrics',
        facts: isFine ? { port } : { port, failure: problem },
      })
      this.changed()
    }
    return new HealthDoor({ port, platform: this.#options.platform, status, told })
  }

  /** The keeper's status, with what reporting itself has to say. */
  statusOf(keeper: Keeper): KeeperStatus {
    const status = keeper.status()
    const own = [...(this.#alarm?.notes() ?? []), ...(this.#door?.notes() ?? [])]
    return own.length === 0 ? status : { ...status, notes: [...status.notes, ...own] }
  }

  log(line: LogLine): void {
    this.#log.add(line)
  }

  logError(event: string, thrown: unknown): void {
    this.log({ level: 'error', event, facts: errorFacts(toKvarError(thrown)) })
  }

  /** Something about the keeper has changed. */
  changed(): void {
    if (this.#gathering !== undefined || this.#closed) return
    this.#gathering = this.#options.platform.clock.startTimer(GATHER_MS, () => {
      this.#gathering = undefined
      this.#look()
    })
  }

  #look(): void {
    const keeper = this.#keeper
    if (keeper === undefined || this.#closed) return
    const status = this.statusOf(keeper)
    for (const line of journalLines(this.#before, status)) this.log(line)
    this.#before = status
    if (this.#options.isWatched()) this.#options.changed(status)
    this.#alarm?.look()
    this.#lookWhenTimeTells(keeper)
  }

  /** A commit that waits turns the verdict by waiting, without anything happening. */
  #lookWhenTimeTells(keeper: Keeper): void {
    this.#turning?.cancel()
    const { clock } = this.#options.platform
    const atMs = keeper.nextVerdictMs
    if (atMs === undefined) return
    this.#turning = clock.startTimer(Math.max(1, Math.ceil(atMs - clock.monotonicMs())), () => this.#look())
  }

  /** The start has failed, or changes stay behind: a person should know before we go. */
  async lastWords(keeper: Keeper, problem: KvarError): Promise<void> {
    await this.#opened.catch(() => undefined)
    const status = this.statusOf(keeper)
    const why = status.problem ?? problem.toJSON()
    const sentence = status.safety === 'not-safe' ? status.sentence : `Not safe: ${problem.message}.`
    await this.#alarm?.lastWords({ ...status, safety: 'not-safe', problem: why, sentence })
  }

  async close(): Promise<void> {
    this.#closed = true
    this.#gathering?.cancel()
    this.#turning?.cancel()
    this.#alarm?.close()
    await this.#opened.catch(() => undefined)
    await Promise.all([this.#door?.close(), this.#log.close()])
  }
}

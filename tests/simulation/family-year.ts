import * as fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { LogKeeping } from '../../packages/kvar/src/keeper/log-keeping.ts'
import { nextTimestampMs } from '../../packages/kvar/src/log/claim.ts'
import { asLogFile, type LogFile } from '../../packages/kvar/src/log/log-layout.ts'
import { restoreToFile } from '../../packages/kvar/src/log/restore.ts'
import { planRestore } from '../../packages/kvar/src/log/restore-plan.ts'
import { VersionLog } from '../../packages/kvar/src/log/version-log.ts'
import type { Clock, Timer } from '../../packages/kvar/src/platform/clock.ts'
import type { Platform } from '../../packages/kvar/src/platform/platform.ts'
import { systemPlatform } from '../../packages/kvar/src/platform/system.ts'
import { DEFAULT_KEEP, type KeepSettings } from '../../packages/kvar/src/settings/keeper-settings.ts'
import { seeded } from '../support/log-history.ts'
import { MemoryTarget, type TargetCall } from '../support/memory-target.ts'
import { promisedByDate } from '../support/promised-by-date.ts'
import { FamilyCalendar } from './family-calendar.ts'

const HOUR = 3_600_000
const DAY = 24 * HOUR
const BEGIN = Date.UTC(2026, 0, 5)
const CHANGES_A_DAY = 50
/** The hours in which somebody is awake. */
const FIRST_HOUR = 6
const HOURS_AWAKE = 16
/** What a log may cost at most to restore its newest version, at a moment when nobody has changed anything for 10 s. */
const OBJECTS_FOR_NEWEST = 5
const MONTH_OF_ALL: KeepSettings = { all: '30d', hourly: '30d', daily: '30d', monthly: '30d' }
/** The host sleeps at night: each morning is another keeper's life, on some days also the noon. */
const NOON = 12 * HOUR

export interface YearOptions {
  days: number
  seed: number
  keep?: KeepSettings
  /** How far the machine's clock is wrong on a day, in milliseconds. */
  clockErrorMs?: (day: number, hour: number) => number
  /** How many promised versions are restored in the end; all when left out. */
  restores?: number
}

export interface YearReport {
  versions: number
  promised: number
  restored: number
  violations: string[]
  databaseBytes: number
  logBytes: number
  objects: number
  /** Largest number of objects the log ever had. */
  mostObjects: number
  /** Objects read to restore the newest version: at rest at most, and right after a change at most. */
  newestAtRest: number
  newestEver: number
  /** Mean requests a day. */
  requests: Record<TargetCall['verb'], number>
  bytesUpADay: number
  objectsByLevel: Record<number, number>
}

/**
 * A family's use of a calendar on a simulated clock: a real SQLite database, real version files, the
 * keeper's own way of keeping a log small, a target in memory that counts.
 */
export async function liveThroughDays(options: YearOptions): Promise<YearReport> {
  const folder = fs.mkdtempSync(join(tmpdir(), 'kvar-year-'))
  const life = new FamilyLife(options, folder)
  try {
    for (let day = 0; day < options.days; day++) await life.liveDay(day)
    return await life.report()
  } finally {
    life.end()
    fs.rmSync(folder, { recursive: true })
  }
}

class FamilyLife {
  readonly #options: YearOptions
  readonly #folder: string
  readonly #random: () => number
  readonly #clock = new DayClock(BEGIN)
  readonly #target = new MemoryTarget('year')
  readonly #calendar: FamilyCalendar
  readonly #madeAtMs: number[] = []
  readonly #checksums: bigint[] = []
  readonly #violations: string[] = []
  #keeping: LogKeeping | undefined
  /** What a keeper still has in memory of the versions it cut. */
  readonly #recent = new Map<number, Uint8Array>()
  #lastTimestampMs = 0
  #startedMs = 0
  #mostObjects = 0
  #newestAtRest = 0
  #newestEver = 0
  #bytesUp = 0

  constructor(options: YearOptions, folder: string) {
    this.#options = options
    this.#folder = folder
    this.#random = seeded(options.seed)
    this.#calendar = new FamilyCalendar(join(folder, 'calendar.db'), this.#random)
    this.#target.after = ({ verb, key }) => {
      if (verb === 'create') this.#bytesUp += this.#target.objects.get(key)?.bytes.length ?? 0
    }
  }

  get #keep(): KeepSettings {
    return this.#options.keep ?? DEFAULT_KEEP
  }

  get #platform(): Platform {
    return { ...systemPlatform, clock: this.#clock }
  }

  async liveDay(day: number): Promise<void> {
    await this.#restart()
    const dawnMs = BEGIN + day * DAY + FIRST_HOUR * HOUR
    const moments = Array.from({ length: CHANGES_A_DAY }, () =>
      Math.floor(this.#random() * HOURS_AWAKE * HOUR),
    )
    const isRestedAtNoon = day % 3 === 0
    let isMorning = true
    for (const moment of moments.sort((a, b) => a - b)) {
      if (isRestedAtNoon && isMorning && moment > NOON) {
        isMorning = false
        await this.#rest(
          this.#clock.trueMs + Math.floor(this.#random() * (dawnMs + moment - this.#clock.trueMs)),
        )
        await this.#restart()
      }
      await this.#rest(dawnMs + moment)
      this.#clock.errorMs = this.#options.clockErrorMs?.(day, Math.floor(moment / HOUR)) ?? 0
      await this.#change()
    }
    await this.#rest(dawnMs + (HOURS_AWAKE + 1) * HOUR)
  }

  async #restart(): Promise<void> {
    await this.#keeping?.stop()
    this.#recent.clear()
    this.#startedMs = this.#clock.trueMs
    this.#keeping = new LogKeeping({
      url: this.#target.url,
      log: async () => new VersionLog(this.#target),
      keep: this.#keep,
      platform: this.#platform,
      scratchPath: join(this.#folder, 'keeping.tmp'),
      recent: (version) => this.#recent.get(version),
      imagesComing: true,
      changed: () => undefined,
    })
    // A keeper begins by claiming the log, and so confirms a version in any case.
    this.#keeping.confirmed(this.#madeAtMs.length)
  }

  async #change(): Promise<void> {
    const version = this.#madeAtMs.length + 1
    const timestampMs = nextTimestampMs(this.#lastTimestampMs, this.#clock.nowMs())
    const bytes = this.#calendar.change(version, this.#clock.trueMs, timestampMs, 7n)
    await new VersionLog(this.#target).append(version, bytes, timestampMs)
    this.#lastTimestampMs = timestampMs
    this.#recent.set(version, bytes)
    this.#madeAtMs.push(this.#clock.trueMs)
    this.#checksums.push(this.#calendar.databaseChecksum)
    this.#keeping?.confirmed(version)
    this.#newestEver = Math.max(this.#newestEver, this.#objectsForNewest())
    this.#mostObjects = Math.max(this.#mostObjects, this.#target.objects.size)
  }

  /** Time passes until a moment; ten quiet seconds before it, the newest version has to be near. */
  async #rest(untilMs: number): Promise<void> {
    const quietMs = untilMs - (this.#madeAtMs.at(-1) ?? untilMs)
    const wasQuiet = quietMs > 11_000 && untilMs - this.#startedMs > 11_000
    await this.#clock.advanceTo(untilMs, () => this.#target.calls.length)
    if (wasQuiet && this.#madeAtMs.length > 0) {
      const objects = this.#objectsForNewest()
      this.#newestAtRest = Math.max(this.#newestAtRest, objects)
      if (objects > OBJECTS_FOR_NEWEST) this.#violate(`the newest version needs ${objects} objects at rest`)
    }
    const [note] = this.#keeping?.notes().filter((text) => text.startsWith('Tidying')) ?? []
    if (note !== undefined) this.#violate(note)
  }

  #objectsForNewest(): number {
    return planRestore(this.#files(), { kind: 'latest' }).files.length
  }

  #files(): LogFile[] {
    return [...this.#target.objects].flatMap(([key, { bytes, modifiedAtMs }]) => {
      const level = Number(/^ltx\/(\d)\//.exec(key)?.[1])
      return asLogFile({ key, sizeBytes: bytes.length, modifiedAtMs }, level, `ltx/${level}/`) ?? []
    })
  }

  #violate(sentence: string): void {
    this.#violations.push(`day ${Math.floor((this.#clock.trueMs - BEGIN) / DAY)}: ${sentence}`)
  }

  async report(): Promise<YearReport> {
    const { days, restores } = this.#options
    const requests = { create: 0, replace: 0, read: 0, list: 0, remove: 0 }
    for (const { verb } of this.#target.calls) requests[verb] += 1 / days
    await this.#keeping?.stop()
    const files = this.#files()
    const promised = [...promisedByDate(this.#madeAtMs, this.#clock.trueMs, this.#keep)]
    const every = Math.max(1, Math.floor(promised.length / (restores ?? promised.length)))
    for (const [i, version] of promised.entries())
      await this.#expectRestorable(version, files, i % every === 0)
    const objectsByLevel: Record<number, number> = {}
    for (const { level } of files) objectsByLevel[level] = (objectsByLevel[level] ?? 0) + 1
    return {
      ...{ versions: this.#madeAtMs.length, promised: promised.length, violations: this.#violations },
      restored: Math.ceil(promised.length / every),
      databaseBytes: this.#calendar.sizeBytes,
      logBytes: [...this.#target.objects.values()].reduce((sum, { bytes }) => sum + bytes.length, 0),
      ...{ objects: this.#target.objects.size, mostObjects: this.#mostObjects },
      ...{ newestAtRest: this.#newestAtRest, newestEver: this.#newestEver },
      ...{ requests, bytesUpADay: this.#bytesUp / days, objectsByLevel },
    }
  }

  async #expectRestorable(version: number, files: LogFile[], wholly: boolean): Promise<void> {
    const path = join(this.#folder, 'restored.db')
    try {
      const plan = planRestore(files, { kind: 'version', version })
      if (!wholly) return
      const log = new VersionLog(this.#target)
      const image = await restoreToFile({ log, plan, path, platform: systemPlatform })
      if (image.databaseChecksum !== this.#checksums[version - 1])
        this.#violate(`version ${version} is not itself`)
    } catch (thrown) {
      this.#violate(`version ${version} is promised: ${(thrown as Error).message}`)
    }
    fs.rmSync(path, { force: true })
  }

  end(): void {
    this.#calendar.close()
  }
}

/** A clock whose timers fire when the day has come to them, and whose face may show another time. */
class DayClock implements Clock {
  trueMs: number
  errorMs = 0
  readonly #timers = new Set<{ dueMs: number; fire: () => void }>()

  constructor(beginMs: number) {
    this.trueMs = beginMs
  }

  nowMs(): number {
    return this.trueMs + this.errorMs
  }

  monotonicMs(): number {
    return this.trueMs
  }

  startTimer(delayMs: number, fire: () => void): Timer {
    const timer = { dueMs: this.trueMs + delayMs, fire }
    this.#timers.add(timer)
    return { cancel: () => void this.#timers.delete(timer) }
  }

  turn(): Promise<void> {
    return new Promise((resolve) => setImmediate(resolve))
  }

  /** @param activity a number that grows while something is still going on */
  async advanceTo(untilMs: number, activity: () => number): Promise<void> {
    for (;;) {
      const next = [...this.#timers].reduce<{ dueMs: number; fire: () => void } | undefined>(
        (a, b) => (a === undefined || b.dueMs < a.dueMs ? b : a),
        undefined,
      )
      if (next === undefined || next.dueMs > untilMs) break
      this.#timers.delete(next)
      this.trueMs = Math.max(this.trueMs, next.dueMs)
      next.fire()
      for (let before = -1; before !== activity(); ) {
        before = activity()
        await this.turn()
        await this.turn()
      }
    }
    this.trueMs = Math.max(this.trueMs, untilMs)
  }
}

/**
 * A year of a family, for `npm run proof -- family-year`: one round is one life with a clock that is right,
 * a second one has a clock that is not. Prints what it costs.
 */
export async function run(options: { rounds: number; seed: number; days?: number }): Promise<{
  name: string
  options: { rounds: number; seed: number }
  violations: number
  sentence: string
}> {
  const { rounds, seed, days = 365 } = options
  const found: string[] = []
  const sentences: string[] = []
  for (let round = 0; round < rounds; round++) {
    const clockErrorMs = round % 2 === 0 ? undefined : wanderingClock(seed + round)
    const report = await liveThroughDays({
      ...{ days, seed: seed + round, restores: 200 },
      // Hours of a wrong clock are no hours: there only the span of "all" can be held against true times.
      ...(clockErrorMs === undefined ? {} : { clockErrorMs, keep: MONTH_OF_ALL }),
    })
    found.push(...report.violations)
    sentences.push(sentenceOf(report, days))
    for (const violation of report.violations)
      process.stdout.write(`family-year: seed ${seed + round}: ${violation}\n`)
    process.stdout.write(`family-year: seed ${seed + round}: ${sentences.at(-1)}\n`)
  }
  const sentence = `family-year: ${rounds} rounds, seed ${seed}, ${found.length} violations. ${sentences[0] ?? ''}`
  process.stdout.write(`${sentence}\n`)
  return { name: 'family-year', options: { rounds, seed }, violations: found.length, sentence }
}

/** Some hours off on one day in ten, as with a drained battery or a wrong time zone. */
function wanderingClock(seed: number): (day: number) => number {
  return (day) => {
    const random = seeded(seed * 1000 + day)
    return random() < 0.1 ? Math.floor((random() - 0.5) * 12) * HOUR : 0
  }
}

function sentenceOf(report: YearReport, days: number): string {
  const { requests } = report
  const kilobytes = (bytes: number) => `${Math.round(bytes / 1000)} kB`
  const aDay = (['create', 'read', 'list', 'remove'] as const).map(
    (verb) => `${requests[verb].toFixed(1)} ${verb}`,
  )
  return [
    `${days} days, ${report.versions} versions, ${report.promised} promised and reachable, ${report.restored} of them restored`,
    `database ${kilobytes(report.databaseBytes)}, log ${kilobytes(report.logBytes)} in ${report.objects} objects (at most ${report.mostObjects})`,
    `newest version from ${report.newestAtRest} objects at rest, ${report.newestEver} at most ever`,
    `a day: ${aDay.join(', ')}, ${kilobytes(report.bytesUpADay)} up`,
  ].join('; ')
}

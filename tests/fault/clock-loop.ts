import * as fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { parseTime } from '../../packages/kvar/src/cli/parse-time.ts'
import { shortTimeText, timeText } from '../../packages/kvar/src/cli/words.ts'
import { parseBackupTime } from '../../packages/kvar/src/formats/json-copy.ts'
import type { Keeper } from '../../packages/kvar/src/keeper/keeper.ts'
import type { KeeperStatus } from '../../packages/kvar/src/keeper/status.ts'
import { Retention } from '../../packages/kvar/src/log/retention.ts'
import { VersionLog } from '../../packages/kvar/src/log/version-log.ts'
import { DEFAULT_KEEP } from '../../packages/kvar/src/settings/keeper-settings.ts'
import { createFolderTarget } from '../../packages/kvar/src/targets/folder/folder-target.ts'
import type { Target } from '../../packages/kvar/src/targets/target.ts'
import { difference, imageOf } from './model-image.ts'
import { modelKeeper, restoredBytes, unsynced, wipe } from './model-keeper.ts'
import { runRounds } from './model-rounds.ts'
import type { LoopOptions, LoopResult } from './proof-loop.ts'
import type { Choices } from './proof-random.ts'

/*
 * Clocks that are wrong (PROOF 15): between any two versions the clock may jump back, into the hour that
 * summer time repeats or leaves out, over the end of 2038's seconds, or years ahead. Versions stay in order
 * and get later, a moment finds the version before it, every time in the status is one, copies tell their
 * moment exactly, and retention gives nothing up.
 */

const ZONES = ['Europe/Stockholm', 'Australia/Lord_Howe', 'America/St_Johns', 'UTC']
const HOUR_MS = 3_600_000
/** The moments around which clocks are set: summer time ends and begins in Stockholm, 2038, leap day, 2100. */
const MOMENTS = [
  ...['2026-10-25T00:59:59.500Z', '2026-10-25T01:00:00Z', '2026-03-29T00:59:59.999Z', '2026-03-29T01:00:00Z'],
  ...['2038-01-19T03:14:07.999Z', '2038-01-19T03:14:08Z', '2028-02-29T23:59:59.999Z', '2100-01-01T00:00:00Z'],
  ...['2026-12-31T23:59:59.999Z', '2000-01-01T00:00:00Z', '1970-01-01T00:00:01Z'],
].map((text) => Date.parse(text))
const VERSIONS = 12

export async function clockLoop(options: LoopOptions): Promise<LoopResult> {
  const counts = { versions: 0, 'backward jumps': 0, moments: 0 }
  const zone = process.env.TZ
  try {
    return await runRounds(
      {
        name: 'clock',
        counts,
        async round(choices, round) {
          process.env.TZ = ZONES[round % ZONES.length]
          const life = await Life.begin(choices)
          try {
            await life.live(counts)
            await life.audit(counts)
          } finally {
            await life.end()
          }
        },
      },
      options,
    )
  } finally {
    if (zone === undefined) delete process.env.TZ
    else process.env.TZ = zone
  }
}

type Counts = Record<'versions' | 'backward jumps' | 'moments', number>

class Life {
  readonly #folder = fs.mkdtempSync(join(tmpdir(), 'kvar-clock-'))
  readonly #path = join(this.#folder, 'machine', 'app.db')
  readonly #choices: Choices
  readonly #target: Target
  readonly #images = new Map<number, Buffer>()
  #nowMs: number
  #keeper: Keeper | undefined
  #database: DatabaseSync | undefined

  private constructor(choices: Choices, target: Target) {
    this.#choices = choices
    this.#target = target
    this.#nowMs = choices.pick(MOMENTS)
  }

  static async begin(choices: Choices): Promise<Life> {
    const path = fs.mkdtempSync(join(tmpdir(), 'kvar-clock-ledger-'))
    const life = new Life(choices, await createFolderTarget({ path, platform: unsynced }))
    life.#ledgerFolder = path
    wipe(life.#path)
    await life.#start()
    return life
  }

  #ledgerFolder = ''

  async #start(): Promise<void> {
    const clock = { ...unsynced.clock, nowMs: () => this.#nowMs }
    this.#keeper = modelKeeper({
      databasePath: this.#path,
      targets: [this.#target],
      platform: { ...unsynced, clock },
      settings: { intervalMs: 3_600_000, copies: ['json'] },
    })
    await this.#keeper.start(false)
    this.#database = new DatabaseSync(this.#path, { timeout: 0 })
    this.#database.exec('PRAGMA journal_mode=WAL; CREATE TABLE IF NOT EXISTS t(a)')
  }

  async #stop(): Promise<void> {
    this.#database?.close()
    await this.#keeper?.close(60_000)
    this.#keeper = undefined
  }

  async live(counts: Counts): Promise<void> {
    for (let n = 0; n < VERSIONS; n++) {
      this.#jump(counts)
      this.#database?.exec(`INSERT INTO t VALUES (${this.#nowMs})`)
      const image = imageOf(this.#path)
      const { version } = (await this.#keeper?.flush()) ?? { version: 0 }
      this.#images.set(version, image)
      assertStatus(this.#keeper?.status() as KeeperStatus, this.#nowMs)
      if (n % 5 === 4) await this.#copyTellsTheTime()
      if (this.#choices.chance(0.15)) {
        await this.#stop()
        await this.#start()
      }
    }
    await this.#stop()
  }

  #jump(counts: Counts): void {
    const before = this.#nowMs
    this.#nowMs = this.#choices.chance(0.3)
      ? this.#choices.pick(MOMENTS) + this.#choices.between(0, 3) * 500
      : Math.max(1, before + this.#choices.pick([1, 500, HOUR_MS, -HOUR_MS, -1, 24 * HOUR_MS, -600_000, 0]))
    if (this.#nowMs < before) counts['backward jumps'] += 1
  }

  async #copyTellsTheTime(): Promise<void> {
    await this.#keeper?.backupDatabase()
    const text = fs.readFileSync(`${this.#path}.json`, 'utf8')
    const { backup_time: told, kvar } = JSON.parse(text) as { backup_time: string; kvar: { version: number } }
    const info = await new VersionLog(this.#target).readVersionInfo(kvar.version)
    if (parseBackupTime(told) !== info?.timestampMs)
      throw new Error(`the copy says ${told} of version ${kvar.version}, which is of ${info?.timestampMs}`)
  }

  /** Order, times, moments and retention, as any later reader finds them. */
  async audit(counts: Counts): Promise<void> {
    const log = new VersionLog(this.#target)
    const times = await this.#times(log)
    for (const [version, timeMs] of times) await this.#assertMoment(log, version, timeMs, counts)
    const scratchPath = join(this.#folder, 'scratch')
    const retention = new Retention({ log, keep: DEFAULT_KEEP, platform: unsynced, scratchPath })
    const head = Math.max(...times.keys())
    while (await retention.compactNext(head));
    await retention.removeDue(head, { graceMs: 0 })
    for (const [version, image] of this.#images) {
      const found = await restoredBytes(this.#target, version, this.#folder)
      if (!found.equals(image)) throw new Error(`version ${version}: ${difference(found, image)}`)
    }
    counts.versions += head
  }

  async #times(log: VersionLog): Promise<Map<number, number>> {
    const times = new Map<number, number>()
    let beforeMs = 0
    for await (const { maxVersion, modifiedAtMs } of log.listVersions()) {
      const { timestampMs = 0 } = (await log.readVersionInfo(maxVersion)) ?? {}
      if (timestampMs <= beforeMs) throw new Error(`version ${maxVersion} is not later than the one before`)
      if (modifiedAtMs !== timestampMs)
        throw new Error(`version ${maxVersion} lost its time: ${modifiedAtMs}`)
      beforeMs = timestampMs
      times.set(maxVersion, timestampMs)
    }
    return times
  }

  /** Strictly before its own time it is the version before, a millisecond later the version itself. */
  async #assertMoment(log: VersionLog, version: number, timeMs: number, counts: Counts): Promise<void> {
    counts.moments += 1
    const told = parseTime(new Date(timeMs + 1).toISOString(), 0)
    const plan = await log.plan({ kind: 'before', timeMs: told })
    if (plan.version !== version) throw new Error(`before ${told} is version ${plan.version}, not ${version}`)
    const back = parseTime(timeText(timeMs).replace(' ', 'T'), 0)
    // What a person reads and types again is the same second, or the other of two that bear one name.
    const apartMs = Math.abs(back - Math.floor(timeMs / 1000) * 1000)
    if (apartMs !== 0 && apartMs !== HOUR_MS && apartMs !== HOUR_MS / 2)
      throw new Error(`${timeText(timeMs)} is read as ${new Date(back).toISOString()}`)
    if (version === 1) return
    const earlier = await log.plan({ kind: 'before', timeMs })
    if (earlier.version !== version - 1) throw new Error(`before version ${version} is ${earlier.version}`)
  }

  async end(): Promise<void> {
    if (this.#keeper !== undefined) await this.#stop()
    for (const folder of [this.#folder, this.#ledgerFolder])
      fs.rmSync(folder, { recursive: true, force: true })
  }
}

/** Every time that is told is one, no duration is negative, and words can be made of it. */
function assertStatus(status: KeeperStatus, nowMs: number): void {
  const times = [
    status.confirmedAt,
    status.storedUpTo,
    status.keeper.startedAt,
    status.targets[0]?.confirmedAt,
  ]
  for (const time of times) {
    if (time === null || time === undefined) continue
    if (Number.isNaN(Date.parse(time))) throw new Error(`the status says ${time}`)
    if (/NaN|Invalid/.test(shortTimeText(time, nowMs))) throw new Error(`${time} cannot be said`)
  }
  if (status.waitingMs < 0 || (status.targets[0]?.behindMs ?? 0) < 0) throw new Error('a wait is negative')
  if (/NaN|Invalid|undefined/.test(status.sentence)) throw new Error(status.sentence)
  if (status.safety === 'not-safe') throw new Error(`a clock that jumps is no danger: ${status.sentence}`)
}

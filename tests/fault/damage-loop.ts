import * as fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { KvarError, toKvarError } from '../../packages/kvar/src/errors.ts'
import { decodeLtx } from '../../packages/kvar/src/formats/ltx-decoder.ts'
import { restoreToFile } from '../../packages/kvar/src/log/restore.ts'
import type { RestoreWant } from '../../packages/kvar/src/log/restore-plan.ts'
import { verifyTarget } from '../../packages/kvar/src/log/verify.ts'
import { VersionLog } from '../../packages/kvar/src/log/version-log.ts'
import type { MemoryTarget } from '../support/memory-target.ts'
import { type BaseLog, baseLog } from './damage-base.ts'
import { difference, imageOf } from './model-image.ts'
import { modelKeeper, restoredBytes, unsynced, wipe } from './model-keeper.ts'
import { runRounds } from './model-rounds.ts'
import type { LoopOptions, LoopResult } from './proof-loop.ts'
import { Choices } from './proof-random.ts'

/*
 * One object of a log is removed, or one bit of it flipped (PROOF 17). Whatever is asked of that log comes
 * back exactly, another way, or with an error that names the object and the nearest good version, which
 * then is good; an older state never passes for the newest. With a second target everything comes back.
 *
 * One thing no log can tell of itself: that its newest object is gone, if nothing reaches beyond it. Then
 * the other target shows it (`kvar verify` compares them), and a keeper keeps the follower's tail.
 */

const BASES = 4
/** A whole start costs as much as many restores. */
const START_EVERY = 5

export async function damageLoop(options: LoopOptions): Promise<LoopResult> {
  const counts = {
    removed: 0,
    flipped: 0,
    exact: 0,
    'another way': 0,
    refused: 0,
    starts: 0,
    'newest gone': 0,
  }
  const folder = fs.mkdtempSync(join(tmpdir(), 'kvar-damage-'))
  const bases: BaseLog[] = []
  try {
    return await runRounds(
      {
        name: 'damage',
        counts,
        async before() {
          for (let n = 0; n < BASES; n++)
            bases.push(await baseLog(join(folder, `base-${n}`), new Choices(options.seed, 'base', n)))
        },
        round: (choices, round) =>
          new Damage(bases[round % BASES] as BaseLog, folder, choices, counts).check(
            round % START_EVERY === 0,
          ),
      },
      options,
    )
  } finally {
    fs.rmSync(folder, { recursive: true, force: true })
  }
}

type Counts = Record<
  'removed' | 'flipped' | 'exact' | 'another way' | 'refused' | 'starts' | 'newest gone',
  number
>

class Damage {
  readonly #base: BaseLog
  readonly #folder: string
  readonly #choices: Choices
  readonly #counts: Counts
  readonly #target: MemoryTarget
  readonly #key: string
  readonly #isRemoved: boolean

  constructor(base: BaseLog, folder: string, choices: Choices, counts: Counts) {
    this.#base = base
    this.#folder = folder
    this.#choices = choices
    this.#counts = counts
    this.#target = base.ledger.clone('ledger')
    this.#key = choices.pick(this.#target.keys())
    this.#isRemoved = choices.chance(0.4)
    counts[this.#isRemoved ? 'removed' : 'flipped'] += 1
    if (this.#isRemoved) this.#target.objects.delete(this.#key)
    else this.#flip()
  }

  #flip(): void {
    const bytes = this.#target.bytesOf(this.#key)
    const at = this.#choices.between(0, bytes.length - 1)
    bytes[at] = (bytes[at] as number) ^ (1 << this.#choices.between(0, 7))
  }

  get #isNewestGone(): boolean {
    const newest = this.#base.ledger.keys('ltx/0/').at(-1)
    return this.#isRemoved && this.#key === newest && !this.#reachesBeyond
  }

  /** A range or snapshot tells that there were later versions. */
  get #reachesBeyond(): boolean {
    const head = this.#base.head.toString(16).padStart(16, '0')
    return this.#target.keys('ltx/').some((key) => key.endsWith(`-${head}.ltx`))
  }

  async check(withStart: boolean): Promise<void> {
    const { versions, head } = this.#base
    try {
      await this.#ask({ kind: 'latest' }, head)
      for (let times = 0; times < 3; times++) {
        const version = this.#choices.pick(versions)
        await this.#ask({ kind: 'version', version }, version)
      }
      await this.#ask({ kind: 'before', timeMs: Date.now() + 3_600_000 }, head)
      await this.#verify()
      if (withStart) await this.#start()
    } catch (thrown) {
      const what = `${this.#isRemoved ? 'without' : 'a flipped bit in'} "${this.#key}" of ${head} versions`
      throw new Error(`${what}: ${thrown instanceof Error ? thrown.message : thrown}`, { cause: thrown })
    }
  }

  /** @param expected the version that an undamaged log would give */
  async #ask(want: RestoreWant, expected: number): Promise<void> {
    const path = join(this.#folder, 'asked.db')
    fs.rmSync(path, { force: true })
    const log = new VersionLog(this.#target)
    try {
      const plan = await log.plan(want)
      const { version, damagedKeys } = await restoreToFile({ log, plan, path, platform: unsynced })
      if (version !== expected) return this.#assertBlind(want, version)
      this.#assertImage(fs.readFileSync(path), version)
      this.#counts[damagedKeys.length > 0 ? 'another way' : 'exact'] += 1
    } catch (thrown) {
      if (!(thrown instanceof KvarError)) throw thrown
      await this.#assertNames(thrown, expected)
      this.#counts.refused += 1
    }
  }

  /** An older version came back as the newest: only where nothing on this target could tell. */
  #assertBlind(want: RestoreWant, version: number): void {
    if (want.kind === 'version' || !this.#isNewestGone)
      throw new Error(`version ${version} passed for what was asked`)
    this.#counts['newest gone'] += 1
  }

  #assertImage(found: Uint8Array, version: number): void {
    const wanted = this.#base.images.get(version)
    if (wanted === undefined) throw new Error(`version ${version} was never cut`)
    if (!wanted.equals(found)) throw new Error(`version ${version}: ${difference(found, wanted)}`)
  }

  async #assertNames(error: KvarError, asked: number): Promise<void> {
    const { code, data, message } = error
    if (this.#isNewestGone && code === 'NOT_FOUND') return
    if (!['LOG_BROKEN', 'DAMAGED', 'NOT_FOUND'].includes(code)) throw error
    const named = JSON.stringify([message, data.key, data.keys, data.name])
    const { nearestVersion, missingFrom, missingTo } = data as Record<string, number>
    const isInGap = (missingFrom ?? Infinity) <= this.#lastVersion && this.#firstVersion <= (missingTo ?? 0)
    // A file that retention took away looks the same as one that was lost, where a range goes on over it.
    const isThinned = this.#isRemoved && code === 'NOT_FOUND'
    if (!named.includes(this.#key) && !isInGap && !isThinned)
      throw new Error(`the error names nothing: ${message}`)
    if (nearestVersion === undefined) throw new Error(`no nearest version is named: ${message}`)
    if (nearestVersion >= asked)
      throw new Error(`version ${nearestVersion} is said to be nearest to ${asked}`)
    if (nearestVersion === 0) return
    this.#assertImage(await restoredBytes(this.#target, nearestVersion, this.#folder), nearestVersion)
  }

  get #firstVersion(): number {
    return Number.parseInt(this.#key.slice(-37, -21), 16)
  }

  get #lastVersion(): number {
    return Number.parseInt(this.#key.slice(-20, -4), 16)
  }

  /** `kvar verify --data` finds it, on this target or by the other one. */
  async #verify(): Promise<void> {
    const report = await verifyTarget({ target: this.#target, data: true })
    if (report.findings.length > 0) return
    if (report.newestVersion < this.#base.head) return
    // What is repeated elsewhere may go: then nothing is missing. Of lineage.json a reader knows only the form.
    if (this.#key.endsWith('lineage.json') || this.#isRemoved || this.#isHarmless) return
    throw new Error('kvar verify finds nothing')
  }

  /** In the code of a repetition some bits may point to another place with the same content. */
  get #isHarmless(): boolean {
    const [before, now] = [this.#base.ledger, this.#target].map((target) =>
      JSON.stringify([...decodeLtx(target.bytesOf(this.#key), this.#key).pages]),
    )
    return before === now
  }

  /** A new machine, with the damaged ledger and a sound follower: the newest state, or a word. */
  async #start(): Promise<void> {
    this.#counts.starts += 1
    const databasePath = join(this.#folder, 'machine', 'app.db')
    wipe(databasePath)
    const follower = this.#base.follower.clone('follower')
    const keeper = modelKeeper({ databasePath, targets: [this.#target, follower] })
    try {
      const { version } = await keeper.start(false)
      const expected = this.#isNewestGone ? this.#base.head - 1 : this.#base.head
      if (version < expected) throw new Error(`the start shows version ${version}`)
      this.#assertImage(imageOf(databasePath), expected)
    } catch (thrown) {
      if (!(thrown instanceof KvarError)) throw thrown
      if (!['LOG_BROKEN', 'DAMAGED', 'LINEAGE_MISMATCH', 'FORMAT_TOO_NEW'].includes(toKvarError(thrown).code))
        throw thrown
    } finally {
      await keeper.close(0)
    }
  }
}

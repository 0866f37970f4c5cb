import { assert, KvarError } from '../errors.ts'
import { parseLtxHeader } from '../formats/ltx.ts'
import type { Platform } from '../platform/platform.ts'
import type { KeepSettings } from '../settings/keeper-settings.ts'
import { proveRange, storeCompaction } from './compact.ts'
import { planMaking, planSnapshot } from './compact-plan.ts'
import { type LogFile, SNAPSHOT_LEVEL, VERSION_LEVEL, versionKey } from './log-layout.ts'
import { passing } from './passing.ts'
import { newestVersion } from './restore-plan.ts'
import {
  type CompactionStep,
  planRetention,
  type RetentionLimits,
  type RetentionPlan,
} from './retain-plan.ts'
import { type Listed, RetentionFiles } from './retention-files.ts'
import { type Foresight, foreseeRetention } from './retention-foresee.ts'
import type { VersionLog } from './version-log.ts'

export interface RetentionOptions {
  log: VersionLog
  keep: KeepSettings
  platform: Platform
  /** A path that is free for a database image. */
  scratchPath: string
  /** A version's bytes, if they are still in memory. */
  recent?: (version: number) => Uint8Array | undefined
  /** Snapshots of a large database come from outside (`wantsSnapshot`). */
  imagesComing?: boolean
  limits?: RetentionLimits
}

/** A file is removed no sooner than this after it became superfluous: a restore may be reading it. */
export const GRACE_MS = 5 * 60_000
/** Removing rests on a listing that is at most so old: somebody else may have taken the log over. */
const LISTING_MS = 60_000
/** Keys of one removal. */
const REMOVE_AT_ONCE = 500

/**
 * Keeps one log small: makes ranges and snapshots, then removes what they replace and what `keep` gives up.
 * It remembers what the log holds from one listing, so its small steps cost no further ones; every
 * removal lists anew, and only goes on while the newest version is the caller's.
 *
 * What is there is never trusted by its name alone: a range is read back before anything is removed for its
 * sake. Whatever is interrupted, each step leaves a whole log (docs/decisions/031).
 *
 * @example
 * const retention = new Retention({ log, keep, platform, scratchPath })
 * while (await retention.compactNext(head)) continue
 * await retention.removeDue(head)
 */
export class Retention {
  readonly #options: RetentionOptions
  readonly #source: RetentionFiles
  readonly #proved = new Set<string>()
  readonly #barriers = new Set<number>()
  /** When a file was first seen to be superfluous, by its key; monotonic milliseconds. */
  readonly #since = new Map<string, number>()
  #known: Listed | undefined

  constructor(options: RetentionOptions) {
    this.#options = options
    this.#source = new RetentionFiles(options.log)
  }

  /** What is known of the log may not be true any more. */
  forget(): void {
    this.#known = undefined
  }

  /**
   * Makes the most urgent range or snapshot.
   *
   * @param head the newest version that the caller knows to be its own
   * @param options.catchUpOnly only what shortens the way to the newest version
   * @returns false when nothing is left to be made, or the log is not as the caller believes
   */
  async compactNext(
    head: number,
    options: { catchUpOnly?: boolean; signal?: AbortSignal } = {},
  ): Promise<boolean> {
    const isFromMemory = this.#known !== undefined
    const known = await this.#upTo(head, options.signal)
    if (known === undefined) return false
    const step = this.#nextStep(known, options.catchUpOnly === true)
    if (step === undefined) return false
    try {
      await this.#make(step, known, options.signal)
    } catch (thrown) {
      this.forget()
      // Somebody else tidied this log too, such as `kvar prune`: one more look tells what is there.
      if (!isFromMemory || !(thrown instanceof KvarError) || thrown.code !== 'LOG_BROKEN') throw thrown
    }
    return true
  }

  /** Whether the log would gain by a snapshot of its newest version that only an image of the database can give. */
  wantsSnapshot(): boolean {
    const step = this.#known === undefined ? undefined : planSnapshot(this.#known.files)
    return step !== undefined && !step.isSmall
  }

  /** How far the time of the newest version lies beyond a moment; negative where it is past, as it should be. */
  aheadMs(nowMs: number): number {
    const times = (this.#known?.files ?? []).map((file) => file.modifiedAtMs)
    return times.reduce((latest, timeMs) => Math.max(latest, timeMs), 0) - nowMs
  }

  /** How many files wait for their removal, and milliseconds until the first of them may go. */
  waiting(): { count: number; dueInMs: number } | undefined {
    const [first] = this.#since.values()
    if (first === undefined) return undefined
    const dueInMs = Math.max(0, first + GRACE_MS - this.#options.platform.clock.monotonicMs())
    return { count: this.#since.size, dueInMs }
  }

  /**
   * Removes what has been superfluous for long enough.
   *
   * @param head as for `compactNext`
   * @param options.graceMs how long is enough
   * @returns what was removed
   */
  async removeDue(
    head: number,
    options: { graceMs?: number; signal?: AbortSignal } = {},
  ): Promise<LogFile[]> {
    const { log, platform } = this.#options
    const { graceMs = GRACE_MS, signal } = options
    const begunMs = platform.clock.monotonicMs()
    const plan = await this.survey(signal)
    if (plan.head !== head) return []
    const isDue = ({ key }: LogFile) => begunMs - (this.#since.get(key) ?? begunMs) >= graceMs
    const due = plan.remove.map(({ file }) => file).filter(isDue)
    await this.#prove(plan, due, signal)
    for (let start = 0; start < due.length; start += REMOVE_AT_ONCE) {
      if (platform.clock.monotonicMs() - begunMs > LISTING_MS) return due.slice(0, start)
      const some = due.slice(start, start + REMOVE_AT_ONCE)
      await log.target.remove(
        some.map((file) => file.key),
        passing(signal),
      )
      this.#drop(some)
    }
    return due
  }

  /** Lists the log anew and says what making ranges and then removing would come to. Changes nothing. */
  async foresee(signal?: AbortSignal): Promise<Foresight> {
    const { files, named } = await this.#source.list(signal)
    const { keep, limits, imagesComing = false } = this.#options
    return foreseeRetention(files, keep, { named, barriers: this.#barriers }, { imagesComing, limits })
  }

  /** Lists the log anew and says what is superfluous as it is. Changes nothing. */
  async survey(signal?: AbortSignal): Promise<RetentionPlan> {
    this.#known = await this.#source.list(signal)
    return this.#plan(this.#known)
  }

  #plan({ files, named }: Listed): RetentionPlan {
    const { keep, limits } = this.#options
    const plan = planRetention(files, keep, { named, barriers: this.#barriers }, limits)
    this.#noteSuperfluous(plan)
    return plan
  }

  #noteSuperfluous(plan: RetentionPlan): void {
    const nowMs = this.#options.platform.clock.monotonicMs()
    const keys = new Set(plan.remove.map(({ file }) => file.key))
    for (const key of this.#since.keys()) if (!keys.has(key)) this.#since.delete(key)
    for (const key of keys) if (!this.#since.has(key)) this.#since.set(key, nowMs)
  }

  #nextStep(known: Listed, catchUpOnly: boolean): CompactionStep | undefined {
    const { imagesComing = false } = this.#options
    const urgent = planMaking(known.files, { barriers: this.#barriers, imagesComing, catchUpOnly })
    return urgent ?? (catchUpOnly ? undefined : this.#plan(known).compact[0])
  }

  async #make(step: CompactionStep, known: Listed, signal?: AbortSignal): Promise<void> {
    const { limits: _, ...inputs } = this.#options
    const made = await storeCompaction({ ...inputs, step, ...passing(signal) })
    // A step that changes nothing would be planned again, for ever.
    if (made.kind === 'barrier') {
      assert(!this.#barriers.has(made.version), `a range across version ${made.version} is planned twice`)
      this.#barriers.add(made.version)
      return
    }
    const times = made.headers.map(([file, header]) => this.#source.confirm(file, header.timestampMs))
    assert(!known.files.some(({ key }) => key === made.file.key), `"${made.file.key}" is made twice`)
    known.files.push(made.file)
    // Wrong times made this step; nothing was lost by it, and the next plan rests on the headers.
    if (times.includes(false)) this.forget()
  }

  /** What the log holds, up to exactly this version. */
  async #upTo(head: number, signal?: AbortSignal): Promise<Listed | undefined> {
    this.#known ??= await this.#source.list(signal)
    const newest = newestVersion(this.#known.files)
    if (newest < head) {
      const files = this.#inMemory(newest, head) ?? (await this.#source.listAfter(newest, signal))
      this.#known.files.push(...files)
    }
    if (newestVersion(this.#known.files) === head) return this.#known
    this.forget()
    return undefined
  }

  /** The versions after `newest`, if what is in memory tells of all of them. */
  #inMemory(newest: number, head: number): LogFile[] | undefined {
    const { log, recent } = this.#options
    const files: LogFile[] = []
    for (let version = newest + 1; version <= head; version++) {
      const bytes = recent?.(version)
      if (bytes === undefined) return undefined
      const key = versionKey(log.target, version, log.prefix)
      const { timestampMs: modifiedAtMs } = parseLtxHeader(bytes, key)
      const versions = { minVersion: version, maxVersion: version }
      files.push({ key, level: VERSION_LEVEL, ...versions, sizeBytes: bytes.length, modifiedAtMs })
    }
    return files
  }

  /** Reads back every range that takes the place of something that is to go. */
  async #prove(plan: RetentionPlan, due: LogFile[], signal?: AbortSignal): Promise<void> {
    const replaced = due.filter((file) => file.level !== SNAPSHOT_LEVEL)
    for (const range of plan.keep) {
      const isRange = range.level !== VERSION_LEVEL && range.level !== SNAPSHOT_LEVEL
      if (!isRange || this.#proved.has(range.key) || !replaced.some((file) => overlap(file, range))) continue
      await proveRange(this.#options.log, range, signal)
      this.#proved.add(range.key)
    }
  }

  #drop(removed: LogFile[]): void {
    const keys = new Set(removed.map((file) => file.key))
    for (const key of keys) this.#since.delete(key)
    if (this.#known !== undefined) this.#known.files = this.#known.files.filter(({ key }) => !keys.has(key))
  }
}

function overlap(a: LogFile, b: LogFile): boolean {
  return a.minVersion <= b.maxVersion && b.minVersion <= a.maxVersion
}

import { KvarError } from '../errors.ts'
import type { KeepSettings } from '../settings/keeper-settings.ts'
import { type LogFile, SNAPSHOT_LEVEL, VERSION_LEVEL } from './log-layout.ts'
import { planRestore } from './restore-plan.ts'
import { type KeptPoint, promisedVersions } from './retain-promises.ts'
import { keptSnapshots } from './retain-snapshots.ts'

/** The level of all ranges we make. */
export const RANGE_LEVEL = 1

export interface RetentionLimits {
  /** Never fewer than this many of the newest versions, each with its own file. */
  newestVersions: number
  /** A kept version is put together from at most about so many files, as long as snapshots allow it. */
  chainFiles: number
}
export const RETENTION_LIMITS: RetentionLimits = { newestVersions: 100, chainFiles: 64 }

/** What is never given up, whatever `keep` says. */
export interface RetentionMarks {
  /** Versions that somebody gave a name. */
  named?: ReadonlySet<number>
  /** The last versions before a change of the page size: no range reaches across it. */
  barriers?: ReadonlySet<number>
}

/** A range or snapshot to make out of files that are there. */
export interface CompactionStep {
  level: number
  minVersion: number
  maxVersion: number
  inputs: LogFile[]
}

export interface Removal {
  file: LogFile
  /** One sentence. */
  why: string
}

export interface RetentionPlan {
  /** The newest version of the log; 0 for an empty one. */
  head: number
  /** The versions that stay restorable, ascending. */
  promised: number[]
  /** To be made first, oldest first. */
  compact: CompactionStep[]
  keep: LogFile[]
  /** Not needed for any promised version, even if nothing of `compact` is ever made. */
  remove: Removal[]
}

/**
 * Says which files of a log are still needed, which ranges would make more of them superfluous, and why.
 * Pure: times come from the files, and no clock is asked.
 *
 * Between two neighbouring promised versions one file leads from the one to the other: the version's own,
 * or a range. Where there is none yet, `compact` names it and what leads there today stays. Since more files
 * never make a version unreachable, what is left after any part of the removals is as good.
 *
 * @param files everything the log holds, with the true time of each file's last version
 * @throws KvarError `LOG_BROKEN` for a log whose newest version cannot be restored: nothing is planned for it
 */
export function planRetention(
  files: LogFile[],
  keep: KeepSettings,
  marks: RetentionMarks = {},
  limits: RetentionLimits = RETENTION_LIMITS,
): RetentionPlan {
  if (files.length === 0) return { head: 0, promised: [], compact: [], keep: [], remove: [] }
  const latest = planRestore(files, { kind: 'latest' })
  const head = latest.version
  const points = pointsOf(files)
  const slack = slackOf(files, head, limits)
  const reasons = reasonsToKeep(points, slack, keep, marks)
  const promised = points.map(({ version }) => version).filter((version) => reasons.has(version))
  const isFresh = (file: LogFile) => file.level === VERSION_LEVEL && file.maxVersion > slack
  const kept = new Set<LogFile>([...latest.files, ...files.filter(isFresh)])
  const compact: CompactionStep[] = []
  const ways = new Ways(files)
  let from = 0
  for (const to of promised) {
    const segment = ways.between(from, to)
    for (const file of segment.keep) kept.add(file)
    if (segment.compact !== undefined) compact.push(segment.compact)
    // A version that nothing leads to is no step to the next one.
    if (segment.reached) from = to
  }
  for (const file of keptSnapshots(files, promised, limits.chainFiles)) kept.add(file)
  const remove = files.filter((file) => !kept.has(file)).map((file) => ({ file, why: whyNot(file, reasons) }))
  return { head, promised, compact, keep: files.filter((file) => kept.has(file)), remove }
}

/** Every version that is the end of a file, in ascending order. */
function pointsOf(files: LogFile[]): KeptPoint[] {
  const times = new Map<number, { timeMs: number; level: number }>()
  for (const { maxVersion, modifiedAtMs, level } of files) {
    const known = times.get(maxVersion)
    if (known === undefined || level < known.level) times.set(maxVersion, { timeMs: modifiedAtMs, level })
  }
  return [...times]
    .map(([version, { timeMs }]) => ({ version, timeMs }))
    .sort((a, b) => a.version - b.version)
}

function reasonsToKeep(
  points: KeptPoint[],
  slack: number,
  keep: KeepSettings,
  marks: RetentionMarks,
): ReadonlySet<number> {
  const reasons = new Set(promisedVersions(points, keep).keys())
  for (const { version } of points) {
    const isMarked = marks.named?.has(version) === true || marks.barriers?.has(version) === true
    if (version > slack || isMarked) reasons.add(version)
  }
  return reasons
}

/**
 * Above this version each one keeps its own file: one snapshot generation of slack (LTX.md, rule 6), and the
 * stated number. The number moves in steps, so that not every new version makes another range necessary.
 */
function slackOf(files: LogFile[], head: number, { newestVersions }: RetentionLimits): number {
  const wholes = new Set(files.filter(isWhole).map((file) => file.maxVersion))
  const generation = [...wholes].sort((a, b) => b - a)[1] ?? 0
  const step = Math.max(1, newestVersions >> 1)
  const counted = Math.floor((head - newestVersions) / step) * step
  return Math.min(generation, counted)
}

/** Holds all pages, so that a restore can begin with it. */
export function isWhole(file: LogFile): boolean {
  return file.minVersion === 1
}

interface Segment {
  /** What has to stay for the later version; what leads to it from the earlier one, if anything does. */
  keep: LogFile[]
  reached: boolean
  compact?: CompactionStep
}

/** Finds what leads from one version to another. */
class Ways {
  readonly #files: LogFile[]
  /** Without those that hold all pages, by their last version. */
  readonly #byEnd: LogFile[]
  readonly #wholes: LogFile[]

  constructor(files: LogFile[]) {
    const byEnd = [...files].sort((a, b) => a.maxVersion - b.maxVersion)
    this.#files = files
    this.#byEnd = byEnd.filter((file) => !isWhole(file))
    this.#wholes = byEnd.filter(isWhole)
  }

  between(from: number, to: number): Segment {
    const base = from === 0 ? this.#wholes.findLast((file) => file.maxVersion <= to) : undefined
    const chain = this.#chain(base?.maxVersion ?? from, to)
    if (chain === undefined || (from === 0 && base === undefined)) return this.#fromTheBeginning(from, to)
    const keep = base === undefined ? chain : [base, ...chain]
    return chain.length < 2 ? { keep, reached: true } : { keep, reached: true, compact: rangeOf(chain) }
  }

  /** The fewest files from one version to another, snapshots left out; of equals the one that repeats least. */
  #chain(from: number, to: number): LogFile[] | undefined {
    const within = this.#endingIn(from, to).sort((a, b) => a.minVersion - b.minVersion || b.level - a.level)
    const chain: LogFile[] = []
    let [reached, next] = [from, 0]
    while (reached < to) {
      let best: LogFile | undefined
      for (; next < within.length && (within[next] as LogFile).minVersion <= reached + 1; next++) {
        const file = within[next] as LogFile
        if (file.maxVersion >= (best?.maxVersion ?? reached + 1)) best = file
      }
      if (best === undefined) return undefined
      chain.push(best)
      reached = best.maxVersion
    }
    return chain
  }

  #endingIn(from: number, to: number): LogFile[] {
    const first = firstWith(this.#byEnd, (file) => file.maxVersion > from)
    return this.#byEnd.slice(
      first,
      firstWith(this.#byEnd, (file) => file.maxVersion > to),
    )
  }

  /**
   * Where a snapshot bridges what nobody holds any more, it stays with all that leads on from it. What leads
   * nowhere stays for as long as it would if it did: somebody may still find the missing piece.
   */
  #fromTheBeginning(from: number, to: number): Segment {
    try {
      const plan = planRestore(this.#files, { kind: 'version', version: to })
      return { keep: plan.files, reached: true }
    } catch (thrown) {
      if (!(thrown instanceof KvarError)) throw thrown
      return { keep: this.#endingIn(from, to), reached: false }
    }
  }
}

/** The index of the first file, in a sorted list, of which something is true that stays true after it. */
function firstWith(files: LogFile[], isTrue: (file: LogFile) => boolean): number {
  let [low, high] = [0, files.length]
  while (low < high) {
    const middle = (low + high) >> 1
    if (isTrue(files[middle] as LogFile)) high = middle
    else low = middle + 1
  }
  return low
}

function rangeOf(inputs: LogFile[]): CompactionStep {
  const minVersion = (inputs[0] as LogFile).minVersion
  return { level: RANGE_LEVEL, minVersion, maxVersion: (inputs.at(-1) as LogFile).maxVersion, inputs }
}

function whyNot(file: LogFile, promised: ReadonlySet<number>): string {
  const { level, minVersion, maxVersion } = file
  if (level === SNAPSHOT_LEVEL) return `the snapshots beside it are near enough to restore every kept version`
  const what =
    level === VERSION_LEVEL ? `version ${maxVersion}` : `the versions ${minVersion} to ${maxVersion}`
  if (promised.has(maxVersion)) return `${what} stay restorable from a range or another file`
  return level === VERSION_LEVEL
    ? `${what} is given up by keep: it is not the last of its hour, day or month, and newer days hold enough`
    : `a range that reaches further, or ends with a kept version, takes its place`
}

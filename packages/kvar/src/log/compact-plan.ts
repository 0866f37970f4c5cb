import { type LogFile, SNAPSHOT_LEVEL, VERSION_LEVEL } from './log-layout.ts'
import { planRestore } from './restore-plan.ts'
import { type CompactionStep, RANGE_LEVEL } from './retain-plan.ts'
import { dayOf } from './retain-promises.ts'

export interface CompactionLimits {
  /** So many versions after the last range or snapshot are left as they are: with both, five files to read. */
  looseVersions: number
  /** A range up to this size is always made anew with what follows it … */
  smallBytes: number
  /** … a larger one when what follows it is at least one such part of it. */
  growthFactor: number
  /** A log whose snapshots are at most this large gets one each day on which something changed. */
  dailySnapshotBytes: number
  /** A larger one gets one when the files after it outweigh it, or after so many days with a change. */
  snapshotDays: number
}

const MIB = 1024 * 1024
export const COMPACTION_LIMITS: CompactionLimits = {
  looseVersions: 2,
  smallBytes: MIB,
  growthFactor: 2,
  dailySnapshotBytes: 4 * MIB,
  snapshotDays: 7,
}

/**
 * The range that keeps the way to the newest version short: the versions after the last range, together
 * with that range. A large range is not written anew for a few small versions; it then keeps its place, and
 * the next one stands beside it, so that all ranges together are written only some times over.
 *
 * @param barriers the last versions before a change of the page size
 * @returns undefined while so few versions are loose that nothing is gained
 */
export function planCatchUp(
  files: LogFile[],
  barriers: ReadonlySet<number> = new Set(),
  limits = COMPACTION_LIMITS,
): CompactionStep | undefined {
  const chain = newestChain(files)
  const floor = Math.max(1, chain.findLastIndex((file) => barriers.has(file.maxVersion)) + 1)
  const loose = Math.max(floor, chain.findLastIndex((file) => file.level !== VERSION_LEVEL) + 1)
  if (chain.length - loose <= limits.looseVersions) return undefined
  let sizeBytes = sumOf(chain.slice(loose))
  let first = loose
  for (; first > floor; first--) {
    const range = chain[first - 1] as LogFile
    if (range.sizeBytes > Math.max(limits.smallBytes, limits.growthFactor * sizeBytes)) break
    sizeBytes += range.sizeBytes
  }
  return stepOf(RANGE_LEVEL, chain.slice(first))
}

/** What keeps the newest version near: a snapshot, which makes a range needless, or a range. */
export function planMaking(
  files: LogFile[],
  options: {
    barriers: ReadonlySet<number>
    /** Snapshots of a large database come from outside. */
    imagesComing: boolean
    catchUpOnly?: boolean
  },
): CompactionStep | undefined {
  const snapshot = options.catchUpOnly === true ? undefined : planSnapshot(files)
  if (snapshot !== undefined && (snapshot.isSmall || !options.imagesComing)) return snapshot
  return planCatchUp(files, options.barriers)
}

/** A snapshot of the newest version out of the log's own files, when a restore would gain by one. */
export function planSnapshot(
  files: LogFile[],
  limits = COMPACTION_LIMITS,
): (CompactionStep & { isSmall: boolean }) | undefined {
  const chain = newestChain(files)
  const [base, ...rest] = chain
  if (base === undefined || rest.length === 0) return undefined
  const isSmall = base.sizeBytes + sumOf(rest) <= limits.dailySnapshotBytes
  const days = new Set(files.filter((file) => file.maxVersion > base.maxVersion).map(dayOfFile))
  days.delete(dayOfFile(base))
  const isDue = isSmall ? days.size > 0 : sumOf(rest) > base.sizeBytes || days.size >= limits.snapshotDays
  return isDue ? { ...stepOf(SNAPSHOT_LEVEL, chain), isSmall } : undefined
}

function newestChain(files: LogFile[]): LogFile[] {
  return files.length === 0 ? [] : planRestore(files, { kind: 'latest' }).files
}

function dayOfFile(file: LogFile): number {
  return dayOf(file.modifiedAtMs)
}

function sumOf(files: LogFile[]): number {
  return files.reduce((sum, file) => sum + file.sizeBytes, 0)
}

function stepOf(level: number, inputs: LogFile[]): CompactionStep {
  const [first, last] = [inputs[0] as LogFile, inputs.at(-1) as LogFile]
  return { level, minVersion: first.minVersion, maxVersion: last.maxVersion, inputs }
}

import { type LogFile, VERSION_LEVEL } from './log-layout.ts'
import { newestVersion } from './restore-plan.ts'
import { isWhole, RETENTION_LIMITS } from './retain-plan.ts'
import { reachableVersions, type VersionSpan } from './verify-findings.ts'

/** A stretch of versions that files tell of and that cannot be put together from them. */
export interface Gap {
  /** Whose files would close it. */
  missing: VersionSpan
  lost: VersionSpan
  /** The newest version below that can be restored; 0 for none. */
  nearestVersion: number
  /** False where retention may have left it: a range or snapshot goes across, and nothing was promised there. */
  isDamage: boolean
}

/**
 * The gaps of a log, by the names of its files alone. Retention thins old versions and leaves gaps that
 * a range or snapshot bridges; among the newest versions it leaves none, so one there is a loss.
 */
export function gapsOf(files: LogFile[]): Gap[] {
  const reachable = reachableVersions(files)
  const sure = new Set(reachable)
  const kept = firstKeptWhole(files)
  const bridges = files.filter((file) => file.level !== VERSION_LEVEL && sure.has(file.maxVersion))
  const begins = beginsByVersion(files)
  return stretches(claimedVersions(files, kept), sure).map((lost) => {
    const nearestVersion = reachable.findLast((version) => version < lost.from) ?? 0
    const isBridged = bridges.some((file) => file.minVersion <= lost.from && file.maxVersion >= lost.to)
    const end = firstBegin(begins, lost) - 1
    const missing = { from: nearestVersion + 1, to: Math.max(nearestVersion + 1, end) }
    return { missing, lost, nearestVersion, isDamage: lost.to >= kept || !isBridged }
  })
}

/**
 * From this version on every version keeps a file of its own: retention does not touch the newest ones,
 * nor anything above the newest snapshot but one (docs/RETENTION.md).
 */
function firstKeptWhole(files: LogFile[]): number {
  const ends = new Set(files.filter(isWhole).map((file) => file.maxVersion))
  const generations = [...ends].sort((a, b) => b - a)
  const slack = Math.min(generations[1] ?? 0, newestVersion(files) - RETENTION_LIMITS.newestVersions)
  const own = files.filter((file) => file.level === VERSION_LEVEL && file.maxVersion > slack)
  return own.reduce((least, file) => Math.min(least, file.maxVersion), Number.POSITIVE_INFINITY)
}

/** Versions that some file ends with, and all of the newest ones; ascending. */
function claimedVersions(files: LogFile[], kept: number): number[] {
  const claimed = new Set(files.map((file) => file.maxVersion))
  for (let version = kept; version <= newestVersion(files); version++) claimed.add(version)
  return [...claimed].sort((a, b) => a - b)
}

function stretches(claimed: number[], sure: ReadonlySet<number>): VersionSpan[] {
  const found: VersionSpan[] = []
  let open: VersionSpan | undefined
  for (const version of claimed) {
    if (sure.has(version)) open = undefined
    else if (open !== undefined) open.to = version
    else {
      open = { from: version, to: version }
      found.push(open)
    }
  }
  return found
}

function beginsByVersion(files: LogFile[]): Map<number, number> {
  const begins = new Map<number, number>()
  for (const { minVersion, maxVersion } of files) {
    begins.set(maxVersion, Math.min(minVersion, begins.get(maxVersion) ?? minVersion))
  }
  return begins
}

function firstBegin(begins: Map<number, number>, { from, to }: VersionSpan): number {
  for (let version = from; version <= to; version++) {
    const begin = begins.get(version)
    if (begin !== undefined) return begin
  }
  return to + 1
}

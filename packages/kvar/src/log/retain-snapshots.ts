import type { LogFile } from './log-layout.ts'

/** Never fewer: one to restore from, and one in case it turns out to be damaged. */
const NEWEST_SNAPSHOTS = 2

/**
 * The files with all pages that stay: the first one every chain begins with, the newest two, and between
 * them the fewest from which each promised version is reached over at most `chainFiles` steps. So there are
 * many where versions lie close together, and few where only months are left.
 *
 * @param promised the versions that stay restorable, ascending; each is one step
 */
export function keptSnapshots(files: LogFile[], promised: number[], chainFiles: number): LogFile[] {
  const wholes = onePerVersion(files)
  const first = wholes.findLastIndex((file) => file.maxVersion <= (promised[0] ?? 0))
  const kept = new Set(wholes.slice(-NEWEST_SNAPSHOTS))
  let last: LogFile | undefined = wholes[Math.max(first, 0)]
  if (last !== undefined) kept.add(last)
  for (let i = Math.max(first, 0) + 1; i < wholes.length; i++) {
    const [candidate, next] = [wholes[i] as LogFile, wholes[i + 1]]
    const end = next?.maxVersion ?? (promised.at(-1) as number)
    if (stepsUpTo(promised, end) - stepsUpTo(promised, last?.maxVersion ?? 0) <= chainFiles) continue
    kept.add(candidate)
    last = candidate
  }
  return [...kept]
}

/** Files with all pages in ascending order; of two that show the same version the smaller one. */
function onePerVersion(files: LogFile[]): LogFile[] {
  const byVersion = new Map<number, LogFile>()
  for (const file of files) {
    if (file.minVersion !== 1) continue
    const other = byVersion.get(file.maxVersion)
    if (other === undefined || file.sizeBytes < other.sizeBytes) byVersion.set(file.maxVersion, file)
  }
  return [...byVersion.values()].sort((a, b) => a.maxVersion - b.maxVersion)
}

/** How many promised versions lie at or below `version`. */
function stepsUpTo(promised: number[], version: number): number {
  let [low, high] = [0, promised.length]
  while (low < high) {
    const middle = (low + high) >> 1
    if ((promised[middle] as number) <= version) low = middle + 1
    else high = middle
  }
  return low
}

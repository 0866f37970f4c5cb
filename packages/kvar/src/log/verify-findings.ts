import type { LogFile } from './log-layout.ts'

/**
 * `damaged`: bytes do not match their checksum, or are no valid file · `wrong-content`: a sound file
 * that does not make the version it says · `missing`: an object that must be there is not ·
 * `foreign`: an object of another log or of nobody · `unfinished`: begun and never completed ·
 * `disorder`: times or versions that contradict each other.
 */
export type FindingKind = 'damaged' | 'wrong-content' | 'missing' | 'foreign' | 'unfinished' | 'disorder'

/** One thing that is not as it should be. */
export interface Finding {
  kind: FindingKind
  /** `damage`: something that was promised cannot be had from here · `note`: worth knowing. */
  severity: 'damage' | 'note'
  /** URL of the target. */
  target: string
  /** The object; null where several, or an absent one, are meant. */
  key: string | null
  sentence: string
  /** Versions that cannot be restored from this target because of it; null when there is another way. */
  lost: VersionSpan | null
  /** The newest version below those lost that can be restored from here; 0 for none. */
  nearestVersion: number | null
}

export interface VersionSpan {
  from: number
  to: number
}

/**
 * Every version that can be put together from these files, ascending. The same answer as planning a
 * restore of each of them, in one pass: what reaches a version best begins at the newest one below it.
 */
export function reachableVersions(files: LogFile[]): number[] {
  const byEnd = [...files].sort((a, b) => a.maxVersion - b.maxVersion || b.minVersion - a.minVersion)
  const reached: number[] = []
  for (const file of byEnd) {
    const newest = reached.at(-1) ?? 0
    if (newest === file.maxVersion) continue
    if (file.minVersion === 1 || (newest > 0 && newest >= file.minVersion - 1)) reached.push(file.maxVersion)
  }
  return reached
}

/**
 * Which versions a file takes with it when it cannot be used, and the newest one left below.
 *
 * @param files those that are sound, and this one
 */
export function lostWithout(
  files: LogFile[],
  bad: LogFile,
): { lost: VersionSpan | null; nearestVersion: number | null } {
  const left = reachableVersions(files.filter((file) => file !== bad))
  const still = new Set(left)
  const gone = reachableVersions(files).filter((version) => !still.has(version))
  const [from, to] = [gone[0], gone.at(-1)]
  if (from === undefined || to === undefined) return { lost: null, nearestVersion: null }
  return { lost: { from, to }, nearestVersion: left.findLast((version) => version < from) ?? 0 }
}

/** `version 7`, `versions 7 to 9`. */
export function spanText({ from, to }: VersionSpan): string {
  return from === to ? `version ${from}` : `versions ${from} to ${to}`
}

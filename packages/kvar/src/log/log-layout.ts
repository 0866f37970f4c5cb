import { ltxName, parseLtxName } from '../formats/ltx.ts'
import type { ObjectEntry, Target } from '../targets/target.ts'

/*
 * Where a log lies on a target:
 *
 *   ltx/0/<N>-<N>.ltx          one file per version (on S3 `0000/…`: the target names its level folders)
 *   ltx/1…8/<a>-<b>.ltx        compacted ranges
 *   ltx/9/<1>-<N>.ltx          snapshots
 *   kvar/lineage.json          whose log this is
 *   kvar/branches/<id>/…       a branch: a small log of its own, with `branch.json` beside it
 *   kvar/proof/<random>        tried once when a target is adopted, then removed
 *
 * Names are sixteen hexadecimal digits, so the order of keys is the order of versions.
 */

export const LINEAGE_KEY = 'kvar/lineage.json'
export const BRANCHES_PREFIX = 'kvar/branches/'
export const PROOF_PREFIX = 'kvar/proof/'
export const VERSION_LEVEL = 0
export const SNAPSHOT_LEVEL = 9
/** Levels that only repeat what level 0 holds or held, the snapshots first. */
export const REPEATING_LEVELS: readonly number[] = [9, 8, 7, 6, 5, 4, 3, 2, 1]

/** One file of a log, as a listing shows it. */
export interface LogFile {
  key: string
  level: number
  minVersion: number
  maxVersion: number
  sizeBytes: number
  /** The time of `maxVersion`, where the target keeps modification times. */
  modifiedAtMs: number
}

/** The folder of a level with its closing slash; `logPrefix` is empty for the log itself. */
export function levelPrefix(target: Target, level: number, logPrefix = ''): string {
  const folder = `${target.levelFolder(level)}/`
  return logPrefix === '' ? folder : `${logPrefix}/${folder}`
}

export function fileKey(
  target: Target,
  level: number,
  minVersion: number,
  maxVersion: number,
  logPrefix = '',
): string {
  return levelPrefix(target, level, logPrefix) + ltxName(minVersion, maxVersion)
}

/** The object whose creation makes version `n` exist. */
export function versionKey(target: Target, n: number, logPrefix = ''): string {
  return fileKey(target, VERSION_LEVEL, n, n, logPrefix)
}

/** Where the log of one branch begins. */
export function branchPrefix(id: string): string {
  return BRANCHES_PREFIX + id
}

export function branchMetaKey(id: string): string {
  return `${branchPrefix(id)}/branch.json`
}

/** A listed object as a log file; undefined for objects that are none of ours, which are left alone. */
export function asLogFile(entry: ObjectEntry, level: number, folder: string): LogFile | undefined {
  const range = parseLtxName(entry.key.slice(folder.length))
  return range === undefined ? undefined : { ...entry, level, ...range }
}

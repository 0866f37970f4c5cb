import { KvarError } from '../errors.ts'
import type { Platform } from '../platform/platform.ts'
import { throwIfCancelled } from '../targets/target.ts'
import { copyVersion, differentVersion, isSameVersion, type VersionSource } from './copy-version.ts'
import { assertSameLineage, createLineage, otherDatabase, readLineage } from './lineage.ts'
import { type LogFile, VERSION_LEVEL } from './log-layout.ts'
import { imageSource } from './page-source.ts'
import { passing } from './passing.ts'
import { restoreToFile } from './restore.ts'
import { newestReachable, newestVersion } from './restore-plan.ts'
import { createSnapshot } from './snapshot.ts'
import type { VersionLog } from './version-log.ts'

/** Beyond so many missing versions one snapshot is stored instead of them. */
export const FOLLOWER_LIMITS = { catchUpVersions: 1000 }

export interface CompleteOptions {
  /** A log that holds `version`. */
  from: VersionLog
  /** The log that is to hold it, with everything it needs for being restored. */
  to: VersionLog
  version: number
  /** `rising`: each version is whole when it is there. `base-last`: the log counts only when all is there. */
  order: 'rising' | 'base-last'
  source?: VersionSource
  platform: Platform
  /** A path that is free for a database image; nothing is left there. */
  scratchPath: string
  limits?: { catchUpVersions: number }
  signal?: AbortSignal
}

export interface Completion {
  copiedVersions: number
  copiedBytes: number
  /** All pages were stored once instead of every version. */
  snapshot: boolean
}

/**
 * Brings a log up to a version of another one, whatever part of it is there already: an empty log, a
 * prefix, or the pieces of an interrupted run, which the next run completes.
 *
 * The order decides what a reader sees meanwhile. A prefix grows upwards, and is at each step a
 * whole, older log. Where versions are left out, or nothing may count before all is there, the newest
 * version comes first and what makes it readable comes last (version 1, or the snapshot): until then
 * the log has a gap, which is an error to every reader and never an older state. So a snapshot never
 * lies beyond level 0 (R3), and it only repeats a version that is there (LTX.md, rule 10).
 */
export async function completeLog(options: CompleteOptions): Promise<Completion> {
  const { to, version, limits = FOLLOWER_LIMITS } = options
  const files = await to.listFiles(passing(options.signal))
  const base = newestReachable(files, Math.min(version, newestVersion(files)))
  const pieces = versionsAbove(files, base)
  await assertNewestPiece(pieces, options)
  const missing = version - base - pieces.length
  const order = pieces.length > 0 ? 'base-last' : options.order
  const completion = { copiedVersions: 0, copiedBytes: 0, snapshot: false }
  if (missing === 0) return completion
  if (missing <= limits.catchUpVersions) {
    const there = new Set(pieces)
    for (const n of order === 'rising' ? rising(base + 1, version) : falling(version, base + 1)) {
      if (there.has(n)) continue
      const copied = await copyOne(n, options)
      if (copied === undefined) return { ...completion, ...(await withSnapshot(options)) }
      completion.copiedVersions++
      completion.copiedBytes += copied
    }
    return completion
  }
  return { ...completion, ...(await withSnapshot(options)) }
}

/**
 * Fills an empty ledger (new, or lost and made anew) from the freshest follower. Interrupted, it
 * leaves nothing that counts as a log (`VersionLog.state` says `unfinished`); the next run completes it.
 *
 * @throws KvarError `WOULD_OVERWRITE` when the ledger holds a log of its own
 */
export async function fillFrom(
  options: Omit<CompleteOptions, 'order' | 'source' | 'version'>,
): Promise<Completion & { version: number }> {
  const { from, to, signal } = options
  const head = await from.findHead(passing(signal))
  if (head === undefined)
    throw new KvarError('NO_BACKUP', `There is no version on ${from.name} to fill ${to.name} with`)
  const state = await to.state(passing(signal))
  // A fill begins with the lineage: pieces without one are none of ours.
  if (state === 'unfinished' && (await readLineage(to.target, passing(signal))) === undefined) {
    throw otherDatabase(to.target)
  }
  if (state === 'log') {
    const there = await to.findHead(passing(signal))
    const completion = { version: head.version, copiedVersions: 0, copiedBytes: 0, snapshot: false }
    if (there !== undefined && isSameVersion(there, head)) return completion
    throw new KvarError(
      'WOULD_OVERWRITE',
      `${to.name} holds a log of its own, so it is not filled from ${from.name}`,
    )
  }
  await shareLineage(from, to, signal)
  const completion = await completeLog({ ...options, version: head.version, order: 'base-last' })
  return { ...completion, version: head.version }
}

/** Refuses a log of another database; gives its lineage to one that has none. */
export async function shareLineage(
  from: VersionLog,
  to: VersionLog,
  signal?: AbortSignal,
): Promise<string | undefined> {
  const known = await readLineage(from.target, passing(signal))
  if (known === undefined) return undefined
  const found =
    (await readLineage(to.target, passing(signal))) ??
    (await createLineage(
      to.target,
      { lineage: known.lineage, createdAtMs: Date.parse(known.createdAt) },
      passing(signal),
    ))
  assertSameLineage(to.target, found.lineage, known.lineage)
  return known.lineage
}

/** The newest version alone, and all its pages below it. */
async function withSnapshot(options: CompleteOptions): Promise<Pick<Completion, 'snapshot'>> {
  const { from, to, version, platform, scratchPath, signal } = options
  const info = await from.readVersionInfo(version, passing(signal))
  if (info === undefined) throw notHeld(from, version)
  await platform.files.remove(scratchPath)
  const plan = await from.plan({ kind: 'version', version }, passing(signal))
  const image = await restoreToFile({ log: from, plan, path: scratchPath, platform, ...passing(signal) })
  try {
    if ((await copyOne(version, options)) === undefined) throw notHeld(from, version)
    await createSnapshot(to, info, imageSource({ platform, path: scratchPath, ...image }), signal)
    return { snapshot: true }
  } finally {
    await platform.files.remove(scratchPath)
  }
}

/** Copies one version; undefined when the other log does not keep its file any more. */
async function copyOne(
  n: number,
  { from, to, source, signal }: CompleteOptions,
): Promise<number | undefined> {
  throwIfCancelled(signal)
  const bytes = (await source?.(n)) ?? (await from.readVersion(n, passing(signal)))
  if (bytes === undefined) return undefined
  if ((await copyVersion(to, n, bytes, signal)) === 'different') throw differentVersion(to, n, from)
  return bytes.length
}

/**
 * Pieces of an interrupted run must be the other log's, or two histories would be mixed. Logs that
 * agree at one version agree below it, so the newest piece speaks for all.
 */
async function assertNewestPiece(pieces: number[], { from, to, signal }: CompleteOptions): Promise<void> {
  const newest = pieces.at(-1)
  if (newest === undefined) return
  const theirs = await from.readVersionInfo(newest, passing(signal))
  const ours = await to.readVersionInfo(newest, passing(signal))
  const same = theirs !== undefined && ours !== undefined && isSameVersion(ours, theirs)
  if (!same) throw differentVersion(to, newest, from)
}

function versionsAbove(files: LogFile[], base: number): number[] {
  return files
    .filter((file) => file.level === VERSION_LEVEL && file.minVersion > base)
    .map((file) => file.minVersion)
}

function* rising(from: number, to: number): Generator<number> {
  for (let n = from; n <= to; n++) yield n
}

function* falling(from: number, to: number): Generator<number> {
  for (let n = from; n >= to; n--) yield n
}

function notHeld(from: VersionLog, version: number): KvarError {
  return new KvarError('LOG_BROKEN', `${from.name} does not hold version ${version} any more`, {
    hint: 'try again with its newest version',
    data: { version },
  })
}

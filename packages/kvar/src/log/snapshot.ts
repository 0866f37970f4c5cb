import { KvarError } from '../errors.ts'
import type { LtxHeader } from '../formats/ltx.ts'
import type { Platform } from '../platform/platform.ts'
import { fileKey, SNAPSHOT_LEVEL } from './log-layout.ts'
import { ltxObject } from './ltx-object.ts'
import { imageSource, type PageSource } from './page-source.ts'
import { passing } from './passing.ts'
import { restoreToFile } from './restore.ts'
import type { VersionInfo, VersionLog } from './version-log.ts'

export interface StoreSnapshotOptions {
  log: VersionLog
  version: number
  /** All pages of that version, with their recomputed checksum. */
  pages: PageSource
  signal?: AbortSignal
}

/**
 * Stores all pages of a version at level 9. The pages must be the version's, by checksum, and the
 * target must hold the version itself: a snapshot only repeats, it never extends a log (R3, R6).
 *
 * @throws KvarError `DAMAGED` when the checksums differ, `NOT_FOUND` when the target does not hold the version
 */
export async function storeSnapshot(options: StoreSnapshotOptions): Promise<'created' | 'exists'> {
  const { log, version, pages, signal } = options
  const own = await log.readVersionInfo(version, passing(signal))
  if (own === undefined) {
    throw new KvarError(
      'NOT_FOUND',
      `${log.name} does not hold version ${version}, so it gets no snapshot of it`,
    )
  }
  assertSame(own, pages, log)
  return createSnapshot(log, own, pages, signal)
}

/** The upload alone, for callers that have compared the pages with the version. */
export async function createSnapshot(
  log: VersionLog,
  info: VersionInfo,
  pages: PageSource,
  signal?: AbortSignal,
): Promise<'created' | 'exists'> {
  const key = fileKey(log.target, SNAPSHOT_LEVEL, 1, info.version, log.prefix)
  const body = await ltxObject(snapshotHeader(info, pages), pages, signal)
  return log.target.create(key, body, { modifiedAtMs: info.timestampMs, ...passing(signal) })
}

/** A snapshot of a version made from the log itself. `scratchPath` is free for us; nothing is left there. */
export async function snapshotFromLog(options: {
  log: VersionLog
  version: number
  platform: Platform
  scratchPath: string
  signal?: AbortSignal
}): Promise<'created' | 'exists'> {
  const { log, version, platform, scratchPath, signal } = options
  await platform.files.remove(scratchPath)
  const plan = await log.plan({ kind: 'version', version }, passing(signal))
  const image = await restoreToFile({ log, plan, path: scratchPath, platform, ...passing(signal) })
  try {
    const pages = imageSource({ platform, path: scratchPath, ...image })
    return await storeSnapshot({ log, version, pages, ...passing(signal) })
  } finally {
    await platform.files.remove(scratchPath)
  }
}

function snapshotHeader(info: VersionInfo, pages: PageSource): LtxHeader {
  const { pageSize, pageCount, databaseChecksum } = pages
  const { version, timestampMs, nodeId, lineage } = info
  return {
    pageSize,
    pageCount,
    minVersion: 1,
    maxVersion: version,
    timestampMs,
    nodeId,
    databaseChecksum,
    lineage,
  }
}

function assertSame(own: VersionInfo, pages: PageSource, log: VersionLog): void {
  const same =
    own.databaseChecksum === pages.databaseChecksum &&
    own.pageSize === pages.pageSize &&
    own.pageCount === pages.pageCount
  if (same) return
  throw new KvarError(
    'DAMAGED',
    `The pages given for a snapshot are not those of version ${own.version} on ${log.name}`,
    {
      hint: 'nothing was stored; the database is compared anew',
      data: { version: own.version },
    },
  )
}

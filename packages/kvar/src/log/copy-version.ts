import { KvarError } from '../errors.ts'
import { parseLtxHeader } from '../formats/ltx.ts'
import { readLtx } from '../formats/ltx-decoder.ts'
import { versionKey } from './log-layout.ts'
import { holdsBytes } from './same-bytes.ts'
import type { VersionInfo, VersionLog } from './version-log.ts'

/** The file of a version: from memory, else as the ledger holds it; undefined when it is not kept. */
export type VersionSource = (version: number) => Promise<Uint8Array | undefined>

/**
 * Stores a version that another log has confirmed. The file is verified first, so that damage does
 * not travel from target to target. `different`: another file stands under that version.
 */
export async function copyVersion(
  to: VersionLog,
  version: number,
  bytes: Uint8Array,
  signal?: AbortSignal,
): Promise<'created' | 'same' | 'different'> {
  const key = versionKey(to.target, version, to.prefix)
  const { timestampMs } = parseLtxHeader(bytes, key)
  await readLtx([bytes], key, {})
  if ((await to.append(version, bytes, timestampMs, signal)) === 'created') return 'created'
  return (await holdsBytes(to.target, key, bytes, signal)) ? 'same' : 'different'
}

/** Whether two logs hold the same version, judged by what headers and listings say. */
export function isSameVersion(a: VersionInfo, b: VersionInfo): boolean {
  return (
    a.version === b.version &&
    a.nodeId === b.nodeId &&
    a.timestampMs === b.timestampMs &&
    a.databaseChecksum === b.databaseChecksum &&
    a.pageCount === b.pageCount &&
    a.sizeBytes === b.sizeBytes
  )
}

export function differentVersion(to: VersionLog, version: number, from: VersionLog): KvarError {
  const key = versionKey(to.target, version, to.prefix)
  return new KvarError('LOG_BROKEN', `"${key}" on ${to.name} is not the version ${version} of ${from.name}`, {
    hint: 'nothing was changed; look at both before one of them is used',
    data: { key, version },
  })
}

import { assert } from '../errors.ts'
import { encodeLtx } from '../formats/ltx-encoder.ts'
import type { CutVersion } from './ledger.ts'
import type { VersionInfo } from './version-log.ts'

export interface ClaimFacts {
  /** The version that was restored and verified. */
  head: VersionInfo
  /** Recomputed after the restore, since files of other programs do not record it. */
  databaseChecksum: bigint
  /** Page 1 as it is in that version. */
  page1: Uint8Array
  nodeId: bigint
  lineage: bigint
  nowMs: number
}

/**
 * The version after `head` that changes nothing and says: from here on this keeper writes. It
 * carries page 1 unchanged, because a version file without pages is not portable.
 *
 * @example
 * const outcome = await ledger.append(buildClaim({ head, databaseChecksum, page1, nodeId, lineage, nowMs }))
 */
export function buildClaim(facts: ClaimFacts): CutVersion {
  const { head, databaseChecksum, page1, nodeId, lineage } = facts
  const version = head.version + 1
  assert(page1.length === head.pageSize, 'a claim carries exactly page 1')
  assert(
    head.databaseChecksum === undefined || head.databaseChecksum === databaseChecksum,
    'a claim changes nothing',
  )
  const timestampMs = nextTimestampMs(head.timestampMs, facts.nowMs)
  const { pageSize, pageCount } = head
  const range = { minVersion: version, maxVersion: version }
  const bytes = encodeLtx({ ...range, pageSize, pageCount, timestampMs, nodeId, databaseChecksum, lineage }, [
    [1, page1],
  ])
  return { version, bytes, timestampMs, nodeId, databaseChecksum, claim: true, sizeBytes: bytes.length }
}

/** Whether a version only says who writes: its database is that of the version before. */
export function isClaim(info: VersionInfo, previous: VersionInfo): boolean {
  assert(info.version === previous.version + 1, 'a claim is compared with the version just before it')
  return info.databaseChecksum !== undefined && info.databaseChecksum === previous.databaseChecksum
}

/** Whether the versions above `head` change nothing, so that its owner may take the log back (R4). */
export function areOnlyClaims(head: VersionInfo, tail: VersionInfo[]): boolean {
  return tail.every((info, i) => isClaim(info, tail[i - 1] ?? head))
}

/** Times of versions strictly increase, whatever the clocks of several machines say. */
export function nextTimestampMs(previousMs: number, nowMs: number): number {
  return Math.max(nowMs, previousMs + 1)
}

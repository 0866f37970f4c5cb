import type { Capture } from '../capture/capture.ts'
import { assert, KvarError } from '../errors.ts'
import { buildClaim } from '../log/claim.ts'
import type { CutVersion } from '../log/ledger.ts'
import { assertSameLineage, createLineage, lineageNumber } from '../log/lineage.ts'
import type { VersionInfo } from '../log/version-log.ts'
import type { Platform } from '../platform/platform.ts'
import type { FoundLog } from './start/ledger-facts.ts'
import type { KeeperMemory } from './state-store.ts'
import { assertCanBeLedger } from './target-set.ts'
import type { PreparedVersion } from './version-cutter.ts'

/**
 * Makes sure that the ledger is this database's: an empty one gets its lineage, after it has proved
 * that it refuses a second create.
 *
 * @throws KvarError `LINEAGE_MISMATCH`, or `SETTING_INVALID` for a target that overwrites
 */
export async function adoptLog(found: FoundLog, memory: KeeperMemory, platform: Platform): Promise<void> {
  const { target } = found.log
  if (found.head === undefined) await assertCanBeLedger(target, platform)
  const wanted = { lineage: memory.lineage, createdAtMs: platform.clock.nowMs() }
  const lineage = found.lineage ?? (await createLineage(target, wanted)).lineage
  // A lineage under which nothing was ever confirmed is a guess, made while the ledger did not answer.
  if (found.head !== undefined && memory.version > 0) assertSameLineage(target, lineage, memory.lineage)
  else memory.lineage = lineage
}

/** The claim on a database that is exactly the newest version; undefined when it has moved on meanwhile. */
export function claimVersion(options: {
  capture: Capture
  head: VersionInfo
  memory: KeeperMemory
  nodeId: bigint
  platform: Platform
}): PreparedVersion | undefined {
  const { capture, head, memory, nodeId, platform } = options
  assert(capture.table !== undefined, 'a claim without a captured state')
  const page1 = capture.readPage(1)
  if (page1 === undefined) return undefined
  const { databaseChecksum } = capture.table
  const lineage = lineageNumber(memory.lineage)
  const claim = buildClaim({ head, databaseChecksum, page1, nodeId, lineage, nowMs: platform.clock.nowMs() })
  return asPrepared(claim, capture)
}

/** A claim as a version of the state that was captured first. */
export function asPrepared(claim: CutVersion, capture: Capture): PreparedVersion {
  assert(capture.table !== undefined, 'a claim without a captured state')
  const { pageSize, pageCount } = capture.table
  const facts = { sequence: 0, changed: [], wholeImage: false, file: undefined, position: capture.position() }
  return { ...claim, pageSize, pageCount, ...facts }
}

/** The ledger answered at first, then did not take the first version in time. */
export function notTaken(cause: KvarError | undefined): KvarError {
  return new KvarError(
    'UNREACHABLE',
    `The ledger does not take a version: ${cause?.message ?? 'no answer'}`,
    {
      hint: 'mend the connection, or set KVAR_ON_UNREACHABLE=stale to go on with what is here',
      cause,
    },
  )
}

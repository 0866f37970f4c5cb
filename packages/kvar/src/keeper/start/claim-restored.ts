import { toKvarError } from '../../errors.ts'
import { buildClaim } from '../../log/claim.ts'
import { extendImage } from '../../log/extend-image.ts'
import { type CutVersion, Ledger } from '../../log/ledger.ts'
import { lineageNumber } from '../../log/lineage.ts'
import type { RestoredImage } from '../../log/restore.ts'
import type { VersionInfo } from '../../log/version-log.ts'
import type { Platform } from '../../platform/platform.ts'
import type { KeeperMemory } from '../state-store.ts'
import { adoptLog } from '../take-log.ts'
import { mayPass } from '../target-set.ts'
import type { FoundLog } from './ledger-facts.ts'

/** How often an owner that is still writing may be faster than we are. */
const CLAIM_LIMIT = 2000

/** A head that was restored, and our claim after it, if the ledger took one. */
export interface ClaimedImage<Image> {
  image: Image
  head: VersionInfo
  claim: CutVersion | undefined
}

/**
 * Claims the log with a restored image before it is put in the database's place (R4). Whoever loses
 * restores what is new into the same scratch file and claims again: that is much quicker than a whole
 * start, so a claimant gets in beside an owner that is still writing.
 *
 * A ledger that does not answer just now is left to the protector, which knows how long to wait.
 */
export async function claimRestored<Image extends RestoredImage>(options: {
  found: FoundLog
  head: VersionInfo
  memory: KeeperMemory
  nodeId: bigint
  platform: Platform
  /** The scratch file. */
  path: string
  restore: (head: VersionInfo) => Promise<Image>
}): Promise<ClaimedImage<Image>> {
  const { found, memory, nodeId, platform, path, restore } = options
  let { head } = options
  let image = await restore(head)
  try {
    await adoptLog(found, memory, platform)
    for (let tries = 0; tries < CLAIM_LIMIT; tries++) {
      const page1 = readFirstPage(path, image.pageSize, platform)
      const lineage = lineageNumber(memory.lineage)
      const { databaseChecksum } = image
      const claim = buildClaim({
        head,
        databaseChecksum,
        page1,
        nodeId,
        lineage,
        nowMs: platform.clock.nowMs(),
      })
      const outcome = await new Ledger(found.log, head).append(claim)
      if (outcome.kind === 'stored') return { image, head: { ...head, ...claimInfo(claim, lineage) }, claim }
      const extended = await extendImage({ log: found.log, path, image, platform })
      head = extended?.head ?? (await found.log.findHead({ after: head.version })) ?? outcome.by
      image = extended?.image ?? (await restore(head))
    }
  } catch (thrown) {
    if (!mayPass(toKvarError(thrown))) throw thrown
  }
  return { image, head, claim: undefined }
}

function claimInfo(claim: CutVersion, lineage: bigint): Partial<VersionInfo> {
  const { version, timestampMs, databaseChecksum, nodeId, sizeBytes } = claim
  return { version, timestampMs, databaseChecksum, nodeId, sizeBytes, lineage }
}

function readFirstPage(path: string, pageSize: number, platform: Platform): Uint8Array {
  const page = new Uint8Array(pageSize)
  const file = platform.files.openSync(path, 'read')
  try {
    file.readSync(page, 0)
  } finally {
    file.closeSync()
  }
  return page
}

import { createBranch } from '../log/branches.ts'
import { imageSource } from '../log/page-source.ts'
import type { VersionLog } from '../log/version-log.ts'
import type { Platform } from '../platform/platform.ts'
import { hostName } from '../platform/processes.ts'
import type { CaptureLoop } from './capture-loop.ts'
import { type Image, writeImage } from './image-writer.ts'
import type { KeeperMemory } from './state-store.ts'

/**
 * Keeps the content that the database has now as a branch on a log's target.
 *
 * @param options.reason why it does not belong on the log, such as `fenced`
 * @returns the branch's id
 */
export async function branchOfLive(options: {
  log: VersionLog
  loop: CaptureLoop
  memory: KeeperMemory
  reason: string
  scratchPath: string
  nodeId: bigint
  platform: Platform
}): Promise<string> {
  const { log, loop, memory, reason, scratchPath, nodeId, platform } = options
  const image = await writeImage({
    loop,
    path: scratchPath,
    platform,
    settle: async (settled: Image) => settled,
  })
  const meta = {
    lineage: memory.lineage,
    reason,
    baseVersion: memory.version,
    createdAtMs: platform.clock.nowMs(),
    nodeId,
    host: hostName(),
  }
  const branch = await createBranch({ target: log.target, image: imageSource({ platform, ...image }), meta })
  await platform.files.remove(scratchPath)
  return branch.id
}

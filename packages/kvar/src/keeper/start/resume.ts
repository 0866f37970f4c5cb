import { PageTable } from '../../capture/page-table.ts'
import { toKvarError } from '../../errors.ts'
import { fillFrom } from '../../log/complete-log.ts'
import { lineageText } from '../../log/lineage.ts'
import { restoreToFile } from '../../log/restore.ts'
import type { VersionInfo } from '../../log/version-log.ts'
import { sleep } from '../../platform/clock.ts'
import { randomUint64 } from '../../platform/random.ts'
import { emptyMemory, forgetVersions, type KeeperMemory } from '../state-store.ts'
import { type FoundLog, findLog } from './ledger-facts.ts'
import { nodeText, type StartContext, wasOurs } from './situation.ts'
import type { Started } from './start.ts'

const PAUSE_MS = 5000

/**
 * A keeper that died is started again while its app goes on: nothing may be renamed or rolled back
 * under the app, so the database is only looked at through capture. The app's content is the truth
 * unless another keeper has appended meanwhile; then the first append shows it.
 */
export async function resumeDatabase(
  context: StartContext,
  options: { afterStale: boolean } = { afterStale: false },
): Promise<Started> {
  const begunMs = context.platform.clock.monotonicMs()
  const found = await findPatiently(context)
  const saved = await context.store.load()
  const memory = saved?.memory ?? emptyMemory(found?.lineage ?? newLineage(context), nodeText(context.nodeId))
  const head = found?.head
  if (found !== undefined && head === undefined) forgetVersions(memory)
  // Content that began without knowing the newest version may only follow that very version.
  const afterStale = options.afterStale || memory.beganStale === true
  const isOvertaken = head !== undefined && othersWentOn(memory, head, afterStale)
  const known = isOvertaken ? saved?.table : await tableToGoOnFrom(context, found, memory, saved?.table)
  return {
    report: {
      action: 'kept-local',
      from: null,
      version: memory.version,
      restored: false,
      branch: null,
      durationMs: Math.round(context.platform.clock.monotonicMs() - begunMs),
      sentence: 'The keeper was started again while the app went on.',
    },
    memory,
    table: known,
    found,
    // Without a version to follow the keeper is told that it has lost the log: see `Protector.begin`.
    head: isOvertaken ? undefined : head,
    stale: false,
  }
}

/** The app runs and cannot be told to wait: the targets are asked until they answer. */
async function findPatiently(context: StartContext): Promise<FoundLog | undefined> {
  const { targets, platform, settings, signal, store } = context
  for (;;) {
    try {
      const found = await findLog(targets, { platform, timeoutMs: settings.startTimeoutMs, signal })
      if (found === undefined || found.head !== undefined || found.freshestFollower === undefined)
        return found
      await fillFrom({
        from: found.freshestFollower.log,
        to: found.log,
        platform,
        scratchPath: store.path('fill.tmp'),
      })
    } catch (thrown) {
      const error = toKvarError(thrown)
      if (signal?.aborted) throw error
      context.tell(`waiting: ${error.message}`)
      await sleep(platform.clock, PAUSE_MS, signal)
    }
  }
}

/** What the log knows of our pages; compared with the database it gives what is still to be stored. */
async function tableToGoOnFrom(
  context: StartContext,
  found: FoundLog | undefined,
  memory: KeeperMemory,
  saved: PageTable | undefined,
): Promise<PageTable | undefined> {
  if (found === undefined) return saved
  const head = found.head
  if (head === undefined) return undefined
  if (isAtHead(memory, head) && saved !== undefined) return saved
  const path = context.store.path('head.tmp')
  await context.platform.files.remove(path)
  const plan = await found.log.plan({ kind: 'version', version: head.version })
  const image = await restoreToFile({ log: found.log, plan, path, platform: context.platform })
  await context.platform.files.remove(path)
  memory.version = image.version
  memory.databaseChecksum = image.databaseChecksum.toString()
  memory.timestampMs = image.timestampMs
  memory.intent = undefined
  return PageTable.of(image.pageSize, image.pageChecksums)
}

function isAtHead(memory: KeeperMemory, head: VersionInfo): boolean {
  // Files of other programs do not record a checksum.
  const { databaseChecksum = BigInt(memory.databaseChecksum) } = head
  return memory.version === head.version && databaseChecksum === BigInt(memory.databaseChecksum)
}

/**
 * The head is neither what we stored last, nor what we were just storing, nor something we once stored.
 * A keeper that was never confirmed (its first answer was lost, or its state is) knows no other head as
 * its own: what the app made may then be a branch (R10), but never buries what others stored.
 */
function othersWentOn(memory: KeeperMemory, head: VersionInfo, afterStale: boolean): boolean {
  const ownIntent = memory.intent?.version === head.version && memory.intent.nodeId === nodeText(head.nodeId)
  if (memory.version < head.version) return afterStale || !ownIntent
  if (memory.version === head.version) return !isAtHead(memory, head)
  // The ledger was lost, and filled from a follower that was behind: what it lacks is here.
  return !wasOurs(memory, head)
}

function newLineage(context: StartContext): string {
  return lineageText(randomUint64(context.platform.random))
}

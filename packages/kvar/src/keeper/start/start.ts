import { PageTable } from '../../capture/page-table.ts'
import { assert, KvarError, toKvarError, unreachable } from '../../errors.ts'
import { createBranch } from '../../log/branches.ts'
import { fillFrom } from '../../log/complete-log.ts'
import type { CutVersion } from '../../log/ledger.ts'
import { imageSource } from '../../log/page-source.ts'
import { type RestoredImage, restoreToFile } from '../../log/restore.ts'
import type { VersionInfo } from '../../log/version-log.ts'
import { hostName } from '../../platform/processes.ts'
import { forgetVersions, type KeeperMemory } from '../state-store.ts'
import type { StartReport } from '../status.ts'
import { assertCanBeLedger } from '../target-set.ts'
import { claimRestored } from './claim-restored.ts'
import { findCopies, restoreFirstSound } from './copy-restore.ts'
import { decideStart, type RestoreReason, type StartDecision } from './decide-start.ts'
import { type FoundLog, findLog } from './ledger-facts.ts'
import { gather, type Situation, type StartContext } from './situation.ts'
import { startSentence } from './start-sentence.ts'
import { finishSwap, swapDatabase } from './swap-database.ts'

/** What the keeper goes on from: the table of the newest version, if there is one. */
export interface Started {
  report: StartReport
  memory: KeeperMemory
  /** The pages of `head`; undefined when every page is new to the log. */
  table: PageTable | undefined
  found: FoundLog | undefined
  head: VersionInfo | undefined
  /** Our claim, when the start has made it already: it is `head`. */
  claim?: CutVersion | undefined
  /** The ledger did not answer and the setting says to go on. */
  stale: boolean
}

/**
 * Brings the database into the state the app has to find, before the app opens it (docs/START.md).
 * Every step can be cut off by a crash: the next start gathers the facts anew.
 *
 * @throws KvarError when the app must not start: `UNREACHABLE`, `LINEAGE_MISMATCH`, `LOG_BROKEN`, `DAMAGED`
 */
export async function startDatabase(context: StartContext): Promise<Started> {
  const begunMs = context.platform.clock.monotonicMs()
  const { settings, store, platform } = context
  const where = { databasePath: settings.databasePath, stateFolder: store.folder, platform }
  if (await finishSwap(where)) context.tell('finished a restore that was interrupted')
  const found = await askTargets(context)
  const situation = await gather(context, found)
  const decision = decideStart(situation.facts)
  const done = await act(context, situation, decision)
  const durationMs = Math.round(platform.clock.monotonicMs() - begunMs)
  const report = { ...done.report, durationMs }
  return { ...done, report: { ...report, sentence: startSentence(report, done.why) } }
}

/** `undefined`: no targets · `'unreachable'`: the ledger did not answer and the setting allows to go on. */
async function askTargets(context: StartContext): Promise<FoundLog | undefined | 'unreachable'> {
  const { settings, targets, platform, signal } = context
  try {
    const timeoutMs = settings.startTimeoutMs
    return await findLog(targets, {
      platform,
      timeoutMs,
      signal,
      waiting: (why) => context.tell(`waiting: ${why}`),
    })
  } catch (thrown) {
    if (toKvarError(thrown).code === 'UNREACHABLE' && settings.onUnreachable === 'stale') return 'unreachable'
    throw thrown
  }
}

type Done = Omit<Started, 'report'> & {
  report: Omit<StartReport, 'durationMs' | 'sentence'>
  why?: RestoreReason | 'emptied' | 'backup-copied' | 'ahead' | undefined
}

async function act(context: StartContext, situation: Situation, decision: StartDecision): Promise<Done> {
  const { found, memory, stateTable, localTable } = situation
  const head = found?.head
  const kept = { memory, found, head, stale: false }
  const local = { from: null, version: head?.version ?? memory.version, restored: false, branch: null }
  switch (decision.kind) {
    case 'ledger-unreachable':
      return startStale(context, situation)
    case 'fill-ledger':
      return fillLedger(context, situation)
    case 'restore-head':
      return restoreHead(context, situation, decision)
    case 'restore-copies':
      return restoreCopies(context, situation)
    case 'refuse-damaged':
      throw damagedWithoutBackup(context.settings.databasePath)
    case 'refuse-lost-log':
      throw lostLog(memory.version, found?.log.name, context.store.folder)
    case 'nothing-yet':
      if (found !== undefined) forgetVersions(memory)
      return { ...kept, table: undefined, report: { ...local, version: 0, action: 'nothing-yet' } }
    case 'adopt':
      // Without targets the count goes on: there is no log that could begin anew.
      if (found !== undefined) forgetVersions(memory)
      return { ...kept, table: undefined, report: { ...local, version: 0, action: 'adopted' } }
    case 'go-on':
      return { ...kept, table: localTable, report: { ...local, action: 'kept-local' } }
    case 'keep-local':
      return {
        ...kept,
        table: (isAtHead(situation) ? stateTable : undefined) ?? (await tableOfHead(context, situation)),
        why: decision.why,
        report: { ...local, action: 'kept-local' },
      }
    case 'adopt-own-head':
      return {
        ...kept,
        table: await tableOfHead(context, situation),
        why: 'ahead',
        report: { ...local, action: 'kept-local' },
      }
    default:
      return unreachable(decision)
  }
}

/**
 * On with what is here. Content that does not follow the version we remember (a new disk, a deleted
 * file) follows none: it must not be appended to that version when the ledger answers.
 */
async function startStale(context: StartContext, situation: Situation): Promise<Done> {
  const { memory, stateTable } = situation
  const follows = followsMemory(situation)
  if (!follows) forgetVersions(memory)
  memory.beganStale = true
  await context.store.save(memory)
  const report = {
    action: 'stale',
    from: null,
    version: memory.version,
    restored: false,
    branch: null,
  } as const
  const table = follows ? stateTable : undefined
  return { memory, found: undefined, head: undefined, table, stale: true, report }
}

/** What the start table would say if the version we remember were the newest. */
function followsMemory({ facts, memory }: Situation): boolean {
  const { local, state } = facts
  if (state === undefined || memory.version === 0) return false
  const { kind } = decideStart({
    ...facts,
    local: { ...local, equalsHead: local.equalsState },
    state: { ...state, checksumMatchesHead: true },
    ledger: { kind: 'log', head: memory.version, headIsOurIntent: false },
  })
  return kind === 'go-on' || kind === 'keep-local'
}

/** The newest version into a scratch file, from the ledger or, where its objects are damaged, from a follower. */
async function restoreHeadTo(
  context: StartContext,
  found: FoundLog,
  path: string,
): Promise<RestoredImage & { url: string }> {
  const { platform, targets, signal } = context
  const head = found.head
  assert(head !== undefined, 'a restore without a head')
  const onProgress = context.progress === undefined ? {} : { onProgress: context.progress }
  let first: KvarError | undefined
  for (const target of [targets.ledger, ...targets.followers]) {
    if (target === undefined) continue
    try {
      const log = await target.log()
      const plan = await log.plan({ kind: 'version', version: head.version })
      await platform.files.remove(path)
      const image = await restoreToFile({
        log,
        plan,
        path,
        platform,
        ...onProgress,
        ...(signal ? { signal } : {}),
      })
      if (head.databaseChecksum !== undefined && image.databaseChecksum !== head.databaseChecksum) {
        throw new KvarError('DAMAGED', `Version ${head.version} on ${log.name} is not the ledger’s`)
      }
      return { ...image, url: target.url }
    } catch (thrown) {
      first ??= toKvarError(thrown)
      if (first.code === 'CANCELLED') throw first
    }
  }
  throw first
}

/** The page table of the newest version when our own is lost: from a rehearsed restore. */
async function tableOfHead(context: StartContext, { found, memory }: Situation): Promise<PageTable> {
  assert(found !== undefined, 'a head without a log')
  const path = context.store.path('head.tmp')
  const image = await restoreHeadTo(context, found, path)
  await context.platform.files.remove(path)
  noteHead(memory, image)
  return PageTable.of(image.pageSize, image.pageChecksums)
}

function isAtHead({ memory, found }: Situation): boolean {
  return memory.version === found?.head?.version
}

function noteHead(memory: KeeperMemory, image: RestoredImage): void {
  memory.version = image.version
  memory.databaseChecksum = image.databaseChecksum.toString()
  memory.timestampMs = image.timestampMs
  memory.intent = undefined
  memory.beganStale = undefined
}

async function restoreHead(
  context: StartContext,
  situation: Situation,
  decision: Extract<StartDecision, { kind: 'restore-head' }>,
): Promise<Done> {
  const { settings, platform, store } = context
  const { found, memory } = situation
  assert(found?.head !== undefined, 'a restore without a log')
  context.tell(`restoring version ${found.head.version} from ${found.log.name}`)
  const newFile = store.path('restore.tmp')
  const { nodeId } = context
  const { image, head, claim } = await claimRestored({
    ...{ found, head: found.head, memory, nodeId, platform, path: newFile },
    restore: (head) => restoreHeadTo(context, { ...found, head }, newFile),
  })
  const branch = decision.branch ? await branchOfLocal(context, situation, found, decision.why) : null
  const databasePath = settings.databasePath
  await swapDatabase({ databasePath, stateFolder: store.folder, newFile, platform })
  noteHead(memory, image)
  memory.history = []
  memory.checkpointed = undefined
  const action =
    decision.why === 'diverged' || decision.why === 'went-back' ? 'diverged' : 'restored-from-log'
  return {
    memory,
    found: { ...found, head },
    head,
    claim,
    table: PageTable.of(image.pageSize, image.pageChecksums),
    stale: false,
    why: decision.why,
    report: { action, from: image.url, version: image.version, restored: true, branch },
  }
}

/**
 * Content that is about to be replaced and is held nowhere else goes to the ledger as a branch. A file
 * that is no database any more cannot be one: it stays in the folder that the swap moves it to.
 */
async function branchOfLocal(
  context: StartContext,
  { localTable, memory }: Situation,
  found: FoundLog,
  reason: RestoreReason,
): Promise<string | null> {
  if (localTable === undefined || localTable.pageCount === 0) return null
  const { platform, settings, signal } = context
  const { pageSize, pageCount, databaseChecksum } = localTable
  const image = imageSource({ platform, path: settings.databasePath, pageSize, pageCount, databaseChecksum })
  const meta = {
    lineage: memory.lineage,
    reason,
    baseVersion: memory.version,
    createdAtMs: platform.clock.nowMs(),
    nodeId: context.nodeId,
    host: hostName(),
  }
  const branch = await createBranch({ target: found.log.target, image, meta, ...(signal ? { signal } : {}) })
  return branch.id
}

async function restoreCopies(context: StartContext, { memory, found }: Situation): Promise<Done> {
  const { settings, platform, store } = context
  const newFile = store.path('restore.tmp')
  const copies = await findCopies(settings.databasePath, platform)
  const copy = await restoreFirstSound(copies, { databasePath: newFile, schema: settings.schema, platform })
  if (found !== undefined) forgetVersions(memory)
  await swapDatabase({ databasePath: settings.databasePath, stateFolder: store.folder, newFile, platform })
  const action = copy.kind === 'json' ? 'restored-from-json' : 'restored-from-backup'
  const report = { action, from: copy.path, version: 0, restored: true, branch: null } as const
  return { memory, found, head: undefined, table: undefined, stale: false, report }
}

/** The ledger is new or was lost: the freshest follower's log becomes its log, then everything is asked again. */
async function fillLedger(context: StartContext, { found }: Situation): Promise<Done> {
  const follower = found?.freshestFollower
  assert(found !== undefined && follower !== undefined, 'a fill without a follower')
  const { platform, store, signal } = context
  await assertCanBeLedger(found.log.target, platform)
  context.tell(`filling ${found.log.name} from ${follower.log.name}`)
  await fillFrom({
    from: follower.log,
    to: found.log,
    platform,
    scratchPath: store.path('fill.tmp'),
    ...(signal ? { signal } : {}),
  })
  return startDatabase(context)
}

function damagedWithoutBackup(path: string): KvarError {
  return new KvarError(
    'DATABASE_UNREADABLE',
    `"${path}" is damaged and there is no version or copy to restore it from`,
    {
      hint: 'keep the file; sqlite3’s .recover may save part of it',
    },
  )
}

function lostLog(version: number, place: string | undefined, folder: string): KvarError {
  return new KvarError(
    'NO_BACKUP',
    `The database is gone, and ${place} does not hold version ${version} any more`,
    {
      hint: `mount or name the place that holds the log; to begin anew all the same, remove "${folder}"`,
      data: { version },
    },
  )
}

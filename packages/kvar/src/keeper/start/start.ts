import { PageTable } from '../../capture/page-table.ts'
import { assert, KvarError, toKvarError, unreachable } from '../../errors.ts'
import { createBranch } from '../../log/branches.ts'
import { fillFrom } from '../../log/complete-log.ts'
import { assertSameLineage, lineageText } from '../../log/lineage.ts'
import { imageSource } from '../../log/page-source.ts'
import { type RestoredImage, type RestoreProgress, restoreToFile } from '../../log/restore.ts'
import type { VersionInfo } from '../../log/version-log.ts'
import type { Platform } from '../../platform/platform.ts'
import { hostName } from '../../platform/processes.ts'
import { randomUint64 } from '../../platform/random.ts'
import type { KeeperSettings } from '../../settings/keeper-settings.ts'
import { backupCopyPath } from '../../settings/names.ts'
import { emptyMemory, forgetVersions, type KeeperMemory, type StateStore } from '../state-store.ts'
import type { StartReport } from '../status.ts'
import { assertCanBeLedger, type TargetSet } from '../target-set.ts'
import { bestCopy, restoreFromCopy } from './copy-restore.ts'
import {
  decideStart,
  type LedgerFacts,
  type LocalFacts,
  type RestoreReason,
  type StartDecision,
  type StartFacts,
} from './decide-start.ts'
import { type FoundLog, findLog } from './ledger-facts.ts'
import {
  type BareFiles,
  backupWasCopied,
  diskWentBack,
  inspectContent,
  readBareFiles,
  sideFilesAreStale,
  walWentOn,
} from './local-evidence.ts'
import { startSentence } from './start-sentence.ts'
import { finishSwap, moveAside, SIDE_FILES, swapDatabase } from './swap-database.ts'

export interface StartContext {
  settings: KeeperSettings
  platform: Platform
  store: StateStore
  targets: TargetSet
  nodeId: bigint
  /** Says what a long start is doing, for logs and progress. */
  tell: (sentence: string) => void
  progress?: (progress: RestoreProgress) => void
  signal?: AbortSignal | undefined
}

/** What the keeper goes on from: the table of the newest version, if there is one. */
export interface Started {
  report: StartReport
  memory: KeeperMemory
  /** The pages of `head`; undefined when every page is new to the log. */
  table: PageTable | undefined
  found: FoundLog | undefined
  head: VersionInfo | undefined
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

interface Situation {
  facts: StartFacts
  found: FoundLog | undefined
  memory: KeeperMemory
  /** The table of the version our memory names. */
  stateTable: PageTable | undefined
  /** The pages as they lie in the file now. */
  localTable: PageTable | undefined
}

async function gather(
  context: StartContext,
  answer: FoundLog | undefined | 'unreachable',
): Promise<Situation> {
  const { settings, platform, store } = context
  const path = settings.databasePath
  const saved = await store.load()
  const found = answer === 'unreachable' ? undefined : answer
  const backup = await readBareFiles(backupCopyPath(path), platform)
  let bare = await readBareFiles(path, platform)
  const equalsBackup = bare !== undefined && backupWasCopied(bare, backup, saved?.memory)
  if (bare !== undefined && sideFilesAreStale(bare, saved?.memory, equalsBackup)) {
    context.tell(
      `moved ${SIDE_FILES.join(', ')} of another file aside to ${await moveAside(path, SIDE_FILES, platform)}`,
    )
    bare = { ...bare, wal: undefined, hasJournal: false }
  }
  const sameLineage =
    saved === undefined || found?.lineage === undefined || found.lineage === saved.memory.lineage
  const memory = saved !== undefined && sameLineage ? saved.memory : undefined
  const age = memory === undefined || bare === undefined ? undefined : ageOf(bare, memory)
  const content = platform.files.statSync(path)?.sizeBytes ? inspectContent(path, platform) : 'none'
  const localTable = await tableAfterOpening(context, bare, content)
  // A lineage that never had a version was only a guess, made while the ledger did not answer.
  const isAnothers = !sameLineage && saved.memory.version > 0
  if (isAnothers && (content === 'rows' || content === 'invalid') && found?.lineage !== undefined) {
    assertSameLineage(found.log.target, found.lineage, saved.memory.lineage)
  }
  const ledger = ledgerFacts(answer, memory)
  const local = localFacts({ content, localTable, ledger, memory, found, equalsBackup, age })
  return {
    facts: {
      local,
      state: memory && {
        version: memory.version,
        checksumMatchesHead: sameChecksum(memory, found?.head),
        headIsAncestor: found?.head !== undefined && wasOurs(memory, found.head),
        withoutTargets: context.targets.ledger === undefined,
      },
      ledger,
      copies: (await bestCopy(path, platform)) !== undefined,
    },
    found,
    memory: memory ?? emptyMemory(found?.lineage ?? newLineage(context), nodeText(context.nodeId)),
    stateTable: memory === undefined ? undefined : saved?.table,
    localTable,
  }
}

/** Opening may have rolled a journal back or taken a WAL in: then the pages are not those of before. */
async function tableAfterOpening(
  context: StartContext,
  bare: BareFiles | undefined,
  content: LocalFacts['content'],
): Promise<PageTable | undefined> {
  if (content === 'none' || bare === undefined) return undefined
  const untouched = (bare.wal?.commits ?? 0) === 0 && !bare.hasJournal
  if (untouched) return bare.table
  return (await readBareFiles(context.settings.databasePath, context.platform))?.table
}

function ageOf(bare: BareFiles, memory: KeeperMemory): 'older' | 'newer' | undefined {
  if (walWentOn(bare, memory)) return 'newer'
  return diskWentBack(bare, memory) ? 'older' : undefined
}

function localFacts(input: {
  content: LocalFacts['content']
  localTable: PageTable | undefined
  found: FoundLog | undefined
  ledger: LedgerFacts
  memory: KeeperMemory | undefined
  equalsBackup: boolean
  age: 'older' | 'newer' | undefined
}): LocalFacts {
  const { content, localTable, found, ledger, memory, age } = input
  const checksum = localTable?.databaseChecksum
  const known = memory?.history.some((entry) => BigInt(entry.databaseChecksum) === checksum) ?? false
  const equalsState =
    memory !== undefined && checksum === BigInt(memory.databaseChecksum) && memory.version > 0
  const sentMore = ledger.kind === 'log' && ledger.headIsOurIntent
  return {
    content,
    equalsHead: checksum !== undefined && checksum === found?.head?.databaseChecksum,
    equalsState,
    equalsBackupCopy: input.equalsBackup,
    equalsKnownVersion: known || equalsState,
    // Content of an earlier version, byte for byte, can only have come from the past, unless the WAL
    // shows that a change was taken back. A version on its way was in this database when it was sent.
    wentBack: age === 'older' || (age !== 'newer' && (equalsState ? sentMore : known)),
  }
}

function sameChecksum(memory: KeeperMemory, head: VersionInfo | undefined): boolean {
  if (head === undefined) return true
  return head.databaseChecksum === undefined || head.databaseChecksum === BigInt(memory.databaseChecksum)
}

/** Whether a version of the log is one that this database went through, by number and checksum. */
export function wasOurs(memory: KeeperMemory, head: VersionInfo): boolean {
  return memory.history.some(
    (entry) => entry.version === head.version && BigInt(entry.databaseChecksum) === head.databaseChecksum,
  )
}

function ledgerFacts(
  answer: FoundLog | undefined | 'unreachable',
  memory: KeeperMemory | undefined,
): LedgerFacts {
  if (answer === 'unreachable') return { kind: 'unreachable' }
  const head = answer?.head
  if (head === undefined)
    return { kind: 'empty', followerHasVersions: answer?.freshestFollower !== undefined }
  const intent = memory?.intent
  const ours = intent?.version === head.version && BigInt(intent.databaseChecksum) === head.databaseChecksum
  const headIsOurIntent =
    ours && intent.nodeId === nodeText(head.nodeId) && memory?.version === head.version - 1
  return { kind: 'log', head: head.version, headIsOurIntent }
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
  const image = await restoreHeadTo(context, found, newFile)
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
    found,
    head: found.head,
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
  const copy = await bestCopy(settings.databasePath, platform)
  assert(copy !== undefined, 'a restore without copies')
  if (found !== undefined) forgetVersions(memory)
  await restoreFromCopy(copy, { databasePath: newFile, schema: settings.schema, platform })
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

function newLineage(context: StartContext): string {
  return lineageText(randomUint64(context.platform.random))
}

export function nodeText(nodeId: bigint): string {
  return nodeId.toString(16).padStart(16, '0')
}

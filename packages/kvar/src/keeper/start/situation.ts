import type { PageTable } from '../../capture/page-table.ts'
import { assertSameLineage, lineageText } from '../../log/lineage.ts'
import type { RestoreProgress } from '../../log/restore.ts'
import type { VersionInfo } from '../../log/version-log.ts'
import type { Platform } from '../../platform/platform.ts'
import { randomUint64 } from '../../platform/random.ts'
import type { KeeperSettings } from '../../settings/keeper-settings.ts'
import { backupCopyPath } from '../../settings/names.ts'
import { emptyMemory, type KeeperMemory, type StateStore } from '../state-store.ts'
import type { TargetSet } from '../target-set.ts'
import { findCopies } from './copy-restore.ts'
import type { LedgerFacts, LocalFacts, StartFacts } from './decide-start.ts'
import type { FoundLog } from './ledger-facts.ts'
import {
  type BareFiles,
  backupWasCopied,
  diskWentBack,
  inspectContent,
  readBareFiles,
  sideFilesAreStale,
  walWentOn,
} from './local-evidence.ts'
import { moveAside, SIDE_FILES } from './swap-database.ts'

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

export interface Situation {
  facts: StartFacts
  found: FoundLog | undefined
  memory: KeeperMemory
  /** The table of the version our memory names. */
  stateTable: PageTable | undefined
  /** The pages as they lie in the file now. */
  localTable: PageTable | undefined
}

export async function gather(
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
      copies: (await findCopies(path, platform)).length > 0,
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

function newLineage(context: StartContext): string {
  return lineageText(randomUint64(context.platform.random))
}

export function nodeText(nodeId: bigint): string {
  return nodeId.toString(16).padStart(16, '0')
}

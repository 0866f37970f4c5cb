import { basename } from 'node:path'
import { KvarError, type KvarErrorJson } from '../errors.ts'
import { readFailedStart } from '../keeper/failed-start.ts'
import { type KeeperMemory, StateStore } from '../keeper/state-store.ts'
import type { Platform } from '../platform/platform.ts'
import type { KeeperSettings } from '../settings/keeper-settings.ts'
import { backupCopyPath, jsonCopyPath, stateFolder } from '../settings/names.ts'
import type { Output } from './output.ts'
import { StoredLogs, type TargetAnswer } from './stored-log.ts'
import { type Column, tableLines } from './table.ts'
import { timeText } from './words.ts'

/** What is known while no keeper runs (docs/STATUS.md). */
export interface OfflineStatus {
  running: false
  sentence: string
  database: string
  databaseExists: boolean
  lineage: string | null
  /** The newest version that a keeper on this disk stored, as it noted it. */
  noted: { version: number; time: string } | null
  targets: OfflineTarget[]
  copies: OfflineCopy[]
  /** Why what the last keeper noted cannot be read, or why the newest start failed. */
  problem: KvarErrorJson | null
}

interface OfflineTarget {
  url: string
  kind: string
  role: 'ledger' | 'follower'
  version: number
  time: string | null
  problem: KvarErrorJson | null
}

interface OfflineCopy {
  kind: 'json' | 'backup'
  path: string
  writtenAt: string | null
}

/** Reads the notes of the last keeper and asks the targets once; changes nothing. */
export async function lookWithoutKeeper(
  settings: KeeperSettings,
  platform: Platform,
): Promise<OfflineStatus> {
  const logs = new StoredLogs(settings, platform, 1)
  const targets = (await logs.ask()).map(offlineTarget)
  await logs.close()
  const { databasePath } = settings
  const { memory, problem } = await readNotes(databasePath, platform)
  const failed = await readFailedStart(stateFolder(databasePath), platform)
  const facts: Omit<OfflineStatus, 'sentence'> = {
    running: false,
    database: databasePath,
    databaseExists: platform.files.statSync(databasePath) !== undefined,
    lineage: memory?.lineage ?? null,
    noted:
      memory === undefined || memory.version === 0
        ? null
        : { version: memory.version, time: new Date(memory.timestampMs).toISOString() },
    targets,
    copies: settings.copies.map((kind) => copyOf(kind, databasePath, platform)),
    problem: problem ?? failed?.error.toJSON() ?? null,
  }
  return { ...facts, sentence: sentenceOf(facts) }
}

async function readNotes(
  databasePath: string,
  platform: Platform,
): Promise<{ memory: KeeperMemory | undefined; problem: KvarErrorJson | null }> {
  try {
    const loaded = await new StateStore(stateFolder(databasePath), platform).load()
    return { memory: loaded?.memory, problem: null }
  } catch (thrown) {
    if (thrown instanceof KvarError) return { memory: undefined, problem: thrown.toJSON() }
    throw thrown
  }
}

function offlineTarget({ head, problem, ...named }: TargetAnswer): OfflineTarget {
  return {
    ...named,
    version: head?.version ?? 0,
    time: head === undefined ? null : new Date(head.timestampMs).toISOString(),
    problem: problem?.toJSON() ?? null,
  }
}

function copyOf(kind: 'json' | 'backup', databasePath: string, platform: Platform): OfflineCopy {
  const path = kind === 'json' ? jsonCopyPath(databasePath) : backupCopyPath(databasePath)
  const facts = platform.files.statSync(path)
  return { kind, path, writtenAt: facts === undefined ? null : new Date(facts.modifiedAtMs).toISOString() }
}

function sentenceOf({ database, databaseExists, targets, noted }: Omit<OfflineStatus, 'sentence'>): string {
  const name = basename(database)
  const start = `Not running: no keeper protects ${name} now`
  const newest = targets.reduce<OfflineTarget | undefined>(
    (best, one) => (one.time !== null && one.version > (best?.version ?? 0) ? one : best),
    undefined,
  )
  if (newest?.time) {
    const holding = targets.filter(({ version }) => version === newest.version).length
    const gone = databaseExists ? '' : ` The file ${name} is missing: kvar restore brings it back.`
    return `${start}. Version ${newest.version} of ${timeText(newest.time)} is stored on ${holding} of ${targets.length} targets.${gone}`
  }
  if (targets.some(({ problem }) => problem !== null)) return `${start}, and no target could be read.`
  if (targets.length > 0) return `${start}, and no target holds a version.`
  const last =
    noted === null ? '' : ` The last keeper noted version ${noted.version} of ${timeText(noted.time)}.`
  return `${start}, and no target is set.${last}`
}

const COLUMNS: Column[] = [
  { title: 'target' },
  { title: 'version', align: 'right' },
  { title: 'time' },
  { title: 'note' },
]

export function offlineLines(status: OfflineStatus, out: Output): string[] {
  const rows = status.targets.map(({ url, version, time, role, problem }) => [
    url,
    version === 0 ? '-' : String(version),
    time === null ? '-' : timeText(time),
    [...(role === 'ledger' ? ['ledger'] : []), ...(problem === null ? [] : [problem.message])].join('; '),
  ])
  return [
    out.paintFirstWord(status.sentence, 'care'),
    ...(rows.length === 0 ? [] : tableLines(COLUMNS, rows)),
    ...status.copies.flatMap(({ path, writtenAt }) =>
      writtenAt === null ? [] : [`  copy ${basename(path)}: written ${timeText(writtenAt)}`],
    ),
    ...problemLines(status.problem),
  ]
}

/** What keeps a keeper from starting, and what to do about it. */
function problemLines(problem: KvarErrorJson | null): string[] {
  if (problem === null) return []
  return [`  ${problem.message}`, ...(problem.hint === undefined ? [] : [`  Next: ${problem.hint}.`])]
}

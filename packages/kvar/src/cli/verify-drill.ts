import { join } from 'node:path'
import { KvarError, toKvarError } from '../errors.ts'
import { type DrillReport, loadRecord, noteDrill, saveRecord } from '../keeper/drill-record.ts'
import { provesFailure } from '../keeper/self-checks.ts'
import { type KeeperMemory, StateStore } from '../keeper/state-store.ts'
import type { TargetInUse } from '../keeper/target-set.ts'
import { rehearseRestore } from '../log/drill.ts'
import { versionKey } from '../log/log-layout.ts'
import type { Platform } from '../platform/platform.ts'
import { processId } from '../platform/processes.ts'
import type { KeeperSettings } from '../settings/keeper-settings.ts'
import { stateFolder } from '../settings/names.ts'
import { unlessCancelled } from './cancelled.ts'
import { attachKeeper } from './keeper-access.ts'
import { Progress } from './progress.ts'
import type { StoredLogs } from './stored-log.ts'
import type { Invocation } from './verb.ts'

/**
 * Rehearses a restore from one target: by the running keeper, so that its status knows of it, or here.
 * What came out of it is remembered beside the database either way.
 */
export async function rehearseFrom(
  invocation: Invocation,
  settings: KeeperSettings,
  logs: StoredLogs,
  target: TargetInUse,
): Promise<DrillReport> {
  const report = await byKeeper(invocation, settings, target)
  return report ?? byOurselves(invocation, settings, logs, target)
}

async function byKeeper(
  invocation: Invocation,
  settings: KeeperSettings,
  target: TargetInUse,
): Promise<DrillReport | undefined> {
  const client = await attachKeeper(invocation, settings).catch(() => undefined)
  if (client === undefined) return undefined
  try {
    const { targets } = await client.call('status', {})
    const theirs = targets.find(({ url }) => url === target.url)
    // A target that the keeper does not use, or has not filled yet, is asked here.
    if (theirs === undefined || theirs.version === 0) return undefined
    const [report] = await unlessCancelled(client.call('drill', { target: target.url }), invocation.signal)
    return report
  } finally {
    client.detach()
  }
}

async function byOurselves(
  { platform, out, signal }: Invocation,
  settings: KeeperSettings,
  logs: StoredLogs,
  target: TargetInUse,
): Promise<DrillReport> {
  const folder = stateFolder(settings.databasePath)
  await platform.files.makeFolder(folder, 0o700)
  const memory = await readMemory(folder, platform)
  const begunMs = platform.clock.monotonicMs()
  const report: DrillReport = {
    ...{ atMs: platform.clock.nowMs(), target: target.url, versions: [], durationMs: 0, sizeBytes: 0 },
    problem: null,
  }
  const progress = new Progress(out, platform.clock, 'Rehearsing')
  try {
    const [newest, ...older] = await rehearseRestore({
      ...{ log: await logs.logOf(target), platform, signal, onProgress: progress.update },
      scratchPath: join(folder, `verify-${processId}.tmp`),
      recorded: (version) => recorded(version, memory, logs, target),
    })
    report.versions = [newest, ...older].flatMap((one) => one?.version ?? [])
    report.durationMs = newest?.durationMs ?? 0
    report.sizeBytes = newest?.sizeBytes ?? 0
  } catch (thrown) {
    const error = toKvarError(thrown)
    if (!provesFailure(error)) throw error
    report.problem = error.toJSON()
    report.durationMs = Math.round(platform.clock.monotonicMs() - begunMs)
  } finally {
    progress.end()
  }
  await remember(folder, report, memory, platform)
  return report
}

async function readMemory(folder: string, platform: Platform): Promise<KeeperMemory | undefined> {
  try {
    return (await new StateStore(folder, platform).load())?.memory
  } catch (thrown) {
    if (thrown instanceof KvarError) return undefined
    throw thrown
  }
}

/** What the keeper noted when it captured the version; of older ones the ledger is the witness. */
async function recorded(
  version: number,
  memory: KeeperMemory | undefined,
  logs: StoredLogs,
  target: TargetInUse,
): Promise<bigint | undefined> {
  const noted = memory?.history.find((entry) => entry.version === version)
  if (noted !== undefined) return BigInt(noted.databaseChecksum)
  const [ledger] = logs.all
  if (ledger === undefined || ledger === target) return undefined
  const log = await logs.logOf(ledger)
  return (await log.readHeader(versionKey(log.target, version)))?.databaseChecksum
}

async function remember(
  folder: string,
  report: DrillReport,
  memory: KeeperMemory | undefined,
  platform: Platform,
): Promise<void> {
  if (memory === undefined) return
  const record = await loadRecord(folder, memory.lineage, platform)
  noteDrill(record, report)
  await saveRecord(folder, record, platform)
}

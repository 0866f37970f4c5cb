import type { RestorePlan } from '../log/restore-plan.ts'
import type { VersionLog } from '../log/version-log.ts'
import type { KeeperSettings } from '../settings/keeper-settings.ts'
import type { RestoreRequest } from './restore-options.ts'
import { copyPath, withSource } from './restore-source.ts'
import { StoredLogs } from './stored-log.ts'
import type { Invocation } from './verb.ts'
import { bytesText, countText, timeText } from './words.ts'

/** What a restore would do. */
export interface RehearsedRestore {
  from: string
  to: string
  /** Null for a copy. */
  version: number | null
  /** ISO-8601 UTC: when the state was committed, or the copy written. */
  time: string
  pages: number | null
  objects: number
  /** Bytes to read. */
  sizeBytes: number
  /** Something is there already, and is kept. */
  replaces: boolean
}

/** Plans a restore from the targets or copies as they are; starts no keeper and changes nothing. */
export async function rehearse(
  invocation: Invocation,
  request: RestoreRequest,
  settings: KeeperSettings,
): Promise<RehearsedRestore> {
  const { platform } = invocation
  const to = request.to ?? settings.databasePath
  const shared = { to, replaces: platform.files.statSync(to) !== undefined }
  if (request.from !== 'target') {
    const path = copyPath(request.from, settings.databasePath, platform)
    const facts = platform.files.statSync(path)
    const time = new Date(facts?.modifiedAtMs ?? 0).toISOString()
    const sizeBytes = facts?.sizeBytes ?? 0
    return { ...shared, from: path, version: null, time, pages: null, objects: 1, sizeBytes }
  }
  const logs = new StoredLogs(settings, platform)
  try {
    return await withSource(invocation, logs, request, async ({ log, plan }) => ({
      ...shared,
      ...{ from: log.name, version: plan.version, ...(await headFacts(log, plan)) },
      ...{ objects: plan.files.length, sizeBytes: plan.totalBytes },
    }))
  } finally {
    await logs.close()
  }
}

async function headFacts(
  log: VersionLog,
  plan: RestorePlan,
): Promise<{ time: string; pages: number | null }> {
  const last = plan.files.at(-1)
  const header = last === undefined ? undefined : await log.readHeader(last.key)
  const timeMs = header?.timestampMs ?? last?.modifiedAtMs ?? 0
  return { time: new Date(timeMs).toISOString(), pages: header?.pageCount ?? null }
}

export function planText(plan: RehearsedRestore): string[] {
  const what = plan.version === null ? 'the copy' : `version ${plan.version}`
  const pages = plan.pages === null ? '' : `${countText(plan.pages, 'page')}, `
  const kept = plan.replaces ? 'what is there now is kept and can be brought back' : 'nothing is there now'
  return [
    `Would restore ${what} of ${timeText(plan.time)}; nothing was changed.`,
    `  from  ${plan.from}`,
    `  to    ${plan.to} (${kept})`,
    `  read  ${pages}${countText(plan.objects, 'object')}, ${bytesText(plan.sizeBytes)}`,
  ]
}

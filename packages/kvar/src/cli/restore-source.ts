import { basename } from 'node:path'
import { KvarError } from '../errors.ts'
import { findBranchLog } from '../keeper/list-log.ts'
import type { RestorePlan } from '../log/restore-plan.ts'
import type { VersionLog } from '../log/version-log.ts'
import type { Platform } from '../platform/platform.ts'
import { backupCopyPath, jsonCopyPath } from '../settings/names.ts'
import type { RestoreRequest } from './restore-options.ts'
import type { StoredLogs } from './stored-log.ts'
import type { Invocation } from './verb.ts'

/** A log and the files of it that make up what is wanted. */
export interface PlannedSource {
  log: VersionLog
  plan: RestorePlan
}

/**
 * Does something with the plan for what is wanted: with the ledger's log, or where that cannot be
 * read, with a follower's.
 */
export function withSource<T>(
  { out, signal }: Invocation,
  logs: StoredLogs,
  { want, branch }: RestoreRequest,
  work: (source: PlannedSource) => Promise<T>,
): Promise<T> {
  return logs.withFirst(
    async (targetLog, target) => {
      const log = branch === undefined ? targetLog : await findBranchLog([target], branch)
      return work({ log, plan: await log.plan(want, { signal }) })
    },
    (error, target) => {
      if (logs.all.length > 1) out.tell(`${target.url} was passed over: ${error.message}`)
    },
  )
}

/** The path of a copy beside the database. @throws KvarError `NO_BACKUP` */
export function copyPath(kind: 'json' | 'backup', databasePath: string, platform: Platform): string {
  const path = kind === 'json' ? jsonCopyPath(databasePath) : backupCopyPath(databasePath)
  if (platform.files.statSync(path) !== undefined) return path
  throw new KvarError('NO_BACKUP', `There is no copy "${basename(path)}" beside the database`, {
    hint: 'restore from the targets instead: leave out --from',
  })
}

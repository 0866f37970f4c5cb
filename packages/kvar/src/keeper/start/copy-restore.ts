import { readJsonStamp } from '../../copies/json-copy.ts'
import { loadJsonCopy } from '../../copies/json-load.ts'
import { KvarError } from '../../errors.ts'
import { syncFile } from '../../platform/files.ts'
import type { Platform } from '../../platform/platform.ts'
import { backupCopyPath, jsonCopyPath } from '../../settings/names.ts'

export interface FoundCopy {
  kind: 'json' | 'backup'
  path: string
  timeMs: number
}

/** The copies beside the database, the one to restore first: the newer one, on a tie the JSON. */
export async function findCopies(databasePath: string, platform: Platform): Promise<FoundCopy[]> {
  const json = await findJson(jsonCopyPath(databasePath), platform)
  const backup = findBackup(backupCopyPath(databasePath), platform)
  if (json === undefined || backup === undefined) return [json ?? backup].filter((copy) => copy !== undefined)
  // Both are written from one image, moments apart: only a gap of seconds tells one of them is older.
  return backup.timeMs > json.timeMs + TIE_MS ? [backup, json] : [json, backup]
}

/** Restores from the first copy that is sound; if none is, the first one's trouble is told. */
export async function restoreFirstSound(
  copies: FoundCopy[],
  options: { databasePath: string; schema?: string | undefined; platform: Platform },
): Promise<FoundCopy> {
  let first: unknown
  for (const copy of copies) {
    try {
      await restoreFromCopy(copy, options)
      return copy
    } catch (thrown) {
      first ??= thrown
    }
  }
  throw first
}

const TIE_MS = 2000

async function findJson(path: string, platform: Platform): Promise<FoundCopy | undefined> {
  const stamp = await readJsonStamp(path, platform)
  if (stamp === undefined) return undefined
  // Only if nothing else is there: then its error is told, instead of starting empty over it.
  if (stamp.kind === 'unreadable') return { kind: 'json', path, timeMs: 0 }
  return { kind: 'json', path, timeMs: stamp.kind === 'kvar' ? stamp.stamp.timeMs : stamp.timeMs }
}

function findBackup(path: string, platform: Platform): FoundCopy | undefined {
  const facts = platform.files.statSync(path)
  if (facts === undefined || facts.sizeBytes < 512) return undefined
  return { kind: 'backup', path, timeMs: facts.modifiedAtMs }
}

/**
 * Makes a whole new database file of a copy, checked and synced.
 *
 * @throws KvarError `JSON_INVALID` or `DAMAGED`; the copy and the database stay as they were
 */
export async function restoreFromCopy(
  copy: Pick<FoundCopy, 'kind' | 'path'>,
  options: { databasePath: string; schema?: string | undefined; platform: Platform },
): Promise<{ rows: number }> {
  const { databasePath, platform } = options
  // A load that was killed may have left a journal: it belongs to nothing.
  for (const suffix of ['', '-journal', '-wal', '-shm']) await platform.files.remove(databasePath + suffix)
  if (copy.kind === 'json') {
    const schema = options.schema === undefined ? {} : { schema: options.schema }
    return loadJsonCopy({ jsonPath: copy.path, databasePath, ...schema, platform })
  }
  await platform.files.copyFile(copy.path, databasePath)
  try {
    assertSound(databasePath, copy.path, platform)
  } catch (thrown) {
    await platform.files.remove(databasePath)
    throw thrown
  }
  await syncFile(platform.files, databasePath)
  return { rows: 0 }
}

function assertSound(path: string, name: string, platform: Platform): void {
  let answer: unknown
  try {
    const database = platform.openSqlite(path, { mode: 'immutable' })
    try {
      answer = (database.prepare('PRAGMA integrity_check(1)').get() as { integrity_check: string })
        .integrity_check
    } finally {
      database.close()
    }
  } catch (thrown) {
    answer = thrown instanceof Error ? thrown.message : thrown
  }
  if (answer === 'ok') return
  throw new KvarError('DAMAGED', `"${name}" is no sound database: ${String(answer)}`, {
    hint: 'restore from the JSON copy or from a target instead; nothing was changed',
  })
}

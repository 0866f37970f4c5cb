import { basename } from 'node:path'
import type { CopyStamp } from '../copies/json-copy.ts'
import { KvarError } from '../errors.ts'
import { StateStore } from '../keeper/state-store.ts'
import { readLineage } from '../log/lineage.ts'
import { restoreToFile } from '../log/restore.ts'
import type { Platform } from '../platform/platform.ts'
import { type DatabaseSync, openSqlite, sqliteErrorCode } from '../platform/sqlite.ts'
import type { KeeperSettings } from '../settings/keeper-settings.ts'
import { stateFolder } from '../settings/names.ts'
import { Progress } from './progress.ts'
import { StoredLogs } from './stored-log.ts'
import type { Invocation } from './verb.ts'

/** An app that is writing is waited for so long. */
const BUSY_MS = 5000
const UNKNOWN_LINEAGE = '0'.repeat(16)

/** What an image shows. Version 0: content that no version holds. */
interface ExportImage {
  stamp: CopyStamp
  source: string
}

/** A private database file of what is to be exported: the database here, or the newest version stored. */
export async function makeExportImage(
  invocation: Invocation,
  settings: KeeperSettings,
  path: string,
): Promise<ExportImage> {
  const { platform } = invocation
  if (platform.files.statSync(settings.databasePath)?.sizeBytes) return imageOfLocal(settings, path, platform)
  return imageOfNewest(invocation, settings, path)
}

/** Through SQLite, as any other reader: what is in a WAL or a hot journal is seen as the app sees it. */
async function imageOfLocal(
  { databasePath }: KeeperSettings,
  path: string,
  platform: Platform,
): Promise<ExportImage> {
  try {
    vacuumInto(databasePath, path)
  } catch (thrown) {
    if (sqliteErrorCode(thrown) === undefined) throw thrown
    const sentence = `Cannot read "${basename(databasePath)}": ${(thrown as Error).message}`
    throw new KvarError('DATABASE_UNREADABLE', sentence, { hint: 'see kvar status', cause: thrown })
  }
  const saved = await new StateStore(stateFolder(databasePath), platform).load()
  const lineage = saved?.memory.lineage ?? UNKNOWN_LINEAGE
  const stamp = { lineage, version: 0, timeMs: platform.clock.nowMs() }
  return { stamp, source: 'the database here; no keeper runs' }
}

/** Keeps rowids: VACUUM INTO copies them, unlike VACUUM (SQLite's vacuum.c, DBFLAG_VacuumInto). */
function vacuumInto(databasePath: string, path: string): void {
  const database = openSqlite(databasePath, { mode: 'readOnly', timeoutMs: BUSY_MS })
  let isWal: boolean
  try {
    isWal = journalMode(database) === 'wal'
    database.prepare('VACUUM INTO ?').run(path)
  } finally {
    database.close()
  }
  if (isWal) setWal(path)
}

/** The JSON says in which journal mode the database was; the image is written in another. */
function setWal(path: string): void {
  const image = openSqlite(path, { mode: 'readWrite' })
  image.exec('PRAGMA journal_mode = WAL')
  image.close()
}

function journalMode(database: DatabaseSync): string {
  return (database.prepare('PRAGMA journal_mode').get() as { journal_mode: string }).journal_mode
}

async function imageOfNewest(
  { platform, out, signal }: Invocation,
  settings: KeeperSettings,
  path: string,
): Promise<ExportImage> {
  const logs = new StoredLogs(settings, platform)
  const progress = new Progress(out, platform.clock, 'Reading')
  try {
    return await logs.withFirst(async (log) => {
      const plan = await log.plan({ kind: 'latest' }, { signal })
      const image = await restoreToFile({ log, plan, path, platform, signal, onProgress: progress.update })
      const lineage = (await readLineage(log.target))?.lineage ?? UNKNOWN_LINEAGE
      const stamp = { lineage, version: image.version, timeMs: image.timestampMs }
      return { stamp, source: `version ${image.version} from ${log.name}; there is no database here` }
    })
  } finally {
    progress.end()
    await logs.close()
  }
}

import { KvarError } from '../errors.ts'
import { parseDatabaseHeader } from '../formats/database-header.ts'
import { sleep } from '../platform/clock.ts'
import type { Platform } from '../platform/platform.ts'
import { changePageSize, overwriteThroughSqlite, sqliteErrorCode } from '../platform/sqlite.ts'
import { inspectContent } from './start/local-evidence.ts'

/** An app that writes all the time is asked again and again for this long. */
const BUSY_LIMIT_MS = 30_000
const BUSY_PAUSE_MS = 25

/**
 * Puts new content into the live database through SQLite, as one transaction (R5): after a rename, an
 * app that has the file open would go on writing into the old one and lose everything silently.
 *
 * @param options.force replace a database that has rows
 * @returns `moved-on` when the app committed something that is not stored yet: nothing was changed
 * @throws KvarError `WOULD_OVERWRITE` without force, `HELD` when the app never leaves a gap
 */
export async function replaceContent(options: {
  databasePath: string
  newFile: string
  force: boolean
  /** The live database's page size, known from capture: its file must not be opened and closed here. */
  pageSize: number | undefined
  /** Whether everything that the database holds is in the log: asked while nobody else can write. */
  isStored: () => boolean
  platform: Platform
}): Promise<'done' | 'moved-on'> {
  const { databasePath, newFile, force, isStored, platform } = options
  if (
    !force &&
    platform.files.statSync(databasePath) !== undefined &&
    inspectContent(databasePath, platform) === 'rows'
  ) {
    throw new KvarError('WOULD_OVERWRITE', `"${databasePath}" has rows, so it is not replaced`, {
      hint: 'say --force (in code: force: true); the present content stays in the log and can be restored',
    })
  }
  // A live database keeps its page size, so the new content takes it over.
  const { pageSize } = options
  if (pageSize !== undefined && pageSizeOf(newFile, platform) !== pageSize) changePageSize(newFile, pageSize)
  const { clock } = platform
  for (const untilMs = clock.monotonicMs() + BUSY_LIMIT_MS; ; await sleep(clock, BUSY_PAUSE_MS)) {
    try {
      return await overwriteThroughSqlite(newFile, databasePath, isStored)
    } catch (thrown) {
      const busy = sqliteErrorCode(thrown) === 5 || /locked|busy/i.test((thrown as Error).message)
      if (!busy) throw thrown
      if (clock.monotonicMs() > untilMs) {
        throw new KvarError('HELD', `Cannot restore into "${databasePath}": the app writes without a pause`, {
          hint: 'stop the app for a moment and try again; nothing was changed',
          cause: thrown,
        })
      }
    }
  }
}

function pageSizeOf(path: string, platform: Platform): number | undefined {
  const bytes = new Uint8Array(100)
  const file = platform.files.openSync(path, 'read')
  try {
    file.readSync(bytes, 0)
    return parseDatabaseHeader(bytes)?.pageSize
  } finally {
    file.closeSync()
  }
}

import { backup, DatabaseSync, type StatementSync } from 'node:sqlite'
import { pathToFileURL } from 'node:url'

export interface SqliteOptions {
  mode: 'readOnly' | 'readWrite' | 'create' | 'immutable'
  timeoutMs?: number
}

/** What capture and start ask of a connection: little enough for the simulator to answer. */
export interface SqliteConnection {
  readonly isTransaction: boolean
  exec(sql: string): void
  prepare(sql: string): Pick<StatementSync, 'get' | 'all'>
  close(): void
}

/** Opens a database as `openSqlite` does. */
export type SqliteOpener = (path: string, options: SqliteOptions) => SqliteConnection

/**
 * Opens a SQLite database by path, never creating it unless told to.
 * `readOnly` may still write `-shm`; `immutable` promises that nobody changes the file.
 *
 * @param options.timeoutMs busy timeout in milliseconds; 0 fails at once
 */
export function openSqlite(path: string, options: SqliteOptions): DatabaseSync {
  const url = pathToFileURL(path)
  const mode = options.mode === 'readWrite' ? 'rw' : options.mode === 'create' ? 'rwc' : 'ro'
  const query = `mode=${mode}${options.mode === 'immutable' ? '&immutable=1' : ''}`
  return new DatabaseSync(`${url.href}?${query}`, {
    readOnly: mode === 'ro',
    timeout: options.timeoutMs ?? 0,
    allowExtension: false,
    enableForeignKeyConstraints: false,
    // Schemas of other programs may hold "text" where they mean 'text'; SQLite's own default reads them.
    enableDoubleQuotedStringLiterals: true,
  })
}

export type { DatabaseSync, StatementSync } from 'node:sqlite'

/** SQLite's result code of a thrown error (5 busy, 11 corrupt, 26 not a database …), extended bits removed. */
export function sqliteErrorCode(thrown: unknown): number | undefined {
  const code = (thrown as { errcode?: unknown } | undefined)?.errcode
  return typeof code === 'number' ? code & 0xff : undefined
}

/**
 * Writes every page of one database over another one as a single transaction of the other: an app
 * that has it open sees the old content, then the new.
 *
 * @param source path of a database nobody writes to
 * @param destination path of the live database; keeps its journal mode
 * @param isStillWhatWasStored asked once, while nobody else can write: false stops and changes nothing
 */
export async function overwriteThroughSqlite(
  source: string,
  destination: string,
  isStillWhatWasStored: () => boolean,
): Promise<'done' | 'moved-on'> {
  const database = openSqlite(source, { mode: 'immutable' })
  let [steps, movedOn] = [0, false]
  const progress = () => {
    // From the first page on the destination is locked for writing: what it holds now is what is replaced.
    movedOn = steps++ === 0 && !isStillWhatWasStored()
    if (movedOn) throw new Error('the destination moved on')
  }
  try {
    const { page_count: pages } = database.prepare('PRAGMA page_count').get() as { page_count: number }
    // At least two steps, or nobody would be asked; few, because the app is locked out meanwhile.
    await backup(database, destination, { rate: Math.max(1, Math.floor((pages - 1) / STEPS)), progress })
    return 'done'
  } catch (thrown) {
    if (movedOn) return 'moved-on'
    throw thrown
  } finally {
    database.close()
  }
}

const STEPS = 16

/** Rewrites a private database file with another page size. */
export function changePageSize(path: string, pageSize: number): void {
  const database = openSqlite(path, { mode: 'readWrite' })
  try {
    database.exec(`PRAGMA journal_mode=DELETE; PRAGMA page_size=${pageSize}; VACUUM`)
  } finally {
    database.close()
  }
}

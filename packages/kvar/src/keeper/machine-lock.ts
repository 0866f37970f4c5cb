import { type DatabaseSync, openSqlite, sqliteErrorCode } from '../platform/sqlite.ts'

/** A held lock; let go when the process ends, however it ends. */
export interface MachineLock {
  release(): void
}

/**
 * One keeper a database and machine: an exclusive SQLite transaction on `lock.db` for the keeper's
 * whole life, taken before the socket is touched. SQLite's locks are the kernel's, so a killed keeper
 * never leaves one behind.
 *
 * @returns undefined when another keeper holds it
 */
export function takeMachineLock(path: string): MachineLock | undefined {
  let database: DatabaseSync | undefined
  try {
    database = openSqlite(path, { mode: 'create', timeoutMs: 0 })
    database.exec('BEGIN EXCLUSIVE')
    const held = database
    return { release: () => held.close() }
  } catch (thrown) {
    database?.close()
    if (sqliteErrorCode(thrown) === 5) return undefined
    throw thrown
  }
}

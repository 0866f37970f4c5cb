import { basename, dirname, join } from 'node:path'

/**
 * The names of everything that lies beside a database. They are a public format: people find their
 * copies by them, and a later version of Kvar must find what an earlier one left.
 */

/** The folder of what the keeper may lose: page checksums, position, outbox, lock. */
export function stateFolder(databasePath: string): string {
  return join(dirname(databasePath), `.${basename(databasePath)}-kvar`)
}

/** The copy that opens in any text editor. */
export function jsonCopyPath(databasePath: string): string {
  return `${databasePath}.json`
}

/** The copy that opens in any SQLite tool. */
export function backupCopyPath(databasePath: string): string {
  return `${databasePath}.backup`
}

/**
 * Where the files that a restore replaced are kept.
 *
 * @param timeMs when the restore began, milliseconds since 1970
 * @example
 * beforeRestoreFolder('/srv/app.db', 1795428930123) // '/srv/app.db.before-restore-20261123T101530123Z'
 */
export function beforeRestoreFolder(databasePath: string, timeMs: number): string {
  const time = new Date(timeMs).toISOString().replaceAll(/[-:.]/g, '')
  return `${databasePath}.before-restore-${time}`
}

import { basename } from 'node:path'
import { KvarError } from '../errors.ts'
import type { Platform } from '../platform/platform.ts'
import { type DatabaseSync, openSqlite } from '../platform/sqlite.ts'

/**
 * Refuses to load a copy over rows, before a keeper is started for it: a keeper writes the copies anew
 * at once, and the same command with --force would find another copy than was meant.
 *
 * @throws KvarError `WOULD_OVERWRITE`
 */
export function refuseRows(databasePath: string, platform: Platform): void {
  if (!platform.files.statSync(databasePath)?.sizeBytes || !hasRows(databasePath)) return
  throw new KvarError('WOULD_OVERWRITE', `"${basename(databasePath)}" has rows, so it is not replaced`, {
    hint: 'say --force; the present content is kept and can be brought back',
  })
}

/**
 * Looks at the bare file without its WAL and journal: to replay them, or not, is the keeper's to
 * decide. What cannot be read here the keeper will judge.
 */
function hasRows(path: string): boolean {
  try {
    const database = openSqlite(path, { mode: 'immutable' })
    try {
      return tablesOf(database).some((name) => {
        const sql = `SELECT 1 FROM "${name.replaceAll('"', '""')}" LIMIT 1`
        return database.prepare(sql).get() !== undefined
      })
    } finally {
      database.close()
    }
  } catch {
    return false
  }
}

function tablesOf(database: DatabaseSync): string[] {
  const sql = `SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%'`
  return database
    .prepare(sql)
    .all()
    .map((row) => String(row.name))
}

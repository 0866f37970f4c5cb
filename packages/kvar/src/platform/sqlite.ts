import { pathToFileURL } from 'node:url'
import { DatabaseSync } from 'node:sqlite'

/**
 * Opens a SQLite database by path, never creating it unless told to.
 * `readOnly` may still write `-shm`; `immutable` promises that nobody changes the file.
 *
 * @param options.timeoutMs busy timeout in milliseconds; 0 fails at once
 */
export function openSqlite(
  path: string,
  options: { mode: 'readOnly' | 'readWrite' | 'create' | 'immutable'; timeoutMs?: number },
): DatabaseSync {
  const url = pathToFileURL(path)
  const mode = options.mode === 'readWrite' ? 'rw' : options.mode === 'create' ? 'rwc' : 'ro'
  const query = `mode=${mode}${options.mode === 'immutable' ? '&immutable=1' : ''}`
  return new DatabaseSync(`${url.href}?${query}`, {
    readOnly: mode === 'ro',
    timeout: options.timeoutMs ?? 0,
    allowExtension: false,
    enableForeignKeyConstraints: false,
  })
}

export type { DatabaseSync, StatementSync } from 'node:sqlite'

/** SQLite's result code of a thrown error (5 busy, 11 corrupt, 26 not a database …), extended bits removed. */
export function sqliteErrorCode(thrown: unknown): number | undefined {
  const code = (thrown as { errcode?: unknown } | undefined)?.errcode
  return typeof code === 'number' ? code & 0xff : undefined
}

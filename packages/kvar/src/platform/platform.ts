import type { Clock } from './clock.ts'
import type { Crews } from './crew.ts'
import type { FileLocks } from './file-locks.ts'
import type { Files } from './files.ts'
import type { HttpOpener } from './http-client.ts'
import type { Random } from './random.ts'
import type { SqliteOpener } from './sqlite.ts'

/**
 * Everything of the world outside that capture, log and keeper may touch. The simulator replaces it
 * as a whole; a test (tests/house) keeps all other folders free of disk, clock and randomness.
 */
export interface Platform {
  files: Files
  clock: Clock
  random: Random
  fileLocks: FileLocks
  /** Threads for work on many pages. Used only where `crews.files` is `files`; without them one thread does it all. */
  crews?: Crews | undefined
  /** SQLite reaches the disk by itself, past `files`: so opening a database is part of the world too. */
  openSqlite: SqliteOpener
  /** Connections to servers that speak HTTP. Without it no target on the network can be opened. */
  openHttpClient?: HttpOpener
  /** Room on the disk of a path. Without it nothing is left undone for lack of room. */
  freeBytes?(path: string): Promise<number | undefined>
  /** SQLite's whole check of a private file: `ok`, or what is wrong. Without it checksums have to do. */
  checkIntegrity?(path: string, sizeBytes: number, signal: AbortSignal | undefined): Promise<string>
}

import { systemClock } from './clock.ts'
import { systemCrews } from './crew.ts'
import { freeBytes } from './disk-space.ts'
import { systemFileLocks } from './file-locks.ts'
import { systemFiles } from './files.ts'
import { openHttpClient } from './http-client.ts'
import { checkIntegrity } from './integrity-check.ts'
import type { Platform } from './platform.ts'
import { systemRandom } from './random.ts'
import { openSqlite } from './sqlite.ts'

/** The real machine. */
export const systemPlatform: Platform = {
  files: systemFiles,
  clock: systemClock,
  random: systemRandom,
  fileLocks: systemFileLocks,
  crews: systemCrews,
  openSqlite,
  openHttpClient,
  freeBytes,
  checkIntegrity,
}

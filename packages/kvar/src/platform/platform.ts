import type { Clock } from './clock.ts'
import type { FileLocks } from './file-locks.ts'
import type { Files } from './files.ts'
import type { Random } from './random.ts'

/**
 * Everything of the world outside that capture, log and keeper may touch. The simulator replaces it
 * as a whole; a test (tests/house) keeps all other folders free of disk, clock and randomness.
 */
export interface Platform {
  files: Files
  clock: Clock
  random: Random
  fileLocks: FileLocks
}

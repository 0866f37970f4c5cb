import { systemClock } from './clock.ts'
import { systemFileLocks } from './file-locks.ts'
import { systemFiles } from './files.ts'
import type { Platform } from './platform.ts'
import { systemRandom } from './random.ts'

/** The real machine. */
export const systemPlatform: Platform = {
  files: systemFiles,
  clock: systemClock,
  random: systemRandom,
  fileLocks: systemFileLocks,
}

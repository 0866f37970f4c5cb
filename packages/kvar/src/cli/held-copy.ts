import { basename, join } from 'node:path'
import type { Platform } from '../platform/platform.ts'
import { scratchBeside } from './place-file.ts'

/**
 * Does some work with a private copy of a file, under its own name, so that errors name it as people
 * know it. A keeper that starts writes the copies beside the database anew at once: what lay there
 * when the command was given is what was meant.
 */
export async function withHeldCopy<T>(
  path: string,
  platform: Platform,
  work: (held: string) => Promise<T>,
): Promise<T> {
  const folder = scratchBeside(path, platform)
  await platform.files.makeFolder(folder, 0o700)
  try {
    const held = join(folder, basename(path))
    await platform.files.copyFile(path, held)
    return await work(held)
  } finally {
    await platform.files.removeTree(folder)
  }
}

import { basename, dirname, join } from 'node:path'
import { KvarError } from '../errors.ts'
import { moveAside, SIDE_FILES } from '../keeper/start/swap-database.ts'
import type { Platform } from '../platform/platform.ts'

/** A name beside `path` for a file in the making; nobody else has it. */
export function scratchBeside(path: string, platform: Platform): string {
  const unique = Buffer.from(platform.random.bytes(6)).toString('hex')
  return join(dirname(path), `.${basename(path)}.${unique}.tmp`)
}

/**
 * Refuses a place that is taken, before any work is done for it. A journal without its database counts
 * as well: SQLite would replay it into the new file.
 *
 * @throws KvarError `WOULD_OVERWRITE`, or `NOT_FOUND` for a folder that is missing
 */
export function assertFree(path: string, hint: string, { files }: Platform): void {
  const folder = dirname(path)
  if (files.statSync(folder)?.isFolder !== true) {
    throw new KvarError('NOT_FOUND', `There is no folder "${folder}"`, {
      hint: 'make it, or name another place',
    })
  }
  const taken = ['', ...SIDE_FILES].find((suffix) => files.statSync(path + suffix) !== undefined)
  if (taken === undefined) return
  throw wouldOverwrite(path + taken, hint)
}

/** Gives a finished, synced file its name. What bears the name already is never replaced. */
export async function placeNew(
  scratch: string,
  path: string,
  hint: string,
  platform: Platform,
): Promise<void> {
  const { files } = platform
  const outcome = await files.link(scratch, path)
  if (outcome === 'exists') throw wouldOverwrite(path, hint)
  if (outcome === 'created') await files.remove(scratch)
  else {
    // A file system without second names (FAT): looking first is the best that can be done.
    assertFree(path, hint, platform)
    await files.rename(scratch, path)
  }
  await files.syncFolder(dirname(path))
}

/** Moves a database with its journals to `NAME.before-restore-TIME`. Answers that folder, if there was anything. */
export async function makeRoom(path: string, platform: Platform): Promise<string | null> {
  const files = ['', ...SIDE_FILES]
  const isTaken = files.some((suffix) => platform.files.statSync(path + suffix) !== undefined)
  return isTaken ? moveAside(path, files, platform) : null
}

function wouldOverwrite(path: string, hint: string): KvarError {
  return new KvarError('WOULD_OVERWRITE', `"${path}" exists already and is not overwritten`, { hint })
}

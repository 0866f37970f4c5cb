import { dirname } from 'node:path'
import type { FileFacts } from '../platform/files.ts'
import type { Platform } from '../platform/platform.ts'
import type { JsonStamp } from './json-stamp.ts'

/**
 * Whose a copy is (R2: a JSON or `.backup` file that this lineage did not write is renamed aside,
 * never overwritten).
 *
 * A JSON copy carries its lineage. A `.backup` file is a plain database with no room for one, so the
 * keeper remembers a mark of the file it wrote. The order that survives a crash at any point:
 *
 *   1. write the new image to a temporary file, and force it to the disk
 *   2. note `markOf` the temporary file *beside* the mark of the present copy, durably
 *   3. rename the temporary file to its name: this keeps inode, size and modification time
 *   4. forget the older mark
 *
 * Between 2 and 4 either mark is ours, so neither the old nor the new copy is ever taken for foreign.
 * Noting only after the rename would, after a crash in between, set our own newest copy aside.
 */
export interface FileMark {
  sizeBytes: number
  /** Decimal digits: JSON has no 64-bit integers. */
  modifiedAtNs: string
  inode: string
}

export function markOf(facts: FileFacts): FileMark {
  return {
    sizeBytes: facts.sizeBytes,
    modifiedAtNs: facts.modifiedAtNs.toString(),
    inode: facts.inode.toString(),
  }
}

export function sameMark(a: FileMark, b: FileMark): boolean {
  return a.sizeBytes === b.sizeBytes && a.modifiedAtNs === b.modifiedAtNs && a.inode === b.inode
}

/** A JSON file is ours if its stamp names our lineage: not the seed's, not a damaged one. */
export function isOurJson(found: JsonStamp | undefined, lineage: string): boolean {
  return found?.kind === 'kvar' && found.stamp.lineage === lineage
}

/**
 * Renames a copy that is not ours out of the way, to `NAME.before-20261123T101530Z`, or with `-2`,
 * `-3` … behind it where that name is taken. Does nothing when there is no file or it is ours.
 * Crash-safe: the file has its old name or the new one, never none.
 *
 * @param options.timeMs milliseconds since 1970, for the new name
 * @returns the new path, or undefined if nothing was done
 * @example
 * const aside = await setAsideForeign({ path: '/data/app.db.json', isOurs: false, timeMs, platform })
 */
export async function setAsideForeign(options: {
  path: string
  isOurs: boolean
  timeMs: number
  platform: Platform
}): Promise<string | undefined> {
  const { path, isOurs, timeMs, platform } = options
  if (isOurs || (await platform.files.stat(path)) === undefined) return undefined
  const aside = await freeName(`${path}.before-${compactTime(timeMs)}`, platform)
  await platform.files.rename(path, aside)
  await platform.files.syncFolder(dirname(path))
  return aside
}

/** Looking first is enough: one keeper per database names such files, and it does so one at a time. */
async function freeName(wanted: string, platform: Platform): Promise<string> {
  let name = wanted
  for (let number = 2; (await platform.files.stat(name)) !== undefined; number += 1)
    name = `${wanted}-${number}`
  return name
}

function compactTime(timeMs: number): string {
  return new Date(timeMs).toISOString().replace(/[-:]|\.\d+/g, '')
}

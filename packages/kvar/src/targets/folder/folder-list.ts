import { join } from 'node:path'
import type { Files } from '../../platform/files.ts'
import { isKey, type ListOptions, type ObjectEntry, throwIfCancelled } from '../target.ts'

/** Objects whose facts are asked for at once: enough to hide a network disk's round trips. */
const BATCH = 32

/**
 * Walks a folder in the order of full keys, one folder at a time, opening only folders that can
 * hold a wanted key.
 *
 * A folder is sorted as its name with a slash behind it, because `a-b` and `a.b` come before `a/b`
 * (0x2d and 0x2e before 0x2f) while `a` alone would come before both.
 */
export async function* listFolder(
  files: Files,
  root: string,
  prefix: string,
  options: ListOptions,
): AsyncIterable<ObjectEntry> {
  const from = prefix.slice(0, prefix.lastIndexOf('/') + 1)
  yield* walk(from)

  async function* walk(folder: string): AsyncIterable<ObjectEntry> {
    throwIfCancelled(options.signal)
    const names = await wantedNames(folder)
    for (let start = 0; start < names.length; start += BATCH) {
      const batch = names.slice(start, start + BATCH)
      const entries = await Promise.all(batch.map((name) => (name.endsWith('/') ? name : entryOf(name))))
      for (const entry of entries) {
        throwIfCancelled(options.signal)
        if (typeof entry === 'string') yield* walk(entry)
        else if (entry !== undefined) yield entry
      }
    }
  }

  async function wantedNames(folder: string): Promise<string[]> {
    const entries = (await files.list(join(root, folder))) ?? []
    return entries
      .filter(({ name }) => isKey(name))
      .map(({ name, isFolder }) => `${folder}${name}${isFolder ? '/' : ''}`)
      .filter((name) => isWanted(name, prefix, options.startAfter))
      .sort(byBytes)
  }

  /** Undefined for what vanished since its folder was read, and for links to folders. */
  async function entryOf(key: string): Promise<ObjectEntry | undefined> {
    const facts = await files.stat(join(root, key))
    if (facts === undefined || facts.isFolder) return undefined
    return { key, sizeBytes: facts.sizeBytes, modifiedAtMs: facts.modifiedAtMs }
  }
}

/** Whether a key is wanted, or (name with a slash at its end) whether a folder may hold a wanted key. */
export function isWanted(name: string, prefix: string, startAfter: string | undefined): boolean {
  const isFolder = name.endsWith('/')
  const fitsPrefix = name.startsWith(prefix) || (isFolder && prefix.startsWith(name))
  if (startAfter === undefined) return fitsPrefix
  return fitsPrefix && (name > startAfter || (isFolder && startAfter.startsWith(name)))
}

/** Keys are ASCII, so the order of UTF-16 units is the order of bytes. */
function byBytes(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}

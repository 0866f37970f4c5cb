import { posix } from 'node:path'
import { isKey, type ListOptions, type ObjectEntry, throwIfCancelled } from '../target.ts'
import type { SftpSession } from './sftp-session.ts'

interface Found {
  /** A key, or a folder with a slash behind it. */
  name: string
  sizeBytes: number
  modifiedAtMs: number
}

/**
 * Walks a folder in the order of full keys, one folder at a time, opening only folders that can hold a
 * wanted key. A folder is sorted as its name with a slash behind it, because `a-b` and `a.b` come before
 * `a/b` while `a` alone would come before both.
 *
 * Names come from the server: only those that are one part of a key are used, so that a listing can
 * neither lead out of the root nor show what is ours (dot names). Links are not followed.
 */
export async function* listObjects(
  session: SftpSession,
  root: string,
  prefix: string,
  options: ListOptions,
): AsyncIterable<ObjectEntry> {
  yield* walk(prefix.slice(0, prefix.lastIndexOf('/') + 1))

  async function* walk(folder: string): AsyncIterable<ObjectEntry> {
    throwIfCancelled(options.signal)
    for (const { name, sizeBytes, modifiedAtMs } of await wanted(folder)) {
      throwIfCancelled(options.signal)
      if (name.endsWith('/')) yield* walk(name)
      else yield { key: name, sizeBytes, modifiedAtMs }
    }
  }

  async function wanted(folder: string): Promise<Found[]> {
    const entries = (await session.list(posix.join(root, folder))) ?? []
    return entries
      .filter(({ filename, attrs }) => isPart(filename) && (attrs.isFile() || attrs.isDirectory()))
      .map(({ filename, attrs }) => ({
        name: `${folder}${filename}${attrs.isDirectory() ? '/' : ''}`,
        sizeBytes: attrs.size,
        modifiedAtMs: attrs.mtime * 1000,
      }))
      .filter(({ name }) => isKey(name.replace(/\/$/, '')) && mayHold(name, prefix, options.startAfter))
      .sort((a, b) => (a.name < b.name ? -1 : 1))
  }
}

function isPart(name: string): boolean {
  return isKey(name) && !name.includes('/')
}

/** Whether a key is wanted, or (name with a slash at its end) whether a folder may hold a wanted key. */
function mayHold(name: string, prefix: string, startAfter: string | undefined): boolean {
  const isFolder = name.endsWith('/')
  const fitsPrefix = name.startsWith(prefix) || (isFolder && prefix.startsWith(name))
  if (startAfter === undefined) return fitsPrefix
  return fitsPrefix && (name > startAfter || (isFolder && startAfter.startsWith(name)))
}

import { statfs } from 'node:fs/promises'
import { dirname } from 'node:path'

/**
 * Bytes that an ordinary user may still write on the disk of a path; undefined where it cannot be told.
 * The path itself need not exist: the nearest folder above it answers.
 */
export async function freeBytes(path: string): Promise<number | undefined> {
  for (let place = path; ; place = dirname(place)) {
    try {
      const { bavail, bsize } = await statfs(place)
      return bavail * bsize
    } catch {
      if (place === dirname(place)) return undefined
    }
  }
}

import { dirname } from 'node:path'
import { syncFile } from '../platform/files.ts'
import type { Platform } from '../platform/platform.ts'

/**
 * Makes a page image the `.backup` copy: forced to the disk, then renamed over the older copy, then
 * the folder forced. At every moment `outPath` is the old database or the new one, whole, and a plain
 * `cp` of it is a valid restore. The image is used up.
 *
 * @param options.imagePath a finished database file on the same file system, open nowhere: forcing it
 *   opens and closes it, which would drop SQLite's locks (howtocorrupt.html §2.2)
 * @throws whatever the file system reports; the older copy is then still whole
 * @example
 * await installBackupCopy({ imagePath: '/data/.app.db-kvar/image', outPath: '/data/app.db.backup', platform })
 */
export async function installBackupCopy(options: {
  imagePath: string
  outPath: string
  platform: Platform
}): Promise<void> {
  const { imagePath, outPath, platform } = options
  await syncFile(platform.files, imagePath)
  await platform.files.rename(imagePath, outPath)
  await platform.files.syncFolder(dirname(outPath))
}

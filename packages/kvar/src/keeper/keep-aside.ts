import { basename, dirname, join } from 'node:path'
import { syncFile } from '../platform/files.ts'
import type { Platform } from '../platform/platform.ts'
import { beforeRestoreFolder } from '../settings/names.ts'
import type { CaptureLoop } from './capture-loop.ts'
import { type Image, writeImage } from './image-writer.ts'

/**
 * Copies the present content beside the database: where there is no log, nothing else would hold it
 * once it is replaced (R2).
 *
 * @returns the copy's path, or null when there is no content
 */
export async function keepAside(
  databasePath: string,
  loop: CaptureLoop,
  platform: Platform,
): Promise<string | null> {
  const { present } = await loop.lookNow()
  if (!present || (loop.capture.table?.pageCount ?? 0) === 0) return null
  const { files } = platform
  const folder = beforeRestoreFolder(databasePath, platform.clock.nowMs())
  await files.makeFolder(folder, 0o700)
  const path = join(folder, basename(databasePath))
  await writeImage({ loop, path, platform, settle: async (image: Image) => image })
  await syncFile(files, path)
  await files.syncFolder(folder)
  await files.syncFolder(dirname(folder))
  return path
}

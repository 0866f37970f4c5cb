import * as fs from 'node:fs'
import { restoreToFile } from '../../packages/kvar/src/log/restore.ts'
import { VersionLog } from '../../packages/kvar/src/log/version-log.ts'
import { systemPlatform as platform } from '../../packages/kvar/src/platform/system.ts'
import { createFolderTarget } from '../../packages/kvar/src/targets/folder/folder-target.ts'

/** The newest version of the log in a folder, as a file of its own; answers its path. */
export async function restoredFile(targetFolder: string, path: string): Promise<string> {
  const target = await createFolderTarget({ path: targetFolder, platform })
  try {
    const log = new VersionLog(target)
    for (const suffix of ['', '-wal', '-shm']) fs.rmSync(path + suffix, { force: true })
    await restoreToFile({ log, plan: await log.plan({ kind: 'latest' }), path, platform })
    return path
  } finally {
    await target.close()
  }
}

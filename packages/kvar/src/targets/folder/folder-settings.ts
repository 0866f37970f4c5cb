import { assert } from '../../errors.ts'
import type { TargetSetting } from '../../settings/target-url.ts'

/** What a folder target needs to know. It has no secrets: the file system's rights decide. */
export interface FolderSettings {
  /** Absolute. */
  path: string
}

/** The folder's own view of a setting that `parseTargetUrl` has checked already. */
export function readFolderSettings(setting: TargetSetting): FolderSettings {
  const { path } = setting
  assert(path !== undefined && path.startsWith('/'), 'a folder target has an absolute path')
  return { path }
}

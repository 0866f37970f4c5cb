import { assert } from '../../errors.ts'
import type { TargetSetting } from '../../settings/target-url.ts'

/** What a folder target needs to know. It has no secrets: the file system's rights decide. */
export interface FolderSettings {
  /** Absolute. */
  path: string
}

/** The folder's own view of a setting that `parseTargetUrl` has checked already. */
export function readFolderSettings(setting: TargetSetting): FolderSettings {
  assert(setting.path !== undefined, 'the settings give every folder target a path')
  return { path: setting.path }
}

import { KvarError } from '../errors.ts'
import type { Platform } from '../platform/platform.ts'
import { isTargetScheme, knownSchemes, type TargetScheme } from '../settings/target-schemes.ts'
import type { TargetSetting } from '../settings/target-url.ts'
import { readFolderSettings } from './folder/folder-settings.ts'
import { createFolderTarget } from './folder/folder-target.ts'
import type { Target } from './target.ts'

/** Turns a setting into a target. */
export type TargetOpener = (setting: TargetSetting, platform: Platform) => Promise<Target>

/** One line for each kind of target; a scheme that settings know and this table does not, does not compile. */
const OPENERS: Record<TargetScheme, TargetOpener> = {
  folder: (setting, platform) => createFolderTarget({ ...readFolderSettings(setting), platform }),
}

/**
 * Opens the target that a setting names, without any wrapper around it.
 *
 * @throws KvarError `SETTING_INVALID` for a scheme that this program does not know
 * @throws TargetError when the place cannot be reached or refuses us
 * @example
 * const target = withRetries(await openTarget(settings.targets[0], systemPlatform), { platform: systemPlatform })
 */
export async function openTarget(setting: TargetSetting, platform: Platform): Promise<Target> {
  if (isTargetScheme(setting.scheme)) return OPENERS[setting.scheme](setting, platform)
  throw new KvarError(
    'SETTING_INVALID',
    `"${setting.scheme}:" is not a kind of target that this Kvar knows`,
    {
      hint: `known are ${knownSchemes()}`,
      data: { url: setting.url },
    },
  )
}

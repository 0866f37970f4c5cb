import { join } from 'node:path'
import { machineFacts, readEnvironment, readTextFile } from '../platform/environment.ts'
import type { KeeperSettings } from '../settings/keeper-settings.ts'
import { checkPlatform } from '../settings/platform-support.ts'
import { resolveSettings, type SettingOptions } from '../settings/settings.ts'

const CONFIG_FILE = 'kvar.config.json'

/**
 * Settings of a call or command, brought together from options, environment and
 * `kvar.config.json` in the working directory.
 *
 * @throws KvarError `SETTING_INVALID`, `SECRET_EXPOSED`, or `UNSUPPORTED` on a machine nobody tested
 */
export function loadSettings(input: {
  databasePath?: string | undefined
  options: SettingOptions
  optionsFrom: 'code' | 'command-line'
}): KeeperSettings {
  const refusal = checkPlatform(machineFacts())
  if (refusal !== undefined) throw refusal
  const { variables, workingFolder } = readEnvironment()
  const path = join(workingFolder, CONFIG_FILE)
  const text = readTextFile(path)
  return resolveSettings({
    options: input.options,
    optionsFrom: input.optionsFrom,
    environment: variables,
    workingFolder,
    ...(input.databasePath === undefined ? {} : { databasePath: input.databasePath }),
    ...(text === undefined ? {} : { configFile: { path, text } }),
  })
}

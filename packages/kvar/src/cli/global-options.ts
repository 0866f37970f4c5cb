import type { Command } from 'commander'
import { KvarError } from '../errors.ts'
import { loadSettings } from '../keeper/load-settings.ts'
import { readEnvironment } from '../platform/environment.ts'
import type { Files } from '../platform/files.ts'
import type { KeeperSettings } from '../settings/keeper-settings.ts'
import { findOnlyDatabase } from './find-database.ts'

/** Options that every verb takes, before or behind its name. */
export interface GlobalOptions {
  db?: string
  target?: string[]
  json?: boolean
  quiet?: boolean
}

export function addGlobalOptions(command: Command): void {
  const collect = (url: string, before?: string[]) => [...(before ?? []), url]
  command
    .option('--db <path>', 'the SQLite file (or KVAR_DB, or the only *.db or *.sqlite file here)')
    .option('--target <url>', 'where versions are stored, repeatable (or KVAR_TARGETS)', collect)
    .option('--json', 'print JSON, one object a line')
    .option('--quiet', 'print only errors and what was asked for')
}

/**
 * The settings of a command line: options, environment, `kvar.config.json`, defaults.
 *
 * @throws KvarError `SETTING_INVALID`, `SECRET_EXPOSED`, `UNSUPPORTED`, `USAGE`
 */
export async function settingsOf(options: GlobalOptions, files: Files): Promise<KeeperSettings> {
  const input = {
    options: options.target === undefined ? {} : { targets: options.target },
    optionsFrom: 'command-line' as const,
  }
  try {
    return loadSettings({ ...input, databasePath: options.db })
  } catch (thrown) {
    if (!isUnnamedDatabase(thrown)) throw thrown
    const databasePath = await findOnlyDatabase(readEnvironment().workingFolder, files)
    return loadSettings({ ...input, databasePath })
  }
}

/** Nothing named the database: neither option nor variable nor file. */
function isUnnamedDatabase(thrown: unknown): boolean {
  return thrown instanceof KvarError && thrown.code === 'SETTING_INVALID' && thrown.data.source === 'default'
}

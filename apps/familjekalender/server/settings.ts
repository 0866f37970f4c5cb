import { join } from 'node:path'

/** Where the server listens and where the calendar lies. */
export interface ServerSettings {
  port: number
  /** The folder of the database. */
  dataFolder: string
  databasePath: string
  /** Undefined: Kvar reads `KVAR_TARGETS` itself. */
  targets: string[] | undefined
}

/**
 * Settings from the environment: `PORT` (3000), `DATA_DIR` (`data`), `KVAR_TARGETS` (a folder beside
 * the database, which is no safety but better than nothing).
 *
 * @throws Error with a sentence when `PORT` is no port
 */
export function readSettings(environment: Record<string, string | undefined>): ServerSettings {
  const port = environment.PORT || '3000'
  if (!/^\d{1,5}$/.test(port) || Number(port) > 65_535) {
    throw new Error(`PORT must be a number from 0 to 65535, not "${port}"`)
  }
  const dataFolder = environment.DATA_DIR || 'data'
  return {
    port: Number(port),
    dataFolder,
    databasePath: join(dataFolder, 'familjekalender.db'),
    targets: environment.KVAR_TARGETS?.trim() ? undefined : [`folder:${join(dataFolder, 'backup')}`],
  }
}

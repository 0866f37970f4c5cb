import { join } from 'node:path'
import { KvarError } from '../errors.ts'
import type { Files } from '../platform/files.ts'

const DATABASE_NAME = /^[^.].*\.(db|sqlite|sqlite3)$/

/**
 * The only database of a folder, for commands that were not told which one.
 *
 * @throws KvarError `USAGE` when there is none, or more than one: Kvar does not guess
 */
export async function findOnlyDatabase(folder: string, files: Files): Promise<string> {
  const entries = (await files.list(folder)) ?? []
  const names = entries.flatMap(({ name, isFolder }) => (!isFolder && DATABASE_NAME.test(name) ? [name] : []))
  const [only] = names
  if (only !== undefined && names.length === 1) return join(folder, only)
  if (only === undefined) {
    throw new KvarError(
      'USAGE',
      'No database is named, and there is no *.db or *.sqlite file in this folder',
      {
        hint: 'name it with --db PATH or the variable KVAR_DB',
      },
    )
  }
  throw new KvarError('USAGE', `There are several databases in this folder: ${names.join(', ')}`, {
    hint: `name one with --db, such as --db ${only}`,
    data: { databases: names },
  })
}

import { readFileSync } from 'node:fs'
import { mkdir } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import type { DatabasePersistence, PersistentDbOptions } from '../../packages/kvar/src/persistence-types.ts'
import { createPersistentDb } from './product.ts'

export interface Protected {
  persistence: DatabasePersistence
  keeperId: number
  targetPath: string
}

/** Protects a database on a folder target; without copies unless they are asked for. */
export async function protect(
  databasePath: string,
  targetPath: string,
  options: PersistentDbOptions = {},
): Promise<Protected> {
  await mkdir(targetPath, { recursive: true })
  const persistence = await createPersistentDb(databasePath, {
    targets: [`folder:${targetPath}`],
    copies: [],
    handleSignals: false,
    ...options,
  })
  return { persistence, keeperId: keeperOf(databasePath), targetPath }
}

/** The process id of the keeper of a database. */
export function keeperOf(databasePath: string): number {
  const address = join(dirname(databasePath), `.${basename(databasePath)}-kvar`, 'keeper.json')
  return (JSON.parse(readFileSync(address, 'utf8')) as { processId: number }).processId
}

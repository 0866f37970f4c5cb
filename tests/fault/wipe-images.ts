import * as fs from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { readContent } from './proof-restore.ts'
import type { Site } from './proof-site.ts'

/** An older state of a machine: its whole data folder, and the database alone as one clean file. */
export interface Image {
  folder: string
  database: string
}

/** What SQLite itself would call content, in the order in which a crash may have left it. */
const DATABASE_FILES = ['', '-wal', '-journal']

/** Keeps the data folder of a dead machine for later. */
export async function saveImage(site: Site, round: number): Promise<Image> {
  const folder = join(site.folder, `image-${round}`)
  fs.cpSync(site.dataFolder, folder, { recursive: true })
  return { folder, database: cleanCopy(site, join(site.folder, `image-${round}.db`)) }
}

/** The tokens in the database as it lies on the disk; nothing there is changed. */
export function tokensOf(site: Site): number[] {
  const path = cleanCopy(site, join(site.folder, 'look.db'))
  try {
    return readContent(path).tokens
  } finally {
    fs.rmSync(path, { force: true })
  }
}

/** The committed state as one file without side files, as somebody would build it into an image. */
function cleanCopy(site: Site, path: string): string {
  for (const suffix of DATABASE_FILES) {
    fs.rmSync(path + suffix, { force: true })
    if (fs.existsSync(site.databasePath + suffix)) fs.copyFileSync(site.databasePath + suffix, path + suffix)
  }
  if (!fs.existsSync(path)) {
    for (const suffix of DATABASE_FILES) fs.rmSync(path + suffix, { force: true })
    return path
  }
  const database = new DatabaseSync(path)
  database.prepare('SELECT count(*) FROM sqlite_schema').get()
  // The last connection that closes empties the WAL and removes it.
  database.close()
  return path
}

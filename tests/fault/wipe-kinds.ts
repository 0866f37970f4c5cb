import * as fs from 'node:fs'
import { basename, join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import type { Choices } from './proof-random.ts'
import type { Site } from './proof-site.ts'
import type { Image } from './wipe-images.ts'

/** What was done to a dead machine's disk. */
export interface Wiped {
  kind: 'empty' | 'half' | 'stale' | 'machine'
  what: string
  /** A file was taken away that SQLite needs to know what was committed: local content proves nothing. */
  isDamaged: boolean
}

/** Nothing is left. */
export function emptyDisk(site: Site): Wiped {
  fs.rmSync(site.dataFolder, { recursive: true })
  fs.mkdirSync(site.dataFolder)
  return { kind: 'empty', what: 'everything', isDamaged: false }
}

/** Some of the files are gone. */
export function halfWiped(site: Site, choices: Choices): Wiped {
  const name = basename(site.databasePath)
  const names = [name, `${name}-wal`, `${name}-shm`, `${name}-journal`, `.${name}-kvar`]
  const present = [...names, `${name}.json`, `${name}.backup`].filter((one) =>
    fs.existsSync(join(site.dataFolder, one)),
  )
  const gone = withoutLoneJournal(site, choices.some(present))
  const isDamaged = gone.some((one) => isNeeded(site, one))
  for (const one of gone) fs.rmSync(join(site.dataFolder, one), { recursive: true })
  return { kind: 'half', what: gone.join(' ') || 'nothing', isDamaged }
}

/**
 * A hot journal is not taken away alone: SQLite itself then takes half a transaction for a committed one
 * (sqlite.org/howtocorrupt.html, 1.4), and nothing in the file tells it from a change the app made.
 */
function withoutLoneJournal(site: Site, names: string[]): string[] {
  const journal = `${basename(site.databasePath)}-journal`
  const isHot = names.includes(journal) && isNeeded(site, journal)
  const keepsDatabase = !names.includes(basename(site.databasePath))
  return isHot && keepsDatabase ? names.filter((name) => name !== journal) : names
}

function isNeeded(site: Site, name: string): boolean {
  const isDatabase = [site.databasePath, `${site.databasePath}-wal`, `${site.databasePath}-journal`].includes(
    join(site.dataFolder, name),
  )
  return isDatabase && fs.statSync(join(site.dataFolder, name)).size > 0
}

/** An older state of the data folder, or of the database alone, in place of what was there; sometimes edited. */
export function staleImage(site: Site, choices: Choices, image: Image, editToken: number): Wiped {
  const whole = choices.chance(0.5)
  const edited = choices.chance(0.5)
  fs.rmSync(site.dataFolder, { recursive: true })
  if (whole) fs.cpSync(image.folder, site.dataFolder, { recursive: true })
  else {
    fs.mkdirSync(site.dataFolder)
    if (fs.existsSync(image.database)) fs.copyFileSync(image.database, site.databasePath)
  }
  if (edited && fs.existsSync(site.databasePath)) edit(site.databasePath, editToken)
  const what = `${basename(image.folder)}, ${whole ? 'the whole folder' : 'the database alone'}`
  return { kind: 'stale', what: `${what}${edited ? ', edited' : ''}`, isDamaged: false }
}

/** Somebody wrote in the old state: that is content which no log has seen. */
function edit(path: string, token: number): void {
  const database = new DatabaseSync(path)
  const hasTable = database.prepare("SELECT 1 FROM sqlite_schema WHERE name = 'tokens'").get() !== undefined
  if (hasTable) database.prepare('INSERT INTO tokens VALUES(?)').run(token)
  database.close()
}

/** Another machine with the same targets: a new one, or one that was used before and was away since. */
export function otherMachine(site: Site, choices: Choices): Wiped {
  const known = fs.readdirSync(site.folder).filter((name) => name.startsWith('machine-'))
  const others = known.map((name) => join(site.folder, name)).filter((folder) => folder !== site.dataFolder)
  const returns = others.length > 0 && choices.chance(0.5)
  site.dataFolder = returns ? choices.pick(others) : site.newMachine()
  return { kind: 'machine', what: returns ? 'one that was away' : 'a new one', isDamaged: false }
}

import { copyFile, mkdir, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'

/** Every row is made of its number alone, so that all runs measure the same bytes. */
const SCHEMA = `CREATE TABLE IF NOT EXISTS events (
  id INTEGER PRIMARY KEY AUTOINCREMENT, user TEXT NOT NULL, date TEXT NOT NULL, time TEXT NOT NULL,
  duration INTEGER NOT NULL, title TEXT NOT NULL, description TEXT, created_at TEXT NOT NULL);
  CREATE INDEX IF NOT EXISTS events_by_date ON events(date, time)`

const FILL = `WITH RECURSIVE n(i) AS (SELECT ? UNION ALL SELECT i + 1 FROM n WHERE i < ?)
  INSERT INTO events(user, date, time, duration, title, description, created_at)
  SELECT substr('AnnaBoe Cleo', 1 + 4 * (i % 3), 4),
    printf('20%02d-%02d-%02d', 20 + i % 10, 1 + (i * 7) % 12, 1 + (i * 13) % 28),
    printf('%02d:%02d', 6 + (i * 31) % 16, 15 * (i % 4)), 15 * (1 + i % 8),
    printf('Errand %d at %x', i % 997, (i * 2654435761) % 65521),
    printf('Bring %x and %d, then ask about %x near the %d. door', (i * 40503) % 1048573, i % 89,
      (i * 2246822519) % 4294967291, i % 31),
    printf('2026-%02d-%02dT%02d:%02d:%02d.%06d', 1 + i % 12, 1 + i % 28, i % 24, i % 60, (i * 7) % 60, (i * 7919) % 1000000)
  FROM n`

const SQLITE_BUSY = 5
const ROWS_PER_TRANSACTION = 200_000

/** Makes a database with so many events, closed and checkpointed. */
export function makeEvents(path: string, events: number, journalMode = 'wal'): void {
  const database = new DatabaseSync(path)
  database.exec(`PRAGMA journal_mode=${journalMode}; PRAGMA synchronous=OFF; ${SCHEMA}`)
  addEvents(database, 1, events)
  database.close()
}

export function addEvents(
  database: DatabaseSync,
  first: number,
  last: number,
  locked: Locked = { times: 0 },
): void {
  const fill = database.prepare(FILL)
  for (let at = first; at <= last; at += ROWS_PER_TRANSACTION)
    patiently(() => fill.run(at, Math.min(last, at + ROWS_PER_TRANSACTION - 1)), locked)
}

/** How often an app without busy timeout found its database locked by its protector. */
export interface Locked {
  times: number
}

/**
 * One event more, as the app adds it: a transaction of its own. It has no busy timeout (the default of
 * node:sqlite); where the database is locked it is counted and tried again until it is not.
 */
export function eventAdder(database: DatabaseSync, locked: Locked = { times: 0 }): (n: number) => void {
  const insert = database.prepare(
    `INSERT INTO events(user, date, time, duration, title, description, created_at)
     VALUES ('Anna', '2026-11-23', '14:00', 60, 'Errand ' || ?, 'Bring the keys', '2026-11-23T12:00:00.000000')`,
  )
  return (n) => patiently(() => insert.run(n), locked)
}

function patiently(write: () => unknown, locked: Locked): void {
  for (;;) {
    try {
      write()
      return
    } catch (thrown) {
      if ((thrown as { errcode?: number }).errcode !== SQLITE_BUSY) throw thrown
      locked.times += 1
    }
  }
}

/** About so many events fill a megabyte. */
const EVENTS_PER_MB = 5788

/**
 * A copy of a database of about `sizeMb`, made once and kept in the cache folder.
 *
 * @returns its size in bytes
 */
export async function bigDatabase(path: string, sizeMb: number, cacheFolder: string): Promise<number> {
  await mkdir(cacheFolder, { recursive: true })
  const cached = join(cacheFolder, `events-${sizeMb}.db`)
  const made = await stat(cached).catch(() => undefined)
  if (made === undefined) {
    const unfinished = `${cached}.tmp`
    await rm(unfinished, { force: true })
    makeEvents(unfinished, sizeMb * EVENTS_PER_MB)
    await copyFile(unfinished, cached)
    await rm(unfinished)
  }
  await copyFile(cached, path)
  return (await stat(path)).size
}

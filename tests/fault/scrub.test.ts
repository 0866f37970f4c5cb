// Goal: a database that changes behind SQLite's back (a failing disk, a program that writes past
// SQLite) is noticed, told and corrected in the log, and an app that writes all the time never
// looks as if it had (DESIGN R6).
// Method: a real keeper in a process of its own. Bytes are changed in the file directly, and the
// file's time is put back, so that nothing but reading every page can find it.
import * as fs from 'node:fs'
import { afterEach, beforeEach, expect, it } from 'vitest'
import type { DatabasePersistence, KeeperStatus } from '../../packages/kvar/src/index.ts'
import { KeeperWorld, newestVersionIn, restoreFrom, rowsOf, waitFor } from '../support/keeper-world.ts'

let world: KeeperWorld
beforeEach(() => {
  world = new KeeperWorld()
})
afterEach(() => world.end())

const PAGE_BYTES = 4096

/** Rows of one page each; the text of one of them is found in the file and changed there. */
function fill(database: ReturnType<KeeperWorld['database']>, mode: string): void {
  database.exec(`PRAGMA journal_mode=${mode}; CREATE TABLE note(id INTEGER PRIMARY KEY, text TEXT)`)
  const insert = database.prepare('INSERT INTO note VALUES(?, ?)')
  for (let id = 1; id <= 20; id++) insert.run(id, `note ${id} `.padEnd(3000, 'x'))
}

/** Changes bytes of the file and puts its times back. */
function changeBehindSqlite(path: string, from: string, to: string): void {
  const { mtime } = fs.statSync(path)
  const file = fs.openSync(path, 'r+')
  const bytes = fs.readFileSync(path)
  const offset = bytes.indexOf(from)
  expect(offset).toBeGreaterThan(PAGE_BYTES)
  fs.writeSync(file, Buffer.from(to), 0, to.length, offset)
  fs.closeSync(file)
  fs.utimesSync(path, mtime, mtime)
}

async function until(
  persistence: DatabasePersistence,
  what: string,
  isMet: (status: KeeperStatus) => boolean,
): Promise<KeeperStatus> {
  let seen: KeeperStatus | undefined
  await waitFor(
    what,
    async () => {
      seen = await persistence.status()
      return isMet(seen)
    },
    30_000,
  )
  return seen as KeeperStatus
}

it.each(['DELETE', 'WAL'])(
  'a page that changed by itself is found, told and corrected (%s)',
  async (mode) => {
    const path = world.path('app.db')
    const target = world.path('log', 'x').slice(0, -2)
    const database = world.database(path)
    fill(database, mode)
    // In WAL mode the pages have to be back in the file; the connection stays open, as an app's does.
    if (mode === 'WAL') database.exec('PRAGMA wal_checkpoint(TRUNCATE)')
    // Only whole seconds can be put back exactly.
    fs.utimesSync(path, 1_900_000_000, 1_900_000_000)
    const limits = { scrubAfterMs: 1000, drillAfterMs: 3_600_000 }
    const persistence = await world.open(path, { targets: [`folder:${target}`], limits })
    const { version } = await persistence.flush()
    changeBehindSqlite(path, 'note 7 x', 'NOTE 7 y')

    const bad = await until(persistence, 'the drift is told', (status) => status.safety === 'not-safe')
    expect(bad.sentence).toMatch(/^Not safe: 1 page of the database changed without a commit \(page \d+\)/)
    expect(bad.sentence).toContain(`kvar restore --version ${version} --to FILE`)
    expect(bad.problem?.data).toMatchObject({ pages: 1, lastGoodVersion: version })

    const good = await until(persistence, 'both checks are good again', (status) => status.problem === null)
    expect(good.safety).toBe('only-here')
    expect(good.scrub).toMatchObject({ drifted: 0 })
    expect(good.provedDrill?.result).toBe('identical')
    expect(good.notes.join()).toContain(`version ${version} shows the content from before`)

    expect(await newestVersionIn(target)).toBe(version + 1)
    const query = 'SELECT substr(text, 1, 8) AS text FROM note WHERE id = 7'
    expect(rowsOf(await restoreFrom(target, world.folder), query)).toEqual([{ text: 'NOTE 7 y' }])
    expect(rowsOf(await restoreFrom(target, world.folder, version), query)).toEqual([{ text: 'note 7 x' }])
  },
)

it('copies do not fail because of it: they show what is really there', async () => {
  const path = world.path('app.db')
  const database = world.database(path)
  fill(database, 'WAL')
  database.exec('PRAGMA wal_checkpoint(TRUNCATE)')
  const target = world.path('log', 'x').slice(0, -2)
  const limits = { scrubAfterMs: 0, drillAfterMs: 0 }
  const persistence = await world.open(path, { targets: [`folder:${target}`], limits, copies: ['backup'] })
  await persistence.backupDatabase()
  changeBehindSqlite(path, 'note 9 x', 'NOTE 9 y')
  // A change in another page makes a new copy necessary.
  database.exec("UPDATE note SET text = 'short' WHERE id = 1")
  await persistence.backupDatabase()
  const query = 'SELECT substr(text, 1, 8) AS text FROM note WHERE id = 9'
  expect(rowsOf(`${path}.backup`, query)).toEqual([{ text: 'NOTE 9 y' }])
})

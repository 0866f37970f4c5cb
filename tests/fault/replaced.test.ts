/*
 * Goal: a database that is deleted, recreated or replaced while it is watched never mixes two files:
 * the new content becomes the next version, the old one is in the log, and the new file's WAL survives
 * our letting go of the old file.
 * Method: a process of its own does to the files what apps and people do; the versions on a folder
 * target are restored and compared.
 */
import * as fs from 'node:fs'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { KeeperWorld, rowsIn, waitFor } from '../support/keeper-world.ts'

const LIVES = 4

let world: KeeperWorld
beforeEach(() => {
  world = new KeeperWorld()
})
afterEach(() => world.end())

const ROWS = 'SELECT life, count(*) AS n FROM note GROUP BY life'

function removeDatabase(path: string): void {
  for (const suffix of ['', '-wal', '-shm', '-journal']) fs.rmSync(path + suffix, { force: true })
}

/** A new database under the same name, by an app that then leaves without closing it. */
async function writeLife(path: string, journalMode: string, life: number): Promise<void> {
  const app = world.bareApp()
  await app.call('openPlain', { path, journalMode })
  await app.sql(
    `CREATE TABLE note(id INTEGER PRIMARY KEY, life INTEGER, body);
     WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${20 + life})
     INSERT INTO note(life, body) SELECT ${life}, randomblob(1500) FROM n`,
  )
  await app.kill()
}

describe.each(['wal', 'delete'])('in journal mode %s', { timeout: 60_000 }, (journalMode) => {
  it('a database that is deleted and made anew, again and again, is the next version each time', async () => {
    const [path, target] = [world.path('app.db'), world.path('target')]
    const persistence = await world.open(path, { targets: [`folder:${target}`], interval: '30ms' })
    const versions: number[] = []
    for (let life = 1; life <= LIVES; life++) {
      removeDatabase(path)
      await writeLife(path, journalMode, life)
      versions.push((await persistence.flush()).version)
    }
    expect(versions).toEqual([...versions].sort((a, b) => a - b))
    for (const [index, version] of versions.entries()) {
      const life = index + 1
      const rows = await rowsIn(target, world.folder, ROWS, version)
      expect(rows.map((row) => ({ ...row }))).toEqual([{ life, n: 20 + life }])
    }
  })

  it('the new file keeps its commits after we let go of the old one', async () => {
    const [path, target] = [world.path('app.db'), world.path('target')]
    const persistence = await world.open(path, { targets: [`folder:${target}`], interval: '30ms' })
    await writeLife(path, journalMode, 1)
    await persistence.flush()
    removeDatabase(path)
    const app = world.bareApp()
    await app.call('openPlain', { path, journalMode })
    await app.sql('CREATE TABLE note(id INTEGER PRIMARY KEY, life INTEGER, body)')
    // The keeper goes over to the new file somewhere between these commits.
    for (let index = 0; index < 40; index++)
      await app.sql('INSERT INTO note(life, body) VALUES (2, zeroblob(2000))')
    await persistence.flush()
    await app.sql('INSERT INTO note(life, body) VALUES (2, zeroblob(2000))')
    if (journalMode === 'wal') expect(fs.existsSync(`${path}-wal`)).toBe(true)
    await persistence.flush()
    await app.kill()
    const here = world.database(path).prepare(ROWS).all()
    expect(here.map((row) => ({ ...row }))).toEqual([{ life: 2, n: 41 }])
    const stored = await rowsIn(target, world.folder, ROWS)
    expect(stored.map((row) => ({ ...row }))).toEqual([{ life: 2, n: 41 }])
  })

  it('a database that is replaced by rename is the next version, and the old one is in the log', async () => {
    const [path, target] = [world.path('app.db'), world.path('target')]
    const persistence = await world.open(path, { targets: [`folder:${target}`], interval: '30ms' })
    await writeLife(path, journalMode, 1)
    const { version } = await persistence.flush()
    const next = world.path('next', 'app.db')
    await writeLife(next, 'delete', 2)
    for (const suffix of ['-wal', '-shm', '-journal']) fs.rmSync(path + suffix, { force: true })
    fs.renameSync(next, path)
    const replaced = await persistence.flush()
    expect(replaced.version).toBeGreaterThan(version)
    expect((await rowsIn(target, world.folder, ROWS)).map((row) => row.life)).toEqual([2])
    expect((await rowsIn(target, world.folder, ROWS, version)).map((row) => row.life)).toEqual([1])
  })

  it('a database that is deleted and stays away is waited for, and nothing is stored for it', async () => {
    const [path, target] = [world.path('app.db'), world.path('target')]
    const persistence = await world.open(path, { targets: [`folder:${target}`], interval: '30ms' })
    await writeLife(path, journalMode, 1)
    const { version } = await persistence.flush()
    removeDatabase(path)
    await waitFor('the keeper says so', async () => (await persistence.status()).state === 'waiting')
    expect((await persistence.flush()).version).toBe(version)
    expect((await rowsIn(target, world.folder, ROWS)).map((row) => row.life)).toEqual([1])
    expect(fs.existsSync(path)).toBe(false)
    await writeLife(path, journalMode, 3)
    const back = await persistence.flush()
    expect(back.version).toBeGreaterThan(version)
    expect((await persistence.status()).state).toBe('protecting')
    expect((await rowsIn(target, world.folder, ROWS)).map((row) => row.life)).toEqual([3])
  })
})

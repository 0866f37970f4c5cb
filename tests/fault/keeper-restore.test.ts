/*
 * Goal: going back in time under a running app: it sees the old content, then the new; nothing is lost,
 * and every restore can be undone. A damaged copy changes nothing.
 * Method: an app in a process of its own keeps the database open while this process asks the keeper.
 */
import * as fs from 'node:fs'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { branchesIn, KeeperWorld, rowsIn } from '../support/keeper-world.ts'

const NOTES = 'SELECT body FROM note ORDER BY id'

let world: KeeperWorld
let path: string
let target: string
beforeEach(() => {
  world = new KeeperWorld()
  path = world.path('app.db')
  target = world.path('target')
})
afterEach(() => world.end())

async function appWithHistory(journalMode: string) {
  const app = await world.app(path, {
    targets: [`folder:${target}`],
    interval: '1h',
    copies: ['json', 'backup'],
    journalMode,
  })
  await app.sql('CREATE TABLE note(id INTEGER PRIMARY KEY, body)')
  const versions: number[] = []
  for (const body of ['old', 'newer', 'newest']) {
    await app.sql(`INSERT INTO note(body) VALUES ('${body}')`)
    versions.push((await app.flush()).version)
  }
  const persistence = await world.open(path, { targets: [`folder:${target}`], copies: ['json', 'backup'] })
  return { app, persistence, versions }
}

function bodies(rows: Array<Record<string, unknown>>): unknown[] {
  return rows.map((row) => row.body)
}

describe.each(['wal', 'delete'])(
  'under a running app, in journal mode %s',
  { timeout: 60_000 },
  (journalMode) => {
    it('a restore shows it the old content, keeps the newest in the log, and can be undone', async () => {
      const { app, persistence, versions } = await appWithHistory(journalMode)
      const restored = await persistence.restore({ version: versions[0] as number })
      expect(restored.restoredFrom).toBe(versions[0])
      expect(restored.version).toBeGreaterThan(versions[2] as number)
      expect(bodies(await app.all(NOTES))).toEqual(['old'])
      expect(bodies(await rowsIn(target, world.folder, NOTES, versions[2]))).toEqual([
        'old',
        'newer',
        'newest',
      ])
      expect(bodies(await rowsIn(target, world.folder, NOTES))).toEqual(['old'])
      await app.sql("INSERT INTO note(body) VALUES ('written after it')")
      await app.flush()
      const undone = await persistence.restore({ version: versions[2] as number })
      expect(bodies(await app.all(NOTES))).toEqual(['old', 'newer', 'newest'])
      expect(bodies(await rowsIn(target, world.folder, NOTES))).toEqual(['old', 'newer', 'newest'])
      expect(bodies(await rowsIn(target, world.folder, NOTES, undone.version - 1))).toEqual([
        'old',
        'written after it',
      ])
      expect(await app.all('PRAGMA journal_mode')).toEqual([{ journal_mode: journalMode }])
      expect(await app.all('PRAGMA integrity_check')).toEqual([{ integrity_check: 'ok' }])
      expect(await branchesIn(target)).toEqual([])
    })

    it('unstored commits are in the log before a restore replaces them', async () => {
      const { app, persistence, versions } = await appWithHistory(journalMode)
      await app.sql("INSERT INTO note(body) VALUES ('not stored yet')")
      const { version } = await persistence.restore({ version: versions[0] as number })
      expect(bodies(await rowsIn(target, world.folder, NOTES, version - 1)).at(-1)).toBe('not stored yet')
    })

    it('a restore from JSON refuses a database with rows unless forced, and keeps what was there', async () => {
      const { app, persistence } = await appWithHistory(journalMode)
      await persistence.backupDatabase()
      const saved = world.path('saved.json')
      fs.copyFileSync(`${path}.json`, saved)
      await app.sql("DELETE FROM note WHERE body <> 'old'")
      await expect(persistence.restoreFromJson({ path: saved })).rejects.toMatchObject({
        code: 'WOULD_OVERWRITE',
      })
      expect(bodies(await app.all(NOTES))).toEqual(['old'])
      const { rows, version } = await persistence.restoreFromJson({ path: saved, force: true })
      expect(rows).toBe(3)
      expect(bodies(await app.all(NOTES))).toEqual(['old', 'newer', 'newest'])
      expect(bodies(await rowsIn(target, world.folder, NOTES, version - 1))).toEqual(['old'])
    })

    it('a restore from a damaged JSON says what is wrong and changes nothing', async () => {
      const { app, persistence } = await appWithHistory(journalMode)
      const { version } = await persistence.backupDatabase()
      const whole = fs.readFileSync(`${path}.json`, 'utf8')
      const damaged = world.path('damaged.json')
      for (const text of [whole.slice(0, -20), whole.replace('"newest"', '"newest'), '', '[]']) {
        fs.writeFileSync(damaged, text)
        await expect(persistence.restoreFromJson({ path: damaged, force: true })).rejects.toMatchObject({
          code: 'JSON_INVALID',
          message: expect.stringContaining('damaged.json') as string,
        })
      }
      expect(bodies(await app.all(NOTES))).toEqual(['old', 'newer', 'newest'])
      expect((await persistence.flush()).version).toBe(version)
      expect(fs.readFileSync(`${path}.json`, 'utf8')).toBe(whole)
      const left = fs.readdirSync(world.path('.app.db-kvar')).filter((name) => /import|restore/.test(name))
      expect(left).toEqual([])
    })
  },
)

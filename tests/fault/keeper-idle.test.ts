/*
 * Goal: a keeper whose database does not change costs nothing and leaves at once (R9), and one without
 * a database has no trouble to tell.
 * Method: a keeper's life without a single change: its copies and its target are watched from outside.
 */
import * as fs from 'node:fs'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { KeeperWorld, newestVersionIn, waitFor } from '../support/keeper-world.ts'

/** Long enough for several looks and for a copy that would be written again and again. */
const IDLE_MS = 1500

let world: KeeperWorld
let path: string
let target: string
beforeEach(() => {
  world = new KeeperWorld()
  path = world.path('app.db')
  target = world.path('target')
})
afterEach(() => world.end())

function open() {
  return world.open(path, { targets: [`folder:${target}`], copies: ['json', 'backup'] })
}

describe('a keeper without a change', { timeout: 30_000 }, () => {
  it.each(['wal', 'delete'])(
    'writes its copies once, stores nothing, closes at once (%s)',
    async (journalMode) => {
      const first = await open()
      const database = world.database(path)
      database.exec(`PRAGMA journal_mode=${journalMode}; CREATE TABLE note(x); INSERT INTO note VALUES (1)`)
      await first.backupDatabase()
      await first.close()
      const second = await open()
      const version = (await second.status()).durableVersion
      const names = [`${path}.json`, `${path}.backup`, path, `${path}-wal`]
      await waitFor('the copies name the version', async () =>
        (await second.status()).copies.every((copy) => copy.version === version),
      )
      const changes: string[] = []
      const watchers = [world.folder, `${target}/ltx/0`].map((folder) =>
        fs.watch(folder, (_kind, name) => changes.push(String(name))),
      )
      const marks = names.map(markOf)
      await new Promise((resolve) => setTimeout(resolve, IDLE_MS))
      for (const watcher of watchers) watcher.close()
      expect(names.map(markOf)).toEqual(marks)
      expect(changes).toEqual([])
      expect(await newestVersionIn(target)).toBe(version)
      const begun = performance.now()
      await second.close()
      expect(performance.now() - begun).toBeLessThan(1000)
    },
  )

  it('without a database waits, without trouble, and closes at once', async () => {
    const persistence = await open()
    await new Promise((resolve) => setTimeout(resolve, IDLE_MS))
    const { state, problem, copies } = await persistence.status()
    expect(state).toBe('waiting')
    expect([problem, ...copies.map((copy) => copy.problem)]).toEqual([null, null, null])
    const begun = performance.now()
    await persistence.close()
    expect(performance.now() - begun).toBeLessThan(1000)
    expect(fs.existsSync(path)).toBe(false)
  })
})

function markOf(path: string): string {
  const facts = fs.statSync(path, { bigint: true, throwIfNoEntry: false })
  return `${path} ${facts?.ino} ${facts?.mtimeNs} ${facts?.size}`
}

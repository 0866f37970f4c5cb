/*
 * Goal: the copies beside the database are usable at every moment: `.backup` is a sound database of a
 * committed state, the JSON parses and is whole, also under load and right after the keeper is killed;
 * and a copy equals the version it names.
 * Method: an app in which `tally` counts the rows of `load` in every transaction; the copies are read
 * in a loop beside it, and keepers are killed on the way.
 */
import { type ChildProcess, spawn } from 'node:child_process'
import * as fs from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { DatabasePersistence } from '../../packages/kvar/src/index.ts'
import {
  KeeperWorld,
  keeperProcessId,
  killProcess,
  restoreFrom,
  rowsOf,
  waitFor,
} from '../support/keeper-world.ts'

const APP = join(import.meta.dirname, '../support/capture-app.mjs')
/** The app is ended as soon as enough was seen; this is only the latest end. */
const SECONDS = 40
const ENOUGH = 4
const KILL_EVERY_MS = 600

let world: KeeperWorld
let path: string
let target: string
let running: ChildProcess | undefined
beforeEach(() => {
  world = new KeeperWorld()
  path = world.path('app.db')
  target = world.path('target')
})
afterEach(async () => {
  running?.kill('SIGKILL')
  running = undefined
  await world.end()
})

interface Load {
  ended: () => boolean
  kill: () => Promise<void>
}

function startLoad(journalMode: string): Load {
  const options = { path, journalMode, seconds: SECONDS, pauseMs: 10, actions: ['vacuum', 'rollback'] }
  const child = spawn(process.execPath, [APP, JSON.stringify(options)], {
    stdio: ['ignore', 'ignore', 'inherit'],
  })
  let ended = false
  const closed = new Promise<void>((resolve) =>
    child.once('close', () => {
      ended = true
      resolve()
    }),
  )
  running = child
  return {
    ended: () => ended,
    kill: () => {
      child.kill('SIGKILL')
      return closed
    },
  }
}

interface Seen {
  backups: Set<string>
  jsons: Set<number>
}

function checkBackup(seen: Seen): void {
  const bytes = readIfThere(`${path}.backup`)
  if (bytes === undefined) return
  const copy = join(world.folder, 'seen.db')
  fs.writeFileSync(copy, bytes)
  const [row] = rowsOf(copy, 'SELECT (SELECT rows FROM tally) AS told, (SELECT count(*) FROM load) AS there')
  expect(row?.told).toBe(row?.there)
  seen.backups.add(String(row?.there))
}

interface CopyJson {
  kvar: { version: number }
  tally: Array<{ rows: number }>
  load: Array<{ id: number; body: unknown }>
}

function checkJson(seen: Seen): void {
  const bytes = readIfThere(`${path}.json`)
  if (bytes === undefined) return
  const copy = JSON.parse(bytes.toString('utf8')) as CopyJson
  expect(copy.load.length).toBe(copy.tally[0]?.rows)
  seen.jsons.add(copy.kvar.version)
}

function readIfThere(name: string): Buffer | undefined {
  try {
    return fs.readFileSync(name)
  } catch {
    return undefined
  }
}

/** The tables must be there before the first copy is judged. */
async function open(journalMode: string): Promise<{ persistence: DatabasePersistence; load: Load }> {
  const load = startLoad(journalMode)
  await waitFor('the tables are there', () => tallyIsThere(), 20_000)
  const copies = ['json', 'backup'] as Array<'json' | 'backup'>
  const persistence = await world.open(path, { targets: [`folder:${target}`], interval: '50ms', copies })
  return { persistence, load }
}

function tallyIsThere(): boolean {
  if (!fs.existsSync(path)) return false
  const database = world.database(path)
  try {
    return database.prepare('SELECT 1 FROM tally').get() !== undefined
  } catch {
    return false
  } finally {
    database.close()
  }
}

describe.each(['wal', 'delete'])(
  'copies under load, in journal mode %s',
  { timeout: 60_000 },
  (journalMode) => {
    it('are whole at every moment, also after kills, and in the end equal the version they name', async () => {
      const { persistence, load } = await open(journalMode)
      const seen: Seen = { backups: new Set(), jsons: new Set() }
      let kills = 0
      const enough = () => [kills, seen.backups.size, seen.jsons.size].every((count) => count >= ENOUGH)
      for (let killAt = performance.now() + KILL_EVERY_MS; !load.ended() && !enough(); ) {
        checkBackup(seen)
        checkJson(seen)
        await new Promise((resolve) => setTimeout(resolve, 5))
        if (performance.now() < killAt) continue
        killProcess(keeperProcessId(path))
        checkBackup(seen)
        checkJson(seen)
        await persistence.flush()
        kills += 1
        killAt = performance.now() + KILL_EVERY_MS
      }
      expect([kills, seen.backups.size, seen.jsons.size]).toSatisfy(enough)
      await load.kill()
      await persistence.backupDatabase()
      await expectCopiesEqualTheirVersions(persistence)
    })
  },
)

async function expectCopiesEqualTheirVersions(persistence: DatabasePersistence): Promise<void> {
  const { copies, durableVersion } = await persistence.status()
  expect(copies.map((copy) => copy.version)).toEqual([durableVersion, durableVersion])
  const restored = await restoreFrom(target, world.folder, durableVersion)
  expect(fs.readFileSync(`${path}.backup`).equals(fs.readFileSync(restored))).toBe(true)
  const json = JSON.parse(fs.readFileSync(`${path}.json`, 'utf8')) as CopyJson
  expect(json.kvar.version).toBe(durableVersion)
  const ids = rowsOf(restored, 'SELECT id FROM load ORDER BY id').map((row) => row.id)
  expect(json.load.map((row) => row.id)).toEqual(ids)
}

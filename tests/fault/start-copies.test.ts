/*
 * Goal: a copy that a person puts in the database's place is respected and never mixed with the WAL or
 * journal of the file before it; a database that only looks like a copy keeps its own WAL; copies are
 * the last resort when no target holds a version, and a copy that is not ours is never overwritten.
 * Method: real lives and deaths of keepers and apps, then `cp` in all its variants.
 */
import * as fs from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Keeper } from '../../packages/kvar/src/keeper/keeper.ts'
import { waitFor } from '../support/keeper-world.ts'
import { add, makeTable, type Rows, row, rowsOf, TestMachine } from '../support/start-machine.ts'
import { elsewhere, FOUR, ONE, past, THREE, TWO } from '../support/start-scenarios.ts'

let machine: TestMachine
let backup: string
let saved: string
beforeEach(async () => {
  machine = await TestMachine.create()
  backup = `${machine.databasePath}.backup`
  saved = join(machine.home, 'saved.backup')
})
afterEach(() => machine.destroy())

/** A past whose `.backup` shows ONE, TWO; kept under `saved`. No more copies are written afterwards. */
async function pastWithBackup(journal: 'WAL' | 'DELETE'): Promise<void> {
  machine.overrides.copies = ['backup']
  await past(machine, journal)
  machine.overrides.copies = []
  fs.copyFileSync(backup, saved)
}

/** A life that stores THREE, lets it sink into the database file, stores FOUR and is killed with its WAL. */
async function dieWithWal(
  afterwards: (keeper: Keeper) => Promise<unknown> = async () => undefined,
): Promise<void> {
  await machine.liveAndDie(async (app, keeper) => {
    add(app, THREE)
    await keeper.flush()
    await waitFor('the WAL is back in the database', () => /"checkpointed"/.test(readState()))
    add(app, FOUR)
    await keeper.flush()
    await afterwards(keeper)
  })
  expect(fs.statSync(`${machine.databasePath}-wal`).size).toBeGreaterThan(0)
}

function readState(): string {
  return fs.readFileSync(`${machine.statePath}/state.json`, 'utf8')
}

async function expectAfterStart(action: string, rows: Rows, branches: Rows[] = []): Promise<void> {
  const report = await machine.live(() => undefined)
  expect({ action: report.action, rows: machine.rows() }).toEqual({ action, rows })
  expect((await machine.headRows())?.rows).toEqual(rows)
  expect(await machine.branches()).toEqual(branches)
}

describe('a plain cp of the .backup with a WAL of the former file beside it', () => {
  test('the .backup is older than what had sunk into the database: the copy wins, the WAL goes aside', async () => {
    await pastWithBackup('WAL')
    await dieWithWal()
    fs.copyFileSync(backup, machine.databasePath)
    await expectAfterStart('kept-local', [ONE, TWO])
    expect(machine.asideFolders().flatMap((aside) => fs.readdirSync(aside))).toContain('family.db-wal')
  })

  test('the .backup is the newest version', async () => {
    await pastWithBackup('WAL')
    machine.overrides.copies = ['backup']
    await dieWithWal((keeper) => keeper.backupDatabase())
    fs.copyFileSync(backup, machine.databasePath)
    await expectAfterStart('kept-local', [ONE, TWO, THREE, FOUR])
  })

  test('cp -p: the old time does not hide it', async () => {
    await pastWithBackup('WAL')
    await dieWithWal()
    fs.cpSync(backup, machine.databasePath, { preserveTimestamps: true })
    await expectAfterStart('kept-local', [ONE, TWO])
  })

  test('an older copy that is not the .backup: rows of two states never mix, the newest version is back', async () => {
    await pastWithBackup('WAL')
    machine.overrides.copies = ['backup']
    await dieWithWal((keeper) => keeper.backupDatabase())
    fs.copyFileSync(saved, machine.databasePath)
    await expectAfterStart('diverged', [ONE, TWO, THREE, FOUR])
  })

  test('a hot journal beside it is not rolled into the copy', async () => {
    await pastWithBackup('DELETE')
    await machine.live((app) => add(app, THREE))
    await machine.killInTransaction()
    expect(fs.statSync(`${machine.databasePath}-journal`).size).toBeGreaterThan(512)
    fs.copyFileSync(backup, machine.databasePath)
    await expectAfterStart('kept-local', [ONE, TWO])
  })
})

describe('a database that is byte-equal to its .backup and has commits of its own', () => {
  /** Rests until the bare file and the `.backup` are the same bytes, then works on in the WAL and dies. */
  async function dieWithNews(work: (app: DatabaseSync, keeper: Keeper) => unknown) {
    machine.overrides.copies = ['backup']
    await past(machine, 'WAL')
    await machine.liveAndDie(async (app, keeper) => {
      app.exec('PRAGMA wal_autocheckpoint=0')
      add(app, THREE)
      await keeper.backupDatabase()
      const same = () => fs.readFileSync(backup).equals(fs.readFileSync(machine.databasePath))
      await waitFor('the database file is its .backup', same)
      fs.cpSync(backup, saved, { preserveTimestamps: true })
      await work(app, keeper)
    })
    machine.overrides.copies = []
    // Newer copies were not written in time.
    fs.renameSync(saved, backup)
    expect(fs.readFileSync(backup).equals(fs.readFileSync(machine.databasePath))).toBe(true)
  }

  test('commits that were not stored are stored now', async () => {
    await dieWithNews((app) => add(app, FOUR))
    await expectAfterStart('kept-local', [ONE, TWO, THREE, FOUR])
  })

  test('commits that were stored are still there', async () => {
    await dieWithNews(async (app, keeper) => {
      add(app, FOUR)
      await keeper.flush()
    })
    await expectAfterStart('kept-local', [ONE, TWO, THREE, FOUR])
  })

  test('the state is lost: they are a branch at least', async () => {
    await dieWithNews((app) => add(app, FOUR))
    machine.wipeState()
    await expectAfterStart('diverged', [ONE, TWO, THREE], [[ONE, TWO, THREE, FOUR]])
  })

  test('more versions since the .backup than the state remembers', async () => {
    const many = Array.from({ length: 70 }, (_, index) => row(100 + index, 'one of many'))
    await dieWithNews(async (app, keeper) => {
      for (const one of many) {
        add(app, one)
        await keeper.flush()
      }
    })
    await expectAfterStart('kept-local', [ONE, TWO, THREE, ...many])
  })
})

describe('a database that crashed in the middle of a commit', () => {
  test('is rolled back by SQLite, and goes on', async () => {
    await past(machine)
    await machine.killInTransaction()
    await expectAfterStart('kept-local', [ONE, TWO])
  })

  test('and another machine went on: restored, and the set-aside file is whole with its journal', async () => {
    await past(machine)
    await machine.killInTransaction()
    await elsewhere(machine)
    await expectAfterStart('restored-from-log', [ONE, TWO, THREE])
    expect(machine.setAside()).toEqual([[ONE, TWO]])
  })
})

/** Overwrites the middle of every page but the first. */
function damage(path: string): void {
  const bytes = fs.readFileSync(path)
  for (let at = 4096; at < bytes.length; at += 4096) bytes.fill(0x5a, at, at + 2000)
  fs.writeFileSync(path, bytes)
}

describe('a damaged database', () => {
  test('is kept as a branch and on this disk, and head is restored', async () => {
    await past(machine)
    damage(machine.databasePath)
    const bytes = fs.readFileSync(machine.databasePath)
    const { action, branch } = await machine.live(() => undefined)
    expect(action).toBe('restored-from-log')
    expect(branch).not.toBeNull()
    expect(machine.rows()).toEqual([ONE, TWO])
    const kept = machine.asideFolders().map((aside) => fs.readFileSync(join(aside, 'family.db')))
    expect(kept.some((file) => file.equals(bytes))).toBe(true)
  })

  test('that is no database at all is kept on this disk', async () => {
    await past(machine)
    fs.writeFileSync(machine.databasePath, 'Dear diary')
    expect((await machine.live(() => undefined)).action).toBe('restored-from-log')
    expect(machine.rows()).toEqual([ONE, TWO])
    const [aside] = machine.asideFolders()
    expect(fs.readFileSync(join(aside as string, 'family.db'), 'utf8')).toBe('Dear diary')
  })

  test('without a version or a copy stops the start and stays as it is', async () => {
    await past(machine)
    fs.rmSync(machine.ledgerPath, { recursive: true })
    damage(machine.databasePath)
    const bytes = fs.readFileSync(machine.databasePath)
    await expect(machine.start()).rejects.toMatchObject({ code: 'DATABASE_UNREADABLE' })
    expect(fs.readFileSync(machine.databasePath).equals(bytes)).toBe(true)
    expect(await machine.headRows()).toBeUndefined()
  })

  test('with a .backup and no version is restored from it', async () => {
    await pastWithBackup('DELETE')
    fs.rmSync(machine.ledgerPath, { recursive: true })
    damage(machine.databasePath)
    await expectAfterStart('restored-from-backup', [ONE, TWO])
  })
})

describe('the JSON of the Python app', () => {
  const golden = join(import.meta.dirname, '../golden/python-app/familjekalender.db.json')

  test('is restored at the first start with ids and created_at, and set aside, never overwritten', async () => {
    const jsonPath = `${machine.databasePath}.json`
    fs.copyFileSync(golden, jsonPath)
    machine.overrides.copies = ['json', 'backup']
    const report = await machine.live(() => undefined)
    expect(report).toMatchObject({ action: 'restored-from-json', restored: true, from: jsonPath })
    const told = JSON.parse(fs.readFileSync(golden, 'utf8')) as {
      events: Array<{ id: number; created_at: string }>
    }
    const database = new DatabaseSync(machine.databasePath, { readOnly: true })
    const found = database.prepare('SELECT id, created_at FROM events ORDER BY id').all()
    database.close()
    const expected = told.events.map(({ id, created_at }) => ({ id, created_at })).sort((a, b) => a.id - b.id)
    expect(found.map((event) => ({ ...event }))).toEqual(expected)
    const aside = fs
      .readdirSync(machine.appFolder)
      .filter((name) => name.startsWith('family.db.json.before-'))
    expect(aside).toHaveLength(1)
    expect(fs.readFileSync(join(machine.appFolder, aside[0] as string)).equals(fs.readFileSync(golden))).toBe(
      true,
    )
    expect(JSON.parse(fs.readFileSync(jsonPath, 'utf8')).kvar).toBeDefined()
  })

  test('that cannot be read, and is all there is, stops the start and stays whole', async () => {
    const jsonPath = `${machine.databasePath}.json`
    fs.writeFileSync(jsonPath, fs.readFileSync(golden, 'utf8').slice(0, 5000))
    machine.overrides.copies = ['json']
    await expect(machine.live((app) => add(makeTable(app), ONE))).rejects.toMatchObject({
      code: 'JSON_INVALID',
    })
    expect(fs.readFileSync(jsonPath, 'utf8')).toHaveLength(5000)
    expect(fs.existsSync(machine.databasePath)).toBe(false)
  })

  test('a JSON of another lineage is set aside when ours is written', async () => {
    await past(machine)
    const jsonPath = `${machine.databasePath}.json`
    const foreign = JSON.stringify({
      backup_time: '2026-01-01T00:00:00Z',
      notes: [],
      kvar: { format: 1, lineage: '0123456789abcdef', version: 9, timestampMs: 0 },
    })
    fs.writeFileSync(jsonPath, foreign)
    machine.overrides.copies = ['json']
    await machine.live((app) => add(app, THREE))
    const aside = fs
      .readdirSync(machine.appFolder)
      .filter((name) => name.startsWith('family.db.json.before-'))
    expect(aside.map((name) => fs.readFileSync(join(machine.appFolder, name), 'utf8'))).toEqual([foreign])
  })
})

test('a database restored by hand, then lost, comes back as it was restored', async () => {
  await pastWithBackup('DELETE')
  await machine.live((app) => add(app, THREE))
  fs.copyFileSync(saved, backup)
  fs.copyFileSync(backup, machine.databasePath)
  await machine.live(() => undefined)
  machine.wipeDatabase()
  machine.wipeState()
  await expectAfterStart('restored-from-log', [ONE, TWO])
  expect(rowsOf(saved)).toEqual([ONE, TWO])
})

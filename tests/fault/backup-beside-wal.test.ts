/**
 * Goal: commits that are only in the WAL outlive a start that finds a `.backup` with the very bytes of
 * the database file, and so does what was stored when that WAL is lost. Equal bytes alone do not say
 * that somebody copied the `.backup` (the wipe loop met this: seed 7, round 85).
 * Method: a reader keeps the database file as it was when its `.backup` was made; more than the keeper's
 * memory of 64 versions are stored; the keeper is killed, and the folder as it then lies is started from.
 */
import * as fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { setTimeout as pause } from 'node:timers/promises'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { createPersistentDb, type DatabasePersistence } from '../../packages/kvar/src/index.ts'

const COMMITS = 80

let folder: string
let machine: string
let path: string
const open: Array<DatabaseSync | DatabasePersistence> = []

beforeEach(() => {
  folder = fs.mkdtempSync(join(tmpdir(), 'kvar-backup-wal-'))
  machine = join(folder, 'machine')
  fs.mkdirSync(machine)
  path = join(machine, 'notes.db')
})
afterEach(async () => {
  // The first keeper may have been fenced by the second; what it says of that is not the question here.
  for (const one of open.splice(0).reverse()) await Promise.resolve(one.close()).catch(() => undefined)
  fs.rmSync(folder, { recursive: true })
})

async function protect(databasePath: string): Promise<DatabasePersistence> {
  const targets = [`folder:${join(folder, 'target')}`]
  const options = { targets, copies: ['backup' as const], handleSignals: false }
  const persistence = await createPersistentDb(databasePath, options)
  open.push(persistence)
  return persistence
}

function connect(databasePath: string): DatabaseSync {
  const database = new DatabaseSync(databasePath)
  open.push(database)
  return database
}

/** The machine dies with commits in a WAL that has not been moved into the database since the `.backup`. */
async function dieWithCommitsInTheWal(): Promise<void> {
  const persistence = await protect(path)
  const database = connect(path)
  database.exec('PRAGMA journal_mode=WAL; CREATE TABLE notes(id INTEGER PRIMARY KEY)')
  await persistence.backupDatabase()
  while (!fs.readFileSync(path).equals(fs.readFileSync(`${path}.backup`))) await pause(50)
  fs.cpSync(`${path}.backup`, join(folder, 'kept.backup'), { preserveTimestamps: true })
  connect(path).exec('BEGIN; SELECT * FROM notes')
  for (let number = 0; number < COMMITS; number++) {
    database.exec('INSERT INTO notes DEFAULT VALUES')
    await persistence.flush()
  }
  const address = fs.readFileSync(join(machine, '.notes.db-kvar/keeper.json'), 'utf8')
  process.kill((JSON.parse(address) as { processId: number }).processId, 'SIGKILL')
  fs.cpSync(machine, join(folder, 'next'), { recursive: true, preserveTimestamps: true })
  // The copier, which makes pauses, had not come round to a newer one.
  fs.cpSync(join(folder, 'kept.backup'), join(folder, 'next/notes.db.backup'), { preserveTimestamps: true })
  fs.rmSync(join(folder, 'next/notes.db-shm'), { force: true })
}

async function rowsAfterStart(): Promise<unknown> {
  await protect(join(folder, 'next/notes.db'))
  const database = connect(join(folder, 'next/notes.db'))
  return database.prepare('SELECT count(*) AS count FROM notes').get()?.count
}

test('the commits in the WAL are there', { retry: 0 }, async () => {
  await dieWithCommitsInTheWal()
  expect(await rowsAfterStart()).toBe(COMMITS)
})

test('without its WAL the database does not pass for a .backup that was put in place', {
  retry: 0,
}, async () => {
  await dieWithCommitsInTheWal()
  fs.rmSync(join(folder, 'next/notes.db-wal'))
  expect(await rowsAfterStart()).toBe(COMMITS)
})

/**
 * Goal: a writer that is killed after its frames reached the WAL and before SQLite's index of the WAL
 * names them has not committed: its frames must not be captured, and the commit that SQLite writes over
 * them must be. The kill loop met this (seed 1, round 8); the moment is too short to be met on purpose.
 * Method: frames that a twin of the database produces are written into the real WAL by hand, exactly as
 * a dying process leaves them. Then flush, restore from the target, and compare with what SQLite shows.
 */
import * as fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { createPersistentDb, type DatabasePersistence } from '../../packages/kvar/src/index.ts'
import { restoredFile } from './proof-restored-file.ts'

let folder: string
let path: string
let persistence: DatabasePersistence
let database: DatabaseSync

beforeEach(async () => {
  folder = fs.mkdtempSync(join(tmpdir(), 'kvar-dead-writer-'))
  path = join(folder, 'notes.db')
  persistence = await createPersistentDb(path, {
    targets: [`folder:${join(folder, 'target')}`],
    copies: [],
    handleSignals: false,
  })
  database = new DatabaseSync(path)
  database.exec(`PRAGMA journal_mode=WAL; PRAGMA wal_autocheckpoint=0;
    CREATE TABLE notes(id INTEGER PRIMARY KEY, text TEXT);
    INSERT INTO notes WITH RECURSIVE n(v) AS (SELECT 1 UNION ALL SELECT v + 1 FROM n WHERE v < 40) SELECT v, hex(zeroblob(900)) FROM n`)
})
afterEach(async () => {
  database.close()
  await persistence.close()
  fs.rmSync(folder, { recursive: true })
})

/** Leaves the frames of a transaction in the WAL without committing it. */
function dieWhileCommitting(sql: string): void {
  const wal = `${path}-wal`
  const twin = join(folder, 'twin.db')
  for (const suffix of ['', '-wal']) fs.copyFileSync(path + suffix, twin + suffix)
  const twinDatabase = new DatabaseSync(twin)
  twinDatabase.exec(`PRAGMA wal_autocheckpoint=0; ${sql}`)
  const bytes = fs.readFileSync(`${twin}-wal`)
  const file = fs.openSync(wal, 'r+')
  fs.writeSync(file, bytes, 0, bytes.length, 0)
  fs.closeSync(file)
  twinDatabase.close()
}

const rowsOf = (db: DatabaseSync) =>
  db.prepare('SELECT id, substr(text, 1, 20) AS text FROM notes ORDER BY id').all()

async function storedRows(): Promise<unknown> {
  await persistence.flush()
  const stored = new DatabaseSync(await restoredFile(join(folder, 'target'), join(folder, 'restored.db')))
  try {
    return rowsOf(stored)
  } finally {
    stored.close()
  }
}

test('what a dying writer left in the WAL is not captured', { retry: 0 }, async () => {
  await persistence.flush()
  dieWhileCommitting("UPDATE notes SET text = 'never committed'")
  expect(await storedRows()).toEqual(rowsOf(database))
})

test('a commit that SQLite writes over it is captured', { retry: 0 }, async () => {
  await persistence.flush()
  dieWhileCommitting("UPDATE notes SET text = 'never committed'")
  await persistence.flush()
  database.exec("UPDATE notes SET text = 'committed' WHERE id = 7")
  expect(await storedRows()).toEqual(rowsOf(database))
})

/**
 * Goal: a keeper cuts nothing before it has adopted the log, however short the interval: such a version
 * would bear a lineage that is not the log's, and the start would wait for it in vain (the kill loop met
 * this: seed 7, round 278).
 * Method: an interval far shorter than the adoption of an empty ledger, on a database that has content.
 */
import * as fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { createPersistentDb } from '../../packages/kvar/src/index.ts'

let folder: string
beforeEach(() => {
  folder = fs.mkdtempSync(join(tmpdir(), 'kvar-first-version-'))
})
afterEach(() => fs.rmSync(folder, { recursive: true }))

test.for(['wal', 'delete'])(
  'the first version waits for the log, in journal mode %s',
  async (journalMode) => {
    const path = join(folder, 'notes.db')
    const database = new DatabaseSync(path)
    database.exec(
      `PRAGMA journal_mode=${journalMode}; CREATE TABLE notes(text); INSERT INTO notes VALUES('a')`,
    )
    database.close()
    const targets = [`folder:${join(folder, 'target')}`]
    const options = { targets, copies: [], interval: '1ms', startTimeout: '5s', handleSignals: false }
    const persistence = await createPersistentDb(path, options)
    const { version, lineage } = await persistence.status()
    await persistence.close()
    const stored = JSON.parse(fs.readFileSync(join(folder, 'target/kvar/lineage.json'), 'utf8'))
    expect({ version, lineage }).toEqual({ version: 1, lineage: stored.lineage })
  },
)

/*
 * Goal: what the writers of a file are doing is seen without taking a lock.
 * Method: real SQLite connections of another process stand in every state a writer passes through; this
 * process only looks. (A connection of this process could not be used: our own closing would drop its locks.)
 */
import { type ChildProcess, fork } from 'node:child_process'
import * as fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { systemFileLocks } from './file-locks.ts'

const APP = join(import.meta.dirname, '../../../../tests/support/keeper-app.mjs')
const withoutLocks = fs.existsSync('/proc/locks') ? undefined : 'this system has no /proc/locks'

let folder: string
let app: ChildProcess
let inode: bigint
beforeEach(async () => {
  folder = fs.mkdtempSync(join(tmpdir(), 'kvar-locks-'))
  const path = join(folder, 'app.db')
  app = fork(APP, { execArgv: [] })
  await call('openPlain', { path, journalMode: 'delete' })
  await sql('CREATE TABLE note(body)')
  inode = fs.statSync(path, { bigint: true }).ino
})
afterEach(() => {
  app.kill('SIGKILL')
  fs.rmSync(folder, { recursive: true, force: true })
})

function call(verb: string, params: object): Promise<void> {
  return new Promise((resolve, reject) => {
    app.once('message', ({ error }: { error?: { message: string } }) =>
      error === undefined ? resolve() : reject(new Error(error.message)),
    )
    app.send({ id: 1, verb, params })
  })
}

const sql = (text: string) => call('sql', { text })

describe.skipIf(withoutLocks !== undefined)(`the state of a writer ${withoutLocks ?? ''}`, () => {
  it('is none when nobody, or only a reader, has the file', async () => {
    expect(systemFileLocks.writerState(inode)).toBe('none')
    await sql('BEGIN; SELECT * FROM note')
    expect(systemFileLocks.writerState(inode)).toBe('none')
  })

  it('is preparing while a transaction changes pages in memory only', async () => {
    await sql('BEGIN IMMEDIATE; INSERT INTO note VALUES (1)')
    expect(systemFileLocks.writerState(inode)).toBe('preparing')
    await sql('COMMIT')
    expect(systemFileLocks.writerState(inode)).toBe('none')
  })

  it('is writing from the moment a transaction may reach the file, committed or not', async () => {
    await sql('BEGIN EXCLUSIVE')
    expect(systemFileLocks.writerState(inode)).toBe('writing')
    await sql('ROLLBACK')
    await sql('PRAGMA cache_size=5; BEGIN')
    await sql('INSERT INTO note SELECT randomblob(9000) FROM (VALUES (1),(2),(3),(4),(5),(6),(7),(8))')
    expect(systemFileLocks.writerState(inode)).toBe('writing')
    await sql('ROLLBACK')
    expect(systemFileLocks.writerState(inode)).toBe('none')
  })

  it('of one file says nothing of another', async () => {
    await sql('BEGIN EXCLUSIVE')
    expect(systemFileLocks.writerState(inode + 1n)).toBe('none')
  })
})

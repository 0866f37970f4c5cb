/*
 * Goal: what capture hands over is the database, byte for byte, whatever the app does to it (R7).
 * Method: an app in a process of its own (tests/support/capture-app.mjs) writes, shrinks, vacuums,
 * rolls back and checkpoints while Capture looks at real files. The captured pages make a replica:
 * after every look its checksum must be the table's; now and then it is opened as a database, must
 * pass integrity_check and show whole transactions; in the end it must equal the file.
 */
import { type ChildProcess, fork, spawn } from 'node:child_process'
import * as fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { pathToFileURL } from 'node:url'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { lockPageNumber } from '../formats/database-header.ts'
import { addChecksum, pageChecksum } from '../formats/page-checksum.ts'
import { systemPlatform } from '../platform/system.ts'
import { Capture } from './capture.ts'

const APP = join(import.meta.dirname, '../../../../tests/support/capture-app.mjs')
const DRIVEN_APP = join(import.meta.dirname, '../../../../tests/support/keeper-app.mjs')
const LOOK_PAUSE_MS = 4
const CHECK_EVERY_MS = 250
const REST_AFTER_IDLE_LOOKS = 10

let folder: string
let database: string
let app: ChildProcess | undefined
let capture: Capture | undefined
beforeEach(() => {
  folder = fs.mkdtempSync(join(tmpdir(), 'kvar-capture-'))
  database = join(folder, 'app.db')
})
afterEach(() => {
  capture?.close()
  capture = undefined
  app?.kill('SIGKILL')
  app = undefined
  fs.rmSync(folder, { recursive: true, force: true })
})

/** Pages as they came out of capture, put together to a database. */
class Replica {
  readonly pages = new Map<number, Uint8Array>()
  pageCount = 0
  pageSize = 0
  states = 0
  pageSizes = new Set<number>()
  shrinkings = 0
  /** Every page was handed over, also those that SQLite never wrote. */
  complete = true

  /** Takes over what is pending; false when a page has moved on and must be looked at again. */
  take(from: Capture): boolean {
    const table = from.table
    if (table === undefined) return true
    if (table.pageSize !== this.pageSize) this.pages.clear()
    for (const pageNumber of from.pending.pageNumbers()) {
      const image = from.readPage(pageNumber)
      if (image === undefined) return false
      this.pages.set(pageNumber, image.slice())
    }
    from.pending.clear()
    if (table.pageCount < this.pageCount) this.shrinkings += 1
    this.pageSize = table.pageSize
    this.pageCount = table.pageCount
    for (const pageNumber of this.pages.keys()) if (pageNumber > this.pageCount) this.pages.delete(pageNumber)
    this.states += 1
    this.complete &&=
      this.pages.size === this.pageCount - (lockPageNumber(this.pageSize) <= this.pageCount ? 1 : 0)
    this.pageSizes.add(this.pageSize)
    return true
  }

  get databaseChecksum(): bigint {
    let sum = 0n
    for (const [pageNumber, image] of this.pages) sum = addChecksum(sum, pageChecksum(pageNumber, image))
    return sum
  }

  bytes(): Buffer {
    const bytes = Buffer.alloc(this.pageCount * this.pageSize)
    for (const [pageNumber, image] of this.pages) bytes.set(image, (pageNumber - 1) * this.pageSize)
    return bytes
  }
}

/** The replica has to be a sound database that shows whole transactions only. */
function expectCommittedState(replica: Replica): void {
  const path = join(folder, 'replica.db')
  fs.writeFileSync(path, replica.bytes())
  const opened = new DatabaseSync(`${pathToFileURL(path).href}?mode=ro&immutable=1`, { readOnly: true })
  try {
    expect(opened.prepare('PRAGMA integrity_check').get()).toEqual({ integrity_check: 'ok' })
    const tables = opened.prepare('SELECT count(*) AS n FROM sqlite_schema').get() as { n: number }
    if (tables.n < 2) return
    const told = opened.prepare('SELECT rows FROM tally').get() as { rows: number } | undefined
    const there = opened.prepare('SELECT count(*) AS rows FROM load').get() as { rows: number }
    if (told !== undefined) expect(told.rows).toBe(there.rows)
  } finally {
    opened.close()
  }
}

interface AppOptions {
  journalMode: 'wal' | 'delete' | 'truncate' | 'persist' | 'memory'
  seconds: number
  pauseMs: number
  pageSize?: number
  actions?: string[]
  ends?: 'killed' | 'closed'
}

interface AppCounts {
  commits: number
  locked: number
  slowestCheckpointMs: number
  busyCheckpoints: number
}

function startApp(options: AppOptions): { counts: () => AppCounts; ended: () => boolean } {
  const child = spawn(process.execPath, [APP, JSON.stringify({ path: database, ...options })], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  app = child
  let output = ''
  let ended = false
  child.stdout?.on('data', (text) => {
    output += text
  })
  child.once('close', () => {
    ended = true
  })
  return { counts: () => JSON.parse(output.trim().split('\n').at(-1) as string), ended: () => ended }
}

async function settle(watched: Capture, replica: Replica): Promise<void> {
  const until = Date.now() + 10_000
  for (;;) {
    const outcome = await watched.look()
    if (outcome.kind === 'complete' && replica.take(watched)) return
    if (Date.now() > until) throw new Error(`capture never came to an end: ${JSON.stringify(outcome)}`)
    await pause(10)
  }
}

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms))

async function follow(options: AppOptions, pendingBytes = 64 << 20) {
  const watched = new Capture({ path: database, platform: systemPlatform, pendingBytes })
  capture = watched
  const replica = new Replica()
  const running = startApp(options)
  let [idle, checkedAt, rests, largestWalBytes] = [0, 0, 0, 0]
  while (!running.ended()) {
    const before = watched.sequence
    const outcome = await watched.look()
    if (outcome.kind === 'complete' && watched.sequence !== before && replica.take(watched)) {
      idle = 0
      expect(replica.databaseChecksum).toBe(watched.table?.databaseChecksum)
      expect(replica.complete).toBe(true)
      if (Date.now() - checkedAt > CHECK_EVERY_MS) {
        expectCommittedState(replica)
        checkedAt = Date.now()
      }
    } else idle += 1
    if (idle > REST_AFTER_IDLE_LOOKS) rests += (await watched.rest()) === 'resting' ? 1 : 0
    largestWalBytes = Math.max(largestWalBytes, sizeOf(`${database}-wal`))
    await pause(LOOK_PAUSE_MS)
  }
  await settle(watched, replica)
  watched.close()
  capture = undefined
  expectCommittedState(replica)
  expectEqualsFile(replica)
  return { replica, counts: running.counts(), rests, largestWalBytes }
}

function sizeOf(path: string): number {
  return fs.statSync(path, { throwIfNoEntry: false })?.size ?? 0
}

function expectEqualsFile(replica: Replica): void {
  const opened = new DatabaseSync(database)
  opened.exec('PRAGMA wal_checkpoint(TRUNCATE)')
  opened.close()
  const file = fs.readFileSync(database)
  const made = replica.bytes()
  expect(made.length).toBe(file.length)
  const lockPage = lockPageNumber(replica.pageSize)
  const wrong = []
  for (let pageNumber = 1; pageNumber <= replica.pageCount; pageNumber++) {
    const [start, end] = [(pageNumber - 1) * replica.pageSize, pageNumber * replica.pageSize]
    if (pageNumber !== lockPage && !file.subarray(start, end).equals(made.subarray(start, end)))
      wrong.push(pageNumber)
  }
  expect(wrong).toEqual([])
}

describe('the captured pages are the database', { timeout: 60_000 }, () => {
  it('in WAL mode, an app that writes without pause', async () => {
    const { replica, counts } = await follow({ journalMode: 'wal', seconds: 2, pauseMs: 0 })
    expect(counts.commits).toBeGreaterThan(500)
    expect(replica.states).toBeGreaterThan(10)
    expect(counts.locked).toBe(0)
  })

  it('in WAL mode, a paced app with VACUUM, rolled back spills and checkpoints of its own', async () => {
    const actions = ['vacuum', 'rollback', 'checkpoint']
    const { counts } = await follow({ journalMode: 'wal', seconds: 2, pauseMs: 2, actions, ends: 'closed' })
    expect(counts.commits).toBeGreaterThan(100)
  })

  it('in WAL mode, without pause, with VACUUM, rolled back spills and checkpoints of its own', async () => {
    const actions = ['vacuum', 'rollback', 'checkpoint']
    const { counts } = await follow({ journalMode: 'wal', seconds: 2, pauseMs: 0, actions })
    expect(counts.commits).toBeGreaterThan(100)
  })

  for (const pageSize of [512, 65536]) {
    it(`in WAL mode with pages of ${pageSize} bytes that grow and shrink`, async () => {
      const actions = ['shrink', 'rollback']
      const { replica } = await follow({ journalMode: 'wal', seconds: 1.5, pauseMs: 1, pageSize, actions })
      expect([...replica.pageSizes]).toEqual([pageSize])
      expect(replica.shrinkings).toBeGreaterThan(0)
    })
  }

  it('in WAL mode beside a reader that holds an old snapshot, with little memory for changes', async () => {
    const actions = ['old-reader', 'shrink', 'checkpoint']
    const { replica } = await follow({ journalMode: 'wal', seconds: 2.5, pauseMs: 1, actions }, 64 * 1024)
    expect(replica.states).toBeGreaterThan(10)
  })

  for (const journalMode of ['delete', 'truncate', 'persist', 'memory'] as const) {
    it(`in journal mode ${journalMode}, with VACUUM, shrinking and rolled back spills`, async () => {
      const actions = ['vacuum', 'rollback', 'shrink']
      const { replica, counts } = await follow({ journalMode, seconds: 1.5, pauseMs: 8, actions })
      expect(counts.locked).toBe(0)
      expect(replica.states).toBeGreaterThan(5)
    })
  }

  it('in journal mode delete, an app that writes without pause: in the end at the latest', async () => {
    const { counts } = await follow({
      journalMode: 'delete',
      seconds: 1.5,
      pauseMs: 0,
      actions: ['rollback'],
    })
    expect(counts.locked).toBe(0)
  })

  for (const pageSize of [512, 65536]) {
    it(`in journal mode delete with pages of ${pageSize} bytes`, async () => {
      const actions = ['shrink']
      const { replica } = await follow({ journalMode: 'delete', seconds: 1, pauseMs: 8, pageSize, actions })
      expect([...replica.pageSizes]).toEqual([pageSize])
    })
  }

  it('when VACUUM changes the page size in rollback mode', async () => {
    const actions = ['page-size']
    const { replica } = await follow({ journalMode: 'delete', seconds: 2.5, pauseMs: 4, actions })
    expect(replica.pageSizes.size).toBeGreaterThan(1)
  })
})

describe('a comparison', { timeout: 30_000 }, () => {
  it('that a commit overtakes between two slices is no state: it is made again', async () => {
    const sql = await drivenApp()
    await sql('PRAGMA page_size=65536; CREATE TABLE load(id INTEGER PRIMARY KEY, body)')
    await sql('CREATE TABLE tally(rows INTEGER); INSERT INTO tally VALUES (0)')
    await sql(`WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 80)
      INSERT INTO load(body) SELECT zeroblob(60000) FROM n`)
    await sql('UPDATE tally SET rows = (SELECT count(*) FROM load)')
    let commits = 0
    const turn = async () => {
      if (commits++ > 1) return systemPlatform.clock.turn()
      await sql('BEGIN; INSERT INTO load(body) VALUES (1); UPDATE tally SET rows = rows + 1; COMMIT')
    }
    const platform = { ...systemPlatform, clock: { ...systemPlatform.clock, turn } }
    const watched = new Capture({ path: database, platform, pendingBytes: 64 << 20 })
    capture = watched
    expect((await watched.look()).kind).toBe('busy')
    expect(watched.consistent).toBe(false)
    const replica = new Replica()
    await settle(watched, replica)
    expectCommittedState(replica)
    watched.close()
    expectEqualsFile(replica)
  })

  it('bears a journal that is deleted between two glances at it', async () => {
    const sql = await drivenApp()
    await sql('CREATE TABLE load(id INTEGER PRIMARY KEY, body); CREATE TABLE tally(rows INTEGER)')
    await sql('INSERT INTO tally VALUES (0)')
    const journal = `${database}-journal`
    let glances = 0
    const statSync: typeof systemPlatform.files.statSync = (path) => {
      if (path !== journal || glances++ > 0) return systemPlatform.files.statSync(path)
      // There for a moment only: the commit that needed it is over before anybody opens it.
      return { ...systemPlatform.files.statSync(database), sizeBytes: 512 } as NonNullable<
        ReturnType<typeof statSync>
      >
    }
    const platform = { ...systemPlatform, files: { ...systemPlatform.files, statSync } }
    const watched = new Capture({ path: database, platform, pendingBytes: 64 << 20 })
    capture = watched
    expect((await watched.look()).kind).toBe('busy')
    const replica = new Replica()
    await settle(watched, replica)
    expectCommittedState(replica)
    expect(glances).toBeGreaterThan(1)
  })

  it('waits for the journal that a killed app left, and sees what was committed before it', async () => {
    const sql = await drivenApp()
    await sql('CREATE TABLE load(id INTEGER PRIMARY KEY, body); CREATE TABLE tally(rows INTEGER)')
    await sql('INSERT INTO tally VALUES (0); PRAGMA cache_size=5; BEGIN')
    await sql(`WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 300)
      INSERT INTO load(body) SELECT randomblob(900) FROM n`)
    const gone = new Promise((resolve) => app?.once('exit', resolve))
    app?.kill('SIGKILL')
    await gone
    expect(sizeOf(`${database}-journal`)).toBeGreaterThan(0)
    const watched = new Capture({ path: database, platform: systemPlatform, pendingBytes: 64 << 20 })
    capture = watched
    expect((await watched.look()).kind).toBe('busy')
    const replica = new Replica()
    await settle(watched, replica)
    expectCommittedState(replica)
    watched.close()
    expectEqualsFile(replica)
  })
})

/** A process that runs one statement after the other on the database. */
async function drivenApp(): Promise<(text: string) => Promise<void>> {
  const child = fork(DRIVEN_APP, { execArgv: [] })
  app = child
  const call = (verb: string, params: object) =>
    new Promise<void>((resolve, reject) => {
      child.once('message', ({ error }: { error?: { message: string } }) =>
        error === undefined ? resolve() : reject(new Error(error.message)),
      )
      child.send({ id: 1, verb, params })
    })
  await call('openPlain', { path: database, journalMode: 'delete' })
  return (text) => call('sql', { text })
}

describe('the beginning of a database', () => {
  for (const journalMode of ['wal', 'delete']) {
    it(`from no file over an empty one to the first page, in journal mode ${journalMode}`, async () => {
      const watched = new Capture({ path: database, platform: systemPlatform, pendingBytes: 1 << 20 })
      capture = watched
      expect(await watched.look()).toEqual({ kind: 'missing' })
      fs.writeFileSync(database, '')
      expect(await watched.look()).toEqual({ kind: 'missing' })
      const child = spawn(process.execPath, ['-e', oneTable(journalMode), database], { stdio: 'ignore' })
      await new Promise((resolve) => child.once('close', resolve))
      const replica = new Replica()
      await settle(watched, replica)
      expect(replica.pageCount).toBeGreaterThan(0)
      watched.close()
      expectEqualsFile(replica)
    })
  }
})

function oneTable(journalMode: string): string {
  return `const { DatabaseSync } = require('node:sqlite'); const d = new DatabaseSync(process.argv[1]);
    d.exec('PRAGMA journal_mode=${journalMode}; CREATE TABLE one(x)'); process.kill(process.pid, 'SIGKILL')`
}

/*
 * Goal: an unencrypted log of ours can be restored by Litestream itself, byte for byte, so that nobody
 * depends on this project to get their data back.
 * Method: real SQLite writes a database of several page sizes through growth, deletion, shrinking and
 * VACUUM; after each step the pages that differ are written with our encoder as a folder log; the real
 * Litestream code (npm `litestream-vfs`, in a child process) restores it. Two of our compacted files
 * stand on higher levels, so that Litestream plans with them too.
 */
import { execFile } from 'node:child_process'
import * as fs from 'node:fs/promises'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { promisify } from 'node:util'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { parseDatabaseHeader } from '../../packages/kvar/src/formats/database-header.ts'
import { ltxName } from '../../packages/kvar/src/formats/ltx.ts'
import { compactLtx } from '../../packages/kvar/src/formats/ltx-compact.ts'
import { encodeLtx } from '../../packages/kvar/src/formats/ltx-encoder.ts'
import { addChecksum, pageChecksum } from '../../packages/kvar/src/formats/page-checksum.ts'

const HYDRATION_TIMEOUT_MS = 20_000
const FIRST_TIME_MS = Date.UTC(2026, 10, 23, 8)
const missing = whyMissing()
const title = missing === undefined ? '' : ` (left out: ${missing})`

let folder: string
beforeEach(async () => {
  folder = await fs.mkdtemp(join(tmpdir(), 'kvar-litestream-'))
})
afterEach(() => fs.rm(folder, { recursive: true, force: true }))

describe(`Litestream restores our log${title}`, () => {
  for (const pageSize of [512, 1024, 4096, 65536]) {
    it.skipIf(missing !== undefined)(`with pages of ${pageSize} bytes`, { timeout: 60_000 }, async () => {
      const history = await writeHistory(pageSize)
      await expectHydration(history.last)
    })
  }

  it.skipIf(missing !== undefined)(
    'with a snapshot on level 9, a range on level 1 and only the newest deltas',
    {
      timeout: 60_000,
    },
    async () => {
      const { last, files } = await writeHistory(4096)
      await writeCompacted(9, files.slice(0, 2), 1, 2)
      await writeCompacted(1, files.slice(2, 4), 3, 4)
      for (let version = 1; version <= 4; version++) await fs.rm(levelPath(0, version, version))
      await expectHydration(last)
    },
  )

  it.skipIf(missing !== undefined)(
    'and this test would notice a wrong page',
    { timeout: 60_000 },
    async () => {
      const { last } = await writeHistory(1024)
      const wrong = Buffer.from(last)
      wrong.writeUInt8(wrong.readUInt8(1024 + 500) ^ 1, 1024 + 500)
      await expect(expectHydration(wrong)).rejects.toThrow(/differs/)
    },
  )
})

describe(`Litestream checks what we write${title}`, () => {
  it.skipIf(missing !== undefined)(
    'and refuses a file whose checksum is wrong',
    { timeout: 60_000 },
    async () => {
      const { last, files } = await writeHistory(4096)
      const wrong = Buffer.from(files[2] as Uint8Array)
      wrong.writeUInt8(wrong.readUInt8(wrong.length - 1) ^ 1, wrong.length - 1)
      await writeFile(levelPath(0, 3, 3), wrong)
      await expect(expectHydration(last)).rejects.toThrow(/checksum/)
    },
  )
})

const STEPS: Array<[string, (database: DatabaseSync) => void]> = [
  ['a table', (db) => db.exec('CREATE TABLE note (id INTEGER PRIMARY KEY, body)')],
  ['growth', (db) => insert(db, 400)],
  ['updates', (db) => db.exec("UPDATE note SET body = body || ' again' WHERE id % 7 = 0")],
  ['deletion', (db) => db.exec('DELETE FROM note WHERE id > 60')],
  ['shrinking by VACUUM', (db) => db.exec('VACUUM')],
  ['growth again', (db) => insert(db, 300)],
  ['an index', (db) => db.exec('CREATE INDEX by_body ON note (body)')],
]

function insert(database: DatabaseSync, count: number): void {
  const add = database.prepare('INSERT INTO note (body) VALUES (?)')
  database.exec('BEGIN')
  for (let i = 0; i < count; i++) add.run(`Grandma's birthday number ${i} `.repeat((i % 9) + 1))
  database.exec('COMMIT')
}

/** Plays the steps on a real database and writes one version for each, the first with all pages. */
async function writeHistory(pageSize: number): Promise<{ last: Buffer; files: Uint8Array[] }> {
  const path = join(folder, 'app.db')
  const database = new DatabaseSync(path)
  database.exec(`PRAGMA page_size = ${pageSize}`)
  const files: Uint8Array[] = []
  let last = Buffer.alloc(0)
  for (const [, step] of STEPS) {
    step(database)
    const content = await fs.readFile(path)
    files.push(await writeVersion(files.length + 1, pageSize, last, content))
    last = content
  }
  database.close()
  return { last, files }
}

async function writeVersion(
  version: number,
  pageSize: number,
  before: Buffer,
  after: Buffer,
): Promise<Uint8Array> {
  const pageCount = after.length / pageSize
  expect(parseDatabaseHeader(after)?.pageCount).toBe(pageCount)
  const changed: Array<[number, Uint8Array]> = []
  let databaseChecksum = 0n
  for (let pageNumber = 1; pageNumber <= pageCount; pageNumber++) {
    const [start, end] = [(pageNumber - 1) * pageSize, pageNumber * pageSize]
    const page = after.subarray(start, end)
    databaseChecksum = addChecksum(databaseChecksum, pageChecksum(pageNumber, page))
    if (!page.equals(before.subarray(start, end))) changed.push([pageNumber, page])
  }
  const bytes = encodeLtx(
    {
      pageSize,
      pageCount,
      minVersion: version,
      maxVersion: version,
      timestampMs: FIRST_TIME_MS + version * 1000,
      nodeId: 0x1234_5678_9abc_def0n,
      databaseChecksum,
      lineage: 77n,
    },
    changed,
  )
  await writeFile(levelPath(0, version, version), bytes)
  return bytes
}

async function writeCompacted(level: number, files: Uint8Array[], min: number, max: number): Promise<void> {
  const inputs = files.map((bytes, index) => ({ name: `input ${index}`, open: () => [bytes] }))
  const chunks: Uint8Array[] = []
  for await (const chunk of compactLtx(inputs)) chunks.push(chunk)
  await writeFile(levelPath(level, min, max), Buffer.concat(chunks))
}

function levelPath(level: number, min: number, max: number): string {
  return join(folder, 'log', 'ltx', String(level), ltxName(min, max))
}

async function writeFile(path: string, bytes: Uint8Array): Promise<void> {
  await fs.mkdir(join(path, '..'), { recursive: true })
  await fs.writeFile(path, bytes)
}

async function expectHydration(expected: Buffer): Promise<void> {
  const out = join(folder, 'out.db')
  const logFile = join(folder, 'litestream.log')
  const child = join(import.meta.dirname, 'litestream-hydrate.mjs')
  await promisify(execFile)(process.execPath, [child, logFile, String(HYDRATION_TIMEOUT_MS)], {
    env: {
      PATH: process.env.PATH,
      LITESTREAM_REPLICA_URL: `file://${join(folder, 'log')}`,
      LITESTREAM_LOG_FILE: logFile,
      LITESTREAM_LOG_LEVEL: 'DEBUG',
      LITESTREAM_HYDRATION_ENABLED: 'true',
      LITESTREAM_HYDRATION_PATH: out,
    },
  })
  const restored = await fs.readFile(out)
  if (!restored.equals(expected)) throw new Error('what Litestream restored differs from the database')
}

function whyMissing(): string | undefined {
  try {
    createRequire(import.meta.url)('litestream-vfs').getLoadablePath()
    return undefined
  } catch (thrown) {
    return thrown instanceof Error ? (thrown.message.split('\n')[0] ?? '') : String(thrown)
  }
}

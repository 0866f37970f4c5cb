/*
 * Goal: a restore by many threads gives what a restore by one gives: the same bytes, checksums and
 * errors, and nothing is left behind when it is cut off.
 * Method: a log with a large first version and a large delta that changes, adds and drops pages; both
 * ways from the same files, whole and with single bits flipped (seeded).
 */
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import type { KvarError } from '../errors.ts'
import type { LtxHeader } from '../formats/ltx.ts'
import { encodeLtx } from '../formats/ltx-encoder.ts'
import { addChecksum, pageChecksum } from '../formats/page-checksum.ts'
import type { Crews } from '../platform/crew.ts'
import type { Platform } from '../platform/platform.ts'
import { systemPlatform } from '../platform/system.ts'
import { createFolderTarget } from '../targets/folder/folder-target.ts'
import { startPageCrew } from './page-crew.ts'
import { checksumImage } from './page-source.ts'
import { type RestoredImage, restoreToFile } from './restore.ts'
import { VersionLog } from './version-log.ts'

const PAGE_SIZE = 4096
const FIRST_PAGES = 1500
const LATER_PAGES = 1400
const alone: Platform = { ...systemPlatform, crews: undefined }
const many: Platform = {
  ...systemPlatform,
  crews: { ...(systemPlatform.crews as Crews), worthwhileBytes: 0 },
}

let folder: string
let log: VersionLog
let pages: Map<number, Uint8Array>
/** The log's files as they were stored. */
const stored = new Map<string, Buffer>()

/** Half noise, half repetition, so that blocks have every form; the same in each run. */
function page(seed: number): Uint8Array {
  let state = seed
  return new Uint8Array(PAGE_SIZE).map((_, i) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0
    return i % 512 < 256 ? state >>> 24 : seed & 0xff
  })
}

function sumOf(some: Map<number, Uint8Array>): bigint {
  let sum = 0n
  for (const [pageNumber, image] of some) sum = addChecksum(sum, pageChecksum(pageNumber, image))
  return sum
}

function header(version: number, pageCount: number): LtxHeader {
  const versions = { minVersion: version, maxVersion: version, timestampMs: 1_790_000_000_000 + version }
  return {
    pageSize: PAGE_SIZE,
    pageCount,
    ...versions,
    nodeId: 1n,
    lineage: 2n,
    databaseChecksum: sumOf(pages),
  }
}

const fileOf = (version: number) =>
  join(folder, `target/ltx/0/${String(version).padStart(16, '0')}-${String(version).padStart(16, '0')}.ltx`)

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'kvar-crew-'))
  const target = await createFolderTarget({ path: join(folder, 'target'), platform: systemPlatform })
  log = new VersionLog(target)
  pages = new Map(Array.from({ length: FIRST_PAGES }, (_, i) => [i + 1, page(i + 1)]))
  await log.append(1, encodeLtx(header(1, FIRST_PAGES), pages), 1_790_000_000_001)
  const changed = new Map<number, Uint8Array>()
  for (let pageNumber = 1; pageNumber <= LATER_PAGES; pageNumber += 1 + (pageNumber % 3))
    changed.set(pageNumber, page(pageNumber + 77_777))
  for (const [pageNumber, image] of changed) pages.set(pageNumber, image)
  for (let pageNumber = LATER_PAGES + 1; pageNumber <= FIRST_PAGES; pageNumber++) pages.delete(pageNumber)
  await log.append(2, encodeLtx(header(2, LATER_PAGES), changed), 1_790_000_000_002)
  for (const version of [1, 2]) stored.set(fileOf(version), readFileSync(fileOf(version)))
})
afterEach(() => {
  for (const [path, bytes] of stored) writeFileSync(path, bytes)
  for (const name of readdirSync(folder)) if (name !== 'target') rmSync(join(folder, name))
})
afterAll(async () => {
  await log.target.close()
  rmSync(folder, { recursive: true, force: true })
})

async function restoreBy(platform: Platform, name: string, signal?: AbortSignal): Promise<RestoredImage> {
  const plan = await log.plan({ kind: 'latest' })
  return restoreToFile({ log, plan, path: join(folder, name), platform, ...(signal ? { signal } : {}) })
}

const errorOf = (work: Promise<unknown>) =>
  work.then(
    () => undefined,
    (thrown: KvarError) => ({ code: thrown.code, message: thrown.message }),
  )

describe('a restore by many threads', { timeout: 90_000 }, () => {
  it('gives the same file and the same checksums as one thread', async () => {
    const [one, two] = [await restoreBy(alone, 'one.db'), await restoreBy(many, 'two.db')]
    const expected = Buffer.concat([...pages].sort(([a], [b]) => a - b).map(([, image]) => image))
    expect(readFileSync(join(folder, 'two.db')).equals(expected)).toBe(true)
    expect(readFileSync(join(folder, 'one.db')).equals(expected)).toBe(true)
    expect(two).toEqual(one)
  })

  it('finds every flipped bit that one thread finds', async () => {
    for (const version of [1, 2]) {
      const whole = readFileSync(fileOf(version))
      for (let round = 0; round < 4; round++) {
        const bytes = Buffer.from(whole)
        const at = (round * 2_654_435_761) % bytes.length
        bytes[at] = (bytes[at] as number) ^ (1 << (round % 8))
        writeFileSync(fileOf(version), bytes)
        const told = await errorOf(restoreBy(alone, 'one.db'))
        expect(told?.code, `bit of byte ${at}`).toMatch(/DAMAGED|FORMAT_TOO_NEW/)
        expect((await errorOf(restoreBy(many, 'two.db')))?.code).toBe(told?.code)
      }
      writeFileSync(fileOf(version), whole)
    }
  })

  it('names the page whose block cannot be inflated', async () => {
    const bytes = readFileSync(fileOf(1))
    // The first block: its first token asks for more literals than the block has.
    bytes.fill(255, 110, 160)
    writeFileSync(fileOf(1), bytes)
    const told = await errorOf(restoreBy(many, 'two.db'))
    expect(told).toMatchObject({ code: 'DAMAGED' })
    expect(told?.message).toMatch(/page 1 cannot be inflated/)
  })

  it('finds a page that did not reach the file', async () => {
    await restoreBy(many, 'two.db')
    const path = join(folder, 'two.db')
    const bytes = readFileSync(path)
    bytes.fill(0, 5 * PAGE_SIZE, 6 * PAGE_SIZE)
    writeFileSync(path, bytes)
    const crew = startPageCrew(many, 1)
    const sums = await checksumImage(
      { platform: many, path, pageSize: PAGE_SIZE, pageCount: LATER_PAGES },
      undefined,
      crew,
    )
    await crew?.close()
    expect(sums).toEqual(
      await checksumImage({ platform: alone, path, pageSize: PAGE_SIZE, pageCount: LATER_PAGES }),
    )
    expect(sums.databaseChecksum).not.toBe(sumOf(pages))
  })

  it('leaves nothing behind when it is cancelled', async () => {
    const stop = new AbortController()
    const restoring = restoreBy(many, 'two.db', stop.signal)
    stop.abort()
    expect(await errorOf(restoring)).toMatchObject({ code: 'CANCELLED' })
    expect(readdirSync(folder)).toEqual(['target'])
  })
})

it('threads are left out where the files are not the machine’s own', () => {
  expect(startPageCrew({ ...many, files: { ...systemPlatform.files } }, 1 << 30)).toBeUndefined()
})

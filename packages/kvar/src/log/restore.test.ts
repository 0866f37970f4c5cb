/*
 * Goal: any version of a log is restored byte for byte, or a clear error names the file and the
 * nearest good version; never an older state, never a half file.
 * Method: random histories whose pages are remembered, on a target in memory; each file of the log
 * removed and each kind of byte flipped; real SQLite databases for page sizes, VACUUM and growth.
 */
import * as fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { History, LINEAGE, seeded } from '../../../../tests/support/log-history.ts'
import { MemoryTarget } from '../../../../tests/support/memory-target.ts'
import { KvarError } from '../errors.ts'
import { compactLtx } from '../formats/ltx-compact.ts'
import { encodeLtx } from '../formats/ltx-encoder.ts'
import { addChecksum, pageChecksum } from '../formats/page-checksum.ts'
import { systemPlatform } from '../platform/system.ts'
import { fileKey, versionKey } from './log-layout.ts'
import { restoreToFile } from './restore.ts'
import type { RestoreWant } from './restore-plan.ts'
import { snapshotFromLog, storeSnapshot } from './snapshot.ts'
import { VersionLog } from './version-log.ts'

let folder = ''
beforeEach(() => {
  folder = fs.mkdtempSync(join(tmpdir(), 'kvar-restore-'))
})
afterEach(() => {
  fs.rmSync(folder, { recursive: true })
})

const scratch = () => join(folder, 'image')

async function storedHistory(history: History, target = new MemoryTarget()): Promise<VersionLog> {
  const log = new VersionLog(target)
  for (const cut of history.cuts) await log.append(cut.version, cut.bytes, cut.timestampMs)
  return log
}

/** Restores and answers the bytes; nothing is left in the folder. */
async function restored(log: VersionLog, want: RestoreWant, signal?: AbortSignal) {
  const plan = await log.plan(want)
  const passing = signal === undefined ? {} : { signal }
  const image = await restoreToFile({ log, plan, path: scratch(), platform: systemPlatform, ...passing })
  const bytes = new Uint8Array(fs.readFileSync(scratch()))
  fs.rmSync(scratch())
  return { image, bytes }
}

async function addRange(log: VersionLog, level: number, from: number, to: number): Promise<void> {
  const inputs = []
  for (let n = from; n <= to; n++) {
    const bytes = (await log.readVersion(n)) as Uint8Array
    inputs.push({ name: versionKey(log.target, n), open: () => [bytes] })
  }
  const chunks: Uint8Array[] = []
  for await (const chunk of compactLtx(inputs)) chunks.push(chunk)
  const key = fileKey(log.target, level, from, to)
  await log.target.create(key, Buffer.concat(chunks), {
    modifiedAtMs: (await log.readVersionInfo(to))?.timestampMs ?? 0,
  })
}

async function failure(work: Promise<unknown>): Promise<KvarError> {
  const thrown = await work.then(
    () => undefined,
    (error: unknown) => error,
  )
  expect(thrown).toBeInstanceOf(KvarError)
  return thrown as KvarError
}

describe('restoreToFile', () => {
  it('gives back every version of random histories, with snapshots and ranges or without', async () => {
    const rounds = fc.record({
      seed: fc.integer(),
      pageSize: fc.constantFrom(512, 1024, 4096),
      count: fc.integer({ min: 1, max: 12 }),
      snapshots: fc.array(fc.integer({ min: 1, max: 12 }), { maxLength: 2 }),
      range: fc.option(fc.tuple(fc.integer({ min: 1, max: 12 }), fc.integer({ min: 1, max: 4 }))),
    })
    await fc.assert(
      fc.asyncProperty(rounds, async ({ seed, pageSize, count, snapshots, range }) => {
        const history = new History({ seed, pageSize }).grow(count)
        const log = await storedHistory(history)
        for (const version of snapshots.filter((v) => v <= count)) {
          await storeSnapshot({ log, version, pages: history.pages(version) })
        }
        if (range !== null && range[0] + range[1] <= count)
          await addRange(log, 1, range[0], range[0] + range[1])
        for (let version = 1; version <= count; version++) {
          const { image, bytes } = await restored(log, { kind: 'version', version })
          expect(Buffer.compare(bytes, history.image(version))).toBe(0)
          expect(image.version).toBe(version)
          expect(image.timestampMs).toBe(history.cut(version).timestampMs)
          expect(image.databaseChecksum).toBe(history.cut(version).databaseChecksum)
          expect(image.pageChecksums.reduce(addChecksum, 0n)).toBe(image.databaseChecksum)
        }
        expect((await restored(log, { kind: 'latest' })).image.version).toBe(count)
      }),
      { numRuns: 60 },
    )
  })

  it('restores by time from the headers, whatever the target’s own times say', async () => {
    const history = new History({ seed: 4 }).grow(9)
    for (const keepsModifiedAt of [true, false]) {
      const log = await storedHistory(history, new MemoryTarget('m', { keepsModifiedAt }))
      const timeMs = history.cut(6).timestampMs
      expect((await log.plan({ kind: 'before', timeMs })).version).toBe(5)
      expect((await log.plan({ kind: 'before', timeMs: timeMs + 1 })).version).toBe(6)
      expect((await failure(log.plan({ kind: 'before', timeMs: history.cut(1).timestampMs }))).code).toBe(
        'NOT_FOUND',
      )
    }
  })

  it('reports progress up to all bytes, and many small files in order', async () => {
    const history = new History({ seed: 5 }).grow(40)
    const log = await storedHistory(history)
    const seen: number[] = []
    const plan = await log.plan({ kind: 'latest' })
    const onProgress = ({ bytesDone, bytesTotal }: { bytesDone: number; bytesTotal: number }) => {
      expect(bytesTotal).toBe(plan.totalBytes)
      seen.push(bytesDone)
    }
    const image = await restoreToFile({ log, plan, path: scratch(), platform: systemPlatform, onProgress })
    expect(seen.at(-1)).toBe(plan.totalBytes)
    expect([image.objectsRead, image.bytesRead]).toEqual([40, plan.totalBytes])
    expect(Buffer.compare(fs.readFileSync(scratch()), history.image(40))).toBe(0)
  })

  it('forces the image to the disk after the last write', async () => {
    const log = await storedHistory(new History({ seed: 15 }).grow(3))
    const steps: string[] = []
    const { files } = systemPlatform
    const openSync: typeof files.openSync = (path, mode) => {
      const file = files.openSync(path, mode)
      return {
        ...{ readSync: (buffer, offset) => file.readSync(buffer, offset), factsSync: () => file.factsSync() },
        ...{ syncSync: () => file.syncSync(), closeSync: () => file.closeSync() },
        writeSync(buffer, offset) {
          steps.push('write')
          file.writeSync(buffer, offset)
        },
        truncateSync(sizeBytes) {
          steps.push('truncate')
          file.truncateSync(sizeBytes)
        },
        sync() {
          steps.push('sync')
          return file.sync()
        },
      }
    }
    const platform = { ...systemPlatform, files: { ...files, openSync } }
    await restoreToFile({ log, plan: await log.plan({ kind: 'latest' }), path: scratch(), platform })
    expect(steps.slice(-2)).toEqual(['truncate', 'sync'])
  })

  it('is stopped by its signal and leaves nothing', async () => {
    const log = await storedHistory(new History({ seed: 6 }).grow(12))
    const controller = new AbortController()
    const target = log.target as MemoryTarget
    const plan = await log.plan({ kind: 'latest' })
    target.before = (call) => {
      if (call.key === versionKey(target, 9)) controller.abort()
    }
    const path = scratch()
    const { signal } = controller
    const error = await failure(restoreToFile({ log, plan, path, platform: systemPlatform, signal }))
    expect(error.code).toBe('CANCELLED')
    expect(fs.readdirSync(folder)).toEqual([])
  })
})

describe('a damaged log', () => {
  it('with one file removed: the exact version, or an error naming what is missing', async () => {
    const history = new History({ seed: 7 }).grow(10)
    const whole = await storedHistory(history)
    await storeSnapshot({ log: whole, version: 4, pages: history.pages(4) })
    await addRange(whole, 1, 6, 8)
    const target = whole.target as MemoryTarget
    for (const key of target.keys('ltx/')) {
      const broken = target.clone('broken')
      broken.objects.delete(key)
      const log = new VersionLog(broken)
      const isHead = key === versionKey(target, 10)
      for (let version = 1; version <= (isHead ? 9 : 10); version++) {
        const outcome = await restored(log, { kind: 'version', version }).catch((thrown: KvarError) => thrown)
        if (outcome instanceof KvarError) {
          expect(['LOG_BROKEN', 'NOT_FOUND']).toContain(outcome.code)
          expect(outcome.data.nearestVersion).toBeTypeOf('number')
        } else expect(Buffer.compare(outcome.bytes, history.image(version))).toBe(0)
      }
      const newest = await restored(log, { kind: 'latest' }).catch((thrown: KvarError) => thrown)
      // That the very newest file is gone cannot be seen here: only the keeper's own state tells.
      if (!isHead && !(newest instanceof KvarError)) expect(newest.image.version).toBe(10)
    }
  })

  it('with one bit flipped: the exact version another way, or an error naming the file and the nearest good version', async () => {
    const history = new History({ seed: 8 }).grow(8)
    const whole = await storedHistory(history)
    await storeSnapshot({ log: whole, version: 5, pages: history.pages(5) })
    await addRange(whole, 1, 6, 7)
    const target = whole.target as MemoryTarget
    const random = seeded(99)
    let [around, refused] = [0, 0]
    for (const key of target.keys('ltx/')) {
      for (let i = 0; i < 12; i++) {
        const broken = target.clone('broken')
        const bytes = broken.bytesOf(key)
        const bit = Math.floor(random() * bytes.length * 8)
        bytes[bit >> 3] = (bytes[bit >> 3] as number) ^ (1 << (bit & 7))
        const outcome = await restored(new VersionLog(broken), { kind: 'latest' }).catch(
          (thrown: KvarError) => thrown,
        )
        if (outcome instanceof KvarError) {
          refused++
          expect([outcome.code, outcome.data.key]).toEqual(['DAMAGED', key])
          expect(outcome.message).toContain(key)
          expect(outcome.data.nearestVersion).toBe(7)
        } else {
          expect(outcome.image.version).toBe(8)
          expect(Buffer.compare(outcome.bytes, history.image(8))).toBe(0)
          if (outcome.image.damagedKeys.length > 0) around++
        }
        expect(fs.readdirSync(folder)).toEqual([])
      }
    }
    expect(around).toBeGreaterThan(0)
    expect(refused).toBe(12)
  })

  it('does not believe a range that buries versions, however well formed', async () => {
    const history = new History({ seed: 9 }).grow(6)
    const other = new History({ seed: 10, from: new History({ seed: 9 }).grow(4) }).grow(2)
    const log = await storedHistory(history)
    await addRange(await storedHistory(other, new MemoryTarget('other')), 1, 5, 6)
    const wrong = await storedHistory(other, new MemoryTarget('wrong'))
    await addRange(wrong, 1, 5, 6)
    const key = fileKey(log.target, 1, 5, 6)
    await log.target.create(key, (wrong.target as MemoryTarget).bytesOf(key), { modifiedAtMs: 0 })
    const { image, bytes } = await restored(log, { kind: 'latest' })
    expect(Buffer.compare(bytes, history.image(6))).toBe(0)
    expect(image.damagedKeys).toEqual([key])
  })

  it('refuses a version whose pages are not what its header says', async () => {
    const history = new History({ seed: 11 }).grow(3)
    const log = await storedHistory(history)
    const lie = { ...history.cut(3), databaseChecksum: 77n }
    const page = new Uint8Array(512)
    const { timestampMs, nodeId, databaseChecksum } = lie
    const range = { minVersion: 4, maxVersion: 4, pageSize: 512, pageCount: history.image(3).length / 512 }
    await log.append(
      4,
      encodeLtx({ ...range, timestampMs: timestampMs + 1, nodeId, databaseChecksum }, [[1, page]]),
      0,
    )
    const error = await failure(restored(log, { kind: 'latest' }))
    expect([error.code, error.data.nearestVersion]).toEqual(['DAMAGED', 3])
    expect(error.message).toContain('does not match its own checksum')
  })

  it('refuses growth without the new pages: old content must not come back', async () => {
    const log = new VersionLog(new MemoryTarget())
    const page = (n: number) => [n, new Uint8Array(512).fill(n)] as const
    const header = (n: number, pageCount: number) => ({
      ...{ minVersion: n, maxVersion: n, pageSize: 512, pageCount, timestampMs: n, nodeId: 1n },
    })
    await log.append(1, encodeLtx(header(1, 4), [page(1), page(2), page(3), page(4)]), 1)
    await log.append(2, encodeLtx(header(2, 2), [page(1)]), 2)
    await log.append(3, encodeLtx(header(3, 4), [page(1), page(4)]), 3)
    const error = await failure(restored(log, { kind: 'latest' }))
    expect(error.message).toContain('grew by page 3')
    expect((await restored(log, { kind: 'version', version: 2 })).bytes.length).toBe(1024)

    await log.append(4, encodeLtx(header(4, 2), [page(1)]), 4)
    await log.append(5, encodeLtx(header(5, 4), [page(1), page(3)]), 5)
    ;(log.target as MemoryTarget).objects.delete(versionKey(log.target, 3))
    await log.append(3, encodeLtx(header(3, 2), [page(2)]), 3)
    expect((await failure(restored(log, { kind: 'latest' }))).message).toContain('grew by page 4')
  })

  it('refuses another page size without all pages', async () => {
    const log = new VersionLog(new MemoryTarget())
    const header = { pageCount: 3, nodeId: 1n }
    const pages = (size: number, ...numbers: number[]) =>
      numbers.map((n) => [n, new Uint8Array(size).fill(n)] as const)
    const at = (n: number) => ({ minVersion: n, maxVersion: n, timestampMs: n })
    await log.append(1, encodeLtx({ ...header, ...at(1), pageSize: 512 }, pages(512, 1, 2, 3)), 1)
    await log.append(2, encodeLtx({ ...header, ...at(2), pageSize: 1024 }, pages(1024, 1, 3)), 2)
    expect((await failure(restored(log, { kind: 'latest' }))).message).toContain('grew by page 2')
  })

  it('plans anew when files vanish meanwhile, and gives up when they always do', async () => {
    const history = new History({ seed: 12 }).grow(9)
    const log = await storedHistory(history)
    const target = log.target as MemoryTarget
    const old = await log.plan({ kind: 'version', version: 9 })
    await storeSnapshot({ log, version: 8, pages: history.pages(8) })
    for (let n = 1; n < 8; n++) target.objects.delete(versionKey(target, n))
    const image = await restoreToFile({ log, plan: old, path: scratch(), platform: systemPlatform })
    expect([image.version, image.objectsRead]).toEqual([9, 2])
    fs.rmSync(scratch())

    const plan = await log.plan({ kind: 'latest' })
    const head = target.objects.get(versionKey(target, 9))
    target.objects.delete(versionKey(target, 9))
    const error = await failure(restoreToFile({ log, plan, path: scratch(), platform: systemPlatform }))
    expect([error.code, error.data.key, error.data.nearestVersion]).toEqual([
      'LOG_BROKEN',
      versionKey(target, 9),
      8,
    ])
    target.objects.set(versionKey(target, 9), head as NonNullable<typeof head>)
    expect((await restored(log, { kind: 'latest' })).image.version).toBe(9)
  })
})

describe('real databases', () => {
  it('come back through growth, VACUUM, shrinking and another page size', async () => {
    const path = join(folder, 'app.db')
    const log = new VersionLog(new MemoryTarget())
    const images: Uint8Array[] = []
    let before: Uint8Array = new Uint8Array(0)
    const cut = async (sql: string) => {
      const database = new DatabaseSync(path)
      database.exec(sql)
      database.close()
      const image = new Uint8Array(fs.readFileSync(path))
      const version = images.push(image)
      await log.append(version, difference(before, image, version), version)
      before = image
    }
    await cut('PRAGMA page_size = 1024; CREATE TABLE t(id INTEGER PRIMARY KEY, x TEXT)')
    await cut(
      'WITH c(n) AS (VALUES(1) UNION ALL SELECT n+1 FROM c WHERE n < 500) INSERT INTO t(x) SELECT hex(zeroblob(100)) FROM c',
    )
    await cut('UPDATE t SET x = upper(x) || id WHERE id % 7 = 0')
    await cut('DELETE FROM t WHERE id > 40; VACUUM')
    await cut("INSERT INTO t(x) SELECT x || 'again' FROM t; INSERT INTO t(x) SELECT x FROM t")
    await cut('PRAGMA page_size = 4096; VACUUM')
    await cut("INSERT INTO t(x) SELECT x || 'more' FROM t")
    for (const [i, image] of images.entries()) {
      const { bytes } = await restored(log, { kind: 'version', version: i + 1 })
      expect(Buffer.compare(bytes, image)).toBe(0)
    }
    await snapshotFromLog({ log, version: 7, platform: systemPlatform, scratchPath: scratch() })
    expect(fs.readdirSync(folder)).toEqual(['app.db'])
    const { image, bytes } = await restored(log, { kind: 'latest' })
    expect([image.objectsRead, image.pageSize]).toEqual([1, 4096])
    expect(Buffer.compare(bytes, images[6] as Uint8Array)).toBe(0)
  })
})

/** What capture does by comparison: the pages that differ, all of them after a change of the page size. */
function difference(before: Uint8Array, after: Uint8Array, version: number): Uint8Array {
  const view = new DataView(after.buffer)
  const pageSize = view.getUint16(16)
  const resized = before.length > 0 && new DataView(before.buffer).getUint16(16) !== pageSize
  const pages: Array<readonly [number, Uint8Array]> = []
  let databaseChecksum = 0n
  for (let n = 1; n <= after.length / pageSize; n++) {
    const [from, to] = [(n - 1) * pageSize, n * pageSize]
    const page = after.slice(from, to)
    databaseChecksum = addChecksum(databaseChecksum, pageChecksum(n, page))
    if (resized || to > before.length || Buffer.compare(page, before.subarray(from, to)) !== 0)
      pages.push([n, page])
  }
  const range = { minVersion: version, maxVersion: version, timestampMs: version }
  const pageCount = after.length / pageSize
  return encodeLtx({ ...range, pageSize, pageCount, databaseChecksum, lineage: LINEAGE, nodeId: 1n }, pages)
}

/*
 * Goal: retention never takes a version that `keep` promises, whatever the clock says and wherever it dies;
 * what it leaves is a whole log, and it does become small.
 * Method: random histories with gaps, bursts and wrong clocks are appended to a target in memory, with
 * compaction and removal in between; then every version is restored from what is left and compared. What is
 * promised is worked out here from true times, in another way than in the product. Death at every call.
 */
import * as fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { dieAt, MemoryTarget, revive } from '../../../../tests/support/memory-target.ts'
import { promisedByDate } from '../../../../tests/support/promised-by-date.ts'
import { TimedHistory } from '../../../../tests/support/timed-history.ts'
import { KvarError } from '../errors.ts'
import { decodeLtx } from '../formats/ltx-decoder.ts'
import { systemPlatform } from '../platform/system.ts'
import { DEFAULT_KEEP, type KeepSettings } from '../settings/keeper-settings.ts'
import { fileKey, type LogFile } from './log-layout.ts'
import { restoreToFile } from './restore.ts'
import { planRestore } from './restore-plan.ts'
import { RETENTION_LIMITS } from './retain-plan.ts'
import { Retention } from './retention.ts'
import { NAMED_PREFIX } from './retention-files.ts'
import { VersionLog } from './version-log.ts'

const HOUR = 3_600_000
const DAY = 24 * HOUR
const BEGIN = Date.UTC(2026, 9, 20, 6, 30)

let folder = ''
beforeEach(() => {
  folder = fs.mkdtempSync(join(tmpdir(), 'kvar-retention-'))
})
afterEach(() => {
  fs.rmSync(folder, { recursive: true })
})

/** The floor under all numbers is set low, so that it does not stand in for what is tested. */
const LIMITS = { ...RETENTION_LIMITS, newestVersions: 5 }

function retentionOf(log: VersionLog, keep: KeepSettings, limits = LIMITS): Retention {
  const platform = systemPlatform
  return new Retention({ log, keep, platform, limits, scratchPath: join(folder, 'scratch') })
}

async function tidy(retention: Retention, head: number): Promise<void> {
  while (await retention.compactNext(head));
  await retention.removeDue(head, { graceMs: 0 })
}

/** The version's pages from what is left, put together here; the plan is the product's. */
function pagesOf(target: MemoryTarget, files: LogFile[], version: number): Uint8Array {
  const pages = new Map<number, Uint8Array>()
  let [pageSize, pageCount] = [0, 0]
  for (const { key, minVersion } of planRestore(files, { kind: 'version', version }).files) {
    const decoded = decodeLtx(target.bytesOf(key), key)
    if (minVersion === 1) pages.clear()
    ;({ pageSize, pageCount } = decoded.header)
    for (const [n, page] of decoded.pages) pages.set(n, page)
    for (const n of pages.keys()) if (n > pageCount) pages.delete(n)
  }
  const image = new Uint8Array(pageCount * pageSize)
  for (const [n, page] of pages) image.set(page, (n - 1) * pageSize)
  return image
}

/** The same by the product itself, on a disk. */
async function restored(log: VersionLog, version: number): Promise<Uint8Array> {
  const path = join(folder, 'image')
  const plan = await log.plan({ kind: 'version', version })
  await restoreToFile({ log, plan, path, platform: systemPlatform })
  const bytes = new Uint8Array(fs.readFileSync(path))
  fs.rmSync(path)
  return bytes
}

/** Every promised version is there, and every other one is what it was, or is said to be gone. */
async function expectKept(history: TimedHistory, log: VersionLog, promised: Iterable<number>): Promise<void> {
  const must = new Set(promised)
  const files = await log.listFiles()
  for (let version = 1; version <= history.head; version++) {
    try {
      const got = pagesOf(log.target as MemoryTarget, files, version)
      expect(Buffer.compare(got, history.images[version - 1] as Uint8Array), `version ${version}`).toBe(0)
    } catch (thrown) {
      if (!(thrown instanceof KvarError)) throw thrown
      expect(must.has(version), `version ${version} was promised: ${thrown.message}`).toBe(false)
      expect(thrown.code).toBe('NOT_FOUND')
      expect(thrown.message).toContain('no longer kept')
      expect(thrown.data.nearestVersion).toBeGreaterThanOrEqual(0)
    }
  }
  expect((await log.findHead())?.version).toBe(history.head)
  expectTakeover(files, history.head)
}

/** The rules of LTX.md by which Litestream can take over: 4, 5, 6 and 10. */
function expectTakeover(files: LogFile[], head: number): void {
  const own = new Set(files.filter((file) => file.level === 0).map((file) => file.maxVersion))
  const wholes = files.filter((file) => file.minVersion === 1).map((file) => file.maxVersion)
  const generation = [...new Set(wholes)].sort((a, b) => b - a)[1] ?? 0
  expect(wholes.length).toBeGreaterThan(0)
  expect(Math.max(...files.map((file) => file.maxVersion))).toBe(head)
  for (let version = generation + 1; version <= head; version++) expect(own).toContain(version)
}

const KEEPS: KeepSettings[] = [
  DEFAULT_KEEP,
  { all: '6h', hourly: '2d', daily: '10d', monthly: 'forever' },
  { all: '1h', hourly: '12h', daily: '3d', monthly: '90d' },
  { all: '10m', hourly: '1h', daily: '1h', monthly: '1h' },
  { all: '2d', hourly: '1d', daily: '20d', monthly: '1d' },
]

/** Gaps between changes: bursts, an evening, days away, months of silence. */
const gap = fc.oneof(
  { weight: 6, arbitrary: fc.integer({ min: 1, max: 20 * 60_000 }) },
  { weight: 4, arbitrary: fc.integer({ min: HOUR / 2, max: 9 * HOUR }) },
  { weight: 1, arbitrary: fc.integer({ min: DAY, max: 50 * DAY }) },
)

describe('retention', () => {
  it('keeps every version that keep promises, and no other content', { timeout: 120_000 }, async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer(),
        fc.array(gap, { minLength: 5, maxLength: 260 }),
        fc.constantFrom(...KEEPS),
        fc.integer({ min: 1, max: 40 }),
        async (seed, gaps, keep, every) => {
          const history = new TimedHistory(new MemoryTarget(), seed)
          let retention = retentionOf(history.log, keep)
          let nowMs = BEGIN
          for (const [i, gapMs] of gaps.entries()) {
            nowMs += gapMs
            await history.append(nowMs)
            if (i % every === every - 1) await tidy(retention, history.head)
            // A keeper that starts anew remembers nothing.
            if (i % 50 === 49) retention = retentionOf(history.log, keep)
          }
          await tidy(retention, history.head)
          await expectKept(history, history.log, promisedByDate(history.madeAtMs, nowMs, keep))
        },
      ),
      { numRuns: 60 },
    )
  })

  it('loses nothing of the last days to a clock that jumps once', { timeout: 120_000 }, async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer(),
        fc.array(fc.integer({ min: 60_000, max: 4 * HOUR }), { minLength: 40, maxLength: 150 }),
        fc.nat(150),
        fc.integer({ min: -20 * 365, max: 20 * 365 }),
        async (seed, gaps, jumpAt, jumpDays) => {
          const keep = { all: '3d', hourly: '3d', daily: '3d', monthly: '3d' }
          const history = new TimedHistory(new MemoryTarget(), seed)
          const retention = retentionOf(history.log, keep)
          let nowMs = BEGIN
          for (const [i, gapMs] of gaps.entries()) {
            nowMs += gapMs
            await history.append(nowMs, nowMs + (i >= jumpAt ? jumpDays * DAY + 5 * HOUR : 0))
            if (i % 10 === 9) await tidy(retention, history.head)
          }
          await tidy(retention, history.head)
          const youngest = history.madeAtMs.findIndex((ms) => nowMs - ms <= 3 * DAY)
          const promised = history.madeAtMs.map((_, i) => i + 1).slice(youngest)
          await expectKept(history, history.log, promised)
        },
      ),
      { numRuns: 20 },
    )
  })

  it('never empties a log, however often and far the clock jumps', { timeout: 120_000 }, async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.integer(),
        fc.array(fc.integer({ min: -30 * 365, max: 30 * 365 }), { minLength: 30, maxLength: 120 }),
        fc.boolean(),
        async (seed, jumps, isRacing) => {
          // A clock that only goes on, but by months at a time, makes every version look old at once.
          const offsets = isRacing ? [...jumps].sort((a, b) => a - b) : jumps
          const keep = { all: '1h', hourly: '1h', daily: '1h', monthly: '1h' }
          const history = new TimedHistory(new MemoryTarget(), seed)
          const limits = { ...LIMITS, newestVersions: 20 }
          const retention = retentionOf(history.log, keep, limits)
          for (const [i, days] of offsets.entries()) {
            await history.append(BEGIN + i * HOUR, BEGIN + Math.max(-56 * 365, days) * DAY + i * HOUR)
            await tidy(retention, history.head)
          }
          const floor = Array.from({ length: Math.min(20, history.head) }, (_, i) => history.head - i)
          await expectKept(history, history.log, floor)
          expect(
            (await history.log.listFiles()).filter((file) => file.minVersion === 1).length,
          ).toBeGreaterThan(0)
        },
      ),
      { numRuns: 15 },
    )
  })

  it('makes a log small, and the way to any kept version short', { timeout: 60_000 }, async () => {
    const { history, retention } = await months(3, 12)
    const files = await history.log.listFiles()
    // Of 1080 versions: ten days of all, a month of hours, then days.
    expect(files.length).toBeLessThan(720)
    const lengths = files.map(
      (file) => planRestore(files, { kind: 'version', version: file.maxVersion }).files.length,
    )
    expect(Math.max(...lengths)).toBeLessThanOrEqual(RETENTION_LIMITS.chainFiles + 5)
    expect(planRestore(files, { kind: 'latest' }).files.length).toBeLessThanOrEqual(5)
    expect(await retention.compactNext(history.head)).toBe(false)
    expect(await retention.removeDue(history.head, { graceMs: 0 })).toEqual([])
    await expectKept(history, history.log, promisedByDate(history.madeAtMs, END, DEFAULT_KEEP))
    for (const { maxVersion } of files.filter((_, i) => i % 60 === 0)) {
      const got = await restored(history.log, maxVersion)
      expect(Buffer.compare(got, history.images[maxVersion - 1] as Uint8Array)).toBe(0)
    }
  })

  it('dies at any call and leaves every promised version restorable', { timeout: 120_000 }, async () => {
    const keep = { all: '2h', hourly: '6h', daily: '5d', monthly: 'forever' }
    const target = new MemoryTarget()
    const history = new TimedHistory(target, 77)
    for (let i = 0; i < 44; i++) {
      await history.append(BEGIN + i * 97 * 60_000)
      if (i === 14 || i === 29) await tidy(retentionOf(history.log, keep), history.head)
    }
    const promised = promisedByDate(history.madeAtMs, history.madeAtMs[43] as number, keep)
    const verbs = new Set<string>()
    for (let call = 1, isOver = false; !isOver; call++) {
      for (const when of ['before', 'after'] as const) {
        const dying = target.clone(`dying-${call}-${when}`)
        const log = new VersionLog(dying)
        dieAt(call, when, dying)
        isOver = await tidy(retentionOf(log, keep), history.head).then(
          () => true,
          () => false,
        )
        verbs.add(dying.calls.at(-1)?.verb ?? '')
        revive(dying)
        await expectKept(history, log, promised)
        // The next life goes on from whatever is there.
        await tidy(retentionOf(log, keep), history.head)
        await expectKept(history, log, promised)
      }
    }
    expect(verbs).toEqual(new Set(['list', 'read', 'create', 'remove']))
  })

  it('removes in any part what it removes at once', { timeout: 60_000 }, async () => {
    const { history } = await months(1, 6, { removing: false })
    // Stricter than before: much is to be made first, and has not been.
    const keep = { all: '2d', hourly: '4d', daily: '1y', monthly: 'forever' }
    const plan = await retentionOf(history.log, keep).survey()
    const target = history.target as MemoryTarget
    expect(plan.remove.length).toBeGreaterThan(50)
    expect(plan.compact.length).toBeGreaterThan(10)
    await fc.assert(
      fc.asyncProperty(fc.oneof(fc.subarray(plan.remove), fc.constant(plan.remove)), async (part) => {
        const some = target.clone('part')
        for (const { file } of part) some.objects.delete(file.key)
        const files = await new VersionLog(some).listFiles()
        for (const version of plan.promised) planRestore(files, { kind: 'version', version })
        planRestore(files, { kind: 'latest' })
      }),
      { numRuns: 40 },
    )
  })

  it('waits before it removes, and asks again whose log it is', async () => {
    const { history, retention } = await months(1, 6, { removing: false })
    const before = (history.target as MemoryTarget).keys()
    expect(await retention.removeDue(history.head)).toEqual([])
    expect(retention.waiting()?.count).toBeGreaterThan(10)
    expect(retention.waiting()?.dueInMs).toBeGreaterThan(4 * 60_000)
    await history.append(END + HOUR)
    // Somebody else wrote the newest version: nothing is ours to remove.
    expect(await retention.removeDue(history.head - 1, { graceMs: 0 })).toEqual([])
    expect((history.target as MemoryTarget).keys().slice(0, before.length).length).toBe(before.length)
    expect((await retention.removeDue(history.head, { graceMs: 0 })).length).toBeGreaterThan(10)
  })

  it('keeps a named version for ever', async () => {
    const { history } = await months(1, 6, { removing: false })
    const named = 31
    const key = `${NAMED_PREFIX}${named.toString(16).padStart(16, '0')}`
    await history.target.create(key, new Uint8Array([1]), { modifiedAtMs: 1 })
    await tidy(
      retentionOf(history.log, { all: '1h', hourly: '1h', daily: '1h', monthly: '1h' }),
      history.head,
    )
    const got = await restored(history.log, named)
    expect(Buffer.compare(got, history.images[named - 1] as Uint8Array)).toBe(0)
    await expect(restored(history.log, named + 1)).rejects.toThrow('no longer kept')
  })

  it('makes no range across a change of the page size', { timeout: 60_000 }, async () => {
    const keep = { all: '1h', hourly: '1h', daily: '1y', monthly: 'forever' }
    const history = new TimedHistory(new MemoryTarget(), 99)
    const retention = retentionOf(history.log, keep)
    let [atMs, promised] = [BEGIN, new Set<number>()]
    for (let i = 0; i < 120; i++) {
      atMs += 2 * HOUR
      if (i === 40) history.changePageSize(1024)
      if (i === 90) history.changePageSize(512)
      await history.append(atMs)
      if (i % 7 === 6) await tidy(retention, history.head)
      // By a keeper that does not know yet where the page size changes.
      if (i % 30 === 29) await tidy(retentionOf(history.log, keep), history.head)
      promised = promisedByDate(history.madeAtMs, atMs, keep)
    }
    await tidy(retentionOf(history.log, keep), history.head)
    for (const version of [...promised].filter((one) => one % 3 === 0 || one > 100)) {
      const got = await restored(history.log, version)
      expect(Buffer.compare(got, history.images[version - 1] as Uint8Array), `version ${version}`).toBe(0)
    }
    expect((await history.log.listFiles()).length).toBeLessThan(60)
    expect(fs.readdirSync(folder)).toEqual([])
  })

  it('believes headers where a copied log lost the times of its files', async () => {
    const { history } = await months(1, 6, { removing: false })
    const target = history.target as MemoryTarget
    for (const stored of target.objects.values()) stored.modifiedAtMs = END
    // Days go by, so that the old files would all seem to be of one day that is past.
    for (let day = 1; day <= 14; day++) {
      END += DAY
      await history.append(END)
      await tidy(retentionOf(history.log, DEFAULT_KEEP), history.head)
    }
    await expectKept(history, history.log, promisedByDate(history.madeAtMs, END, DEFAULT_KEEP))
    const timeless = new MemoryTarget('timeless', { keepsModifiedAt: false })
    for (const [key, stored] of target.objects) timeless.objects.set(key, stored)
    await tidy(retentionOf(new VersionLog(timeless), DEFAULT_KEEP), history.head)
    await expectKept(history, new VersionLog(timeless), promisedByDate(history.madeAtMs, END, DEFAULT_KEEP))
  })

  it('removes nothing for the sake of a range that is damaged', async () => {
    const { history } = await months(1, 6, { removing: false })
    const target = history.target as MemoryTarget
    const retention = retentionOf(history.log, { all: '2d', hourly: '2d', daily: '1y', monthly: 'forever' })
    while (await retention.compactNext(history.head));
    const ranges = (await history.log.listFiles()).filter((file) => file.level === 1)
    for (const { key } of ranges) {
      const { bytes } = target.objects.get(key) as { bytes: Uint8Array }
      bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] as number) ^ 4
    }
    const before = target.keys()
    await expect(retention.removeDue(history.head, { graceMs: 0 })).rejects.toThrow(KvarError)
    expect(target.keys()).toEqual(before)
  })

  it('leaves a log with a gap as it is', async () => {
    const { history } = await months(1, 6, { removing: false, compacting: false })
    const target = history.target as MemoryTarget
    target.objects.delete(fileKey(target, 0, 40, 40))
    const before = target.keys()
    await expect(tidy(retentionOf(history.log, DEFAULT_KEEP), history.head)).rejects.toThrow(/gap/)
    expect(target.keys()).toEqual(before)
  })
})

let END = 0

/** Some months of a family's days, from 7 to 22 o'clock. */
async function months(
  count: number,
  perDay: number,
  options: { removing?: boolean; compacting?: boolean } = {},
): Promise<{ history: TimedHistory; retention: Retention }> {
  const history = new TimedHistory(new MemoryTarget(), 4242)
  const retention = retentionOf(history.log, DEFAULT_KEEP)
  for (let day = 0; day < count * 30; day++) {
    for (let i = 0; i < perDay; i++) {
      END = BEGIN + day * DAY + (i * 15 * HOUR) / perDay
      await history.append(END)
      if (options.compacting === false) continue
      while (await retention.compactNext(history.head));
    }
    if (options.removing !== false) await retention.removeDue(history.head, { graceMs: 0 })
  }
  return { history, retention }
}

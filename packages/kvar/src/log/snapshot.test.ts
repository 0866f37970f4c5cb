/*
 * Goal: snapshots and branches hold exactly the content they are named after, or are not stored;
 * one content makes one branch, whenever the process died while it was made.
 * Method: random histories on a target in memory; wrong pages, wrong versions, changing sources;
 * death at every call. The last test runs the whole way on a real folder.
 */
import * as fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { History, LINEAGE, START_MS } from '../../../../tests/support/log-history.ts'
import { dieAt, MemoryTarget, revive } from '../../../../tests/support/memory-target.ts'
import { unreachable } from '../errors.ts'
import { decodeLtx } from '../formats/ltx-decoder.ts'
import { systemPlatform } from '../platform/system.ts'
import { createFolderTarget } from '../targets/folder/folder-target.ts'
import type { Target } from '../targets/target.ts'
import { type BranchMeta, branchId, branchLog, createBranch, listBranches } from './branches.ts'
import { Follower } from './follower.ts'
import { Ledger } from './ledger.ts'
import { createLineage, lineageText } from './lineage.ts'
import { BRANCHES_PREFIX, branchMetaKey, fileKey } from './log-layout.ts'
import { imageSource } from './page-source.ts'
import { restoreToFile } from './restore.ts'
import { snapshotFromLog, storeSnapshot } from './snapshot.ts'
import { VersionLog } from './version-log.ts'

let folder = ''
beforeEach(() => {
  folder = fs.mkdtempSync(join(tmpdir(), 'kvar-snapshot-'))
})
afterEach(() => {
  fs.rmSync(folder, { recursive: true })
})

const code = (value: string) => expect.objectContaining({ code: value })
const meta: BranchMeta = {
  ...{ lineage: lineageText(LINEAGE), reason: 'diverged', baseVersion: 3 },
  ...{ createdAtMs: START_MS, nodeId: 8n, host: 'attic' },
}

async function append(history: History, target: Target): Promise<VersionLog> {
  const log = new VersionLog(target)
  const ledger = new Ledger(log, undefined)
  for (const cut of history.cuts) expect(await ledger.append(cut)).toEqual({ kind: 'stored' })
  return log
}

async function imageOf(log: VersionLog, version: number): Promise<Uint8Array> {
  const path = join(folder, 'image')
  await restoreToFile({
    log,
    plan: await log.plan({ kind: 'version', version }),
    path,
    platform: systemPlatform,
  })
  const bytes = new Uint8Array(fs.readFileSync(path))
  fs.rmSync(path)
  return bytes
}

describe('snapshots', () => {
  it('hold all pages under the version’s own facts', async () => {
    const history = new History({ seed: 1 }).grow(4)
    const log = await append(history, new MemoryTarget())
    expect(await storeSnapshot({ log, version: 3, pages: history.pages(3) })).toBe('created')
    expect(await storeSnapshot({ log, version: 3, pages: history.pages(3) })).toBe('exists')
    const key = fileKey(log.target, 9, 1, 3)
    const { header, pages } = decodeLtx((log.target as MemoryTarget).bytesOf(key), key)
    const { timestampMs, nodeId, databaseChecksum } = history.cut(3)
    expect(header).toMatchObject({
      minVersion: 1,
      maxVersion: 3,
      timestampMs,
      nodeId,
      databaseChecksum,
      lineage: LINEAGE,
    })
    expect(Buffer.compare(Buffer.concat([...pages.values()]), history.image(3))).toBe(0)
    expect((log.target as MemoryTarget).objects.get(key)?.modifiedAtMs).toBe(timestampMs)
  })

  it('are refused for other pages, for versions the target does not hold, and for pages that lie', async () => {
    const history = new History({ seed: 2 }).grow(4)
    const log = await append(history, new MemoryTarget())
    const keys = (log.target as MemoryTarget).keys()
    const [right, wrong] = [history.pages(3), history.pages(2)]
    await expect(storeSnapshot({ log, version: 3, pages: wrong })).rejects.toThrow(code('DAMAGED'))
    await expect(storeSnapshot({ log, version: 5, pages: right })).rejects.toThrow(code('NOT_FOUND'))
    const { databaseChecksum } = right
    const lying = {
      ...history.pages(4),
      databaseChecksum,
      pageCount: right.pageCount,
      pageSize: right.pageSize,
    }
    await expect(storeSnapshot({ log, version: 3, pages: lying })).rejects.toThrow()
    let opened = 0
    const changing = {
      ...right,
      async *open() {
        const change = opened++ > 0
        for await (const [n, page] of right.open())
          yield [n, change ? page.map((byte) => byte ^ 1) : page] as const
      },
    }
    await expect(storeSnapshot({ log, version: 3, pages: changing })).rejects.toThrow(code('DAMAGED'))
    expect(opened).toBe(2)
    expect((log.target as MemoryTarget).keys()).toEqual(keys)
  })
})

describe('branches', () => {
  it('are small logs of their own, one for each content', async () => {
    const history = new History({ seed: 3 }).grow(5)
    const target = new MemoryTarget()
    const image = history.pages(4)
    const made = await createBranch({ target, image, meta })
    expect(made).toEqual({
      ...{
        format: 1,
        id: branchId(3, image.databaseChecksum),
        lineage: meta.lineage,
        reason: 'diverged',
        host: 'attic',
      },
      ...{
        createdAt: '2026-11-23T10:15:30.123Z',
        keepUntil: '2027-02-21T10:15:30.123Z',
        baseVersion: 3,
        headVersion: 1,
      },
      databaseChecksum: lineageText(image.databaseChecksum),
    })
    const keys = target.keys()
    const later = { ...meta, createdAtMs: START_MS + 5000, reason: 'replaced' }
    const unread = { ...image, open: () => unreachable('a known branch is read again' as never) }
    expect(await createBranch({ target, image: unread, meta: later })).toEqual(made)
    expect(target.keys()).toEqual(keys)
    const second = await createBranch({ target, image: history.pages(5), meta })
    expect((await listBranches(target)).map(({ id }) => id).sort()).toEqual([made.id, second.id].sort())
    expect(Buffer.compare(await imageOf(branchLog(target, made.id), 1), history.image(4))).toBe(0)
    expect(await new VersionLog(target).findHead()).toBeUndefined()
  })

  it('are whole or unfinished wherever the process died, and finished by the next try', async () => {
    const history = new History({ seed: 4 }).grow(2)
    const image = history.pages(2)
    for (const when of ['before', 'after'] as const) {
      for (let k = 1, died = true; died; k++) {
        const target = new MemoryTarget()
        dieAt(k, when, target)
        died = await createBranch({ target, image, meta }).then(
          () => false,
          () => true,
        )
        revive(target)
        for (const { id } of await listBranches(target)) {
          expect(Buffer.compare(await imageOf(branchLog(target, id), 1), history.image(2))).toBe(0)
        }
        const later = { ...meta, createdAtMs: START_MS + k }
        await createBranch({ target, image, meta: later })
        expect((await listBranches(target)).length).toBe(1)
        expect(target.keys(BRANCHES_PREFIX).length).toBe(2)
      }
    }
  })

  it('are not made of pages that are not what they are said to be', async () => {
    const history = new History({ seed: 5 }).grow(2)
    const target = new MemoryTarget()
    const image = { ...history.pages(2), databaseChecksum: 5n }
    await expect(createBranch({ target, image, meta })).rejects.toThrow(code('DAMAGED'))
    expect(target.keys()).toEqual([])
  })

  it('say so when their description is damaged or too new', async () => {
    const id = branchId(1, 2n)
    for (const [text, expected] of [
      ['{', 'DAMAGED'],
      ['null', 'DAMAGED'],
      ['{"format":1}', 'DAMAGED'],
      ['{"format":9}', 'FORMAT_TOO_NEW'],
    ]) {
      const target = new MemoryTarget()
      await target.create(branchMetaKey(id), new TextEncoder().encode(text), { modifiedAtMs: 1 })
      await expect(listBranches(target)).rejects.toThrow(code(expected as string))
    }
  })
})

describe('images on disk', () => {
  it('are read around the lock page', async () => {
    const path = join(folder, 'sparse')
    // The lock page is number 16385; what somebody wrote there must not be seen.
    const [pageSize, pageCount] = [65536, 16386]
    const file = fs.openSync(path, 'w')
    for (const n of [1, 16385, 16386])
      fs.writeSync(file, Buffer.alloc(pageSize, n & 255), 0, pageSize, (n - 1) * pageSize)
    fs.closeSync(file)
    const image = { platform: systemPlatform, path, pageSize, pageCount }
    let [last, count] = [0, 0]
    for await (const [n, page] of imageSource({ ...image, databaseChecksum: 0n }).open()) {
      if (n <= last || page[0] !== (n === 1 || n === pageCount ? n & 255 : 0))
        throw new Error(`page ${n} after ${last}`)
      last = n
      count++
    }
    expect([last, count]).toEqual([16386, 16385])
  })
})

describe('on a folder', () => {
  it('the whole way: append, snapshot, follow, fall behind, set aside, restore by time', async () => {
    const open = (name: string) => createFolderTarget({ path: join(folder, name), platform: systemPlatform })
    const history = new History({ seed: 6 }).grow(12)
    const other = new History({ seed: 7, from: new History({ seed: 6 }).grow(2), nodeId: 66n }).grow(2)
    const [first, second] = [await open('first'), await open('second')]
    for (const target of [first, second])
      await createLineage(target, { lineage: meta.lineage, createdAtMs: START_MS })
    const log = await append(history, first)
    await append(other, second)
    const scratchPath = join(folder, 'scratch')
    await snapshotFromLog({ log, version: 9, platform: systemPlatform, scratchPath })
    const options = {
      ledgerLog: log,
      platform: systemPlatform,
      scratchPath,
      nodeId: 3n,
      limits: { catchUpVersions: 4 },
    }
    const follower = new Follower({ log: new VersionLog(second), ...options })
    const progress = await follower.catchUp(12, (n) => log.readVersion(n))
    expect(progress).toMatchObject({
      confirmed: 12,
      snapshot: true,
      branch: { baseVersion: 2, headVersion: 4 },
    })
    const branch = branchLog(second, progress.branch?.id ?? '')
    expect(Buffer.compare(await imageOf(branch, 4), other.image(4))).toBe(0)
    for (const target of [first, second]) {
      const reopened = new VersionLog(target)
      expect((await reopened.findHead())?.timestampMs).toBe(history.cut(12).timestampMs)
      expect(Buffer.compare(await imageOf(reopened, 12), history.image(12))).toBe(0)
      const before = await reopened.plan({ kind: 'before', timeMs: history.cut(2).timestampMs + 1 })
      expect(before.version).toBe(2)
      await target.close()
    }
    expect(fs.existsSync(scratchPath)).toBe(false)
  })
})

/*
 * Goal: a follower holds a prefix of the ledger's log; what it holds against it is kept as a branch
 * that can be restored by itself; a stranger's log is not touched.
 * Method: one situation a test, on targets in memory, with every version compared byte by byte.
 */
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { History, LINEAGE, START_MS } from '../../../../tests/support/log-history.ts'
import { MemoryTarget } from '../../../../tests/support/memory-target.ts'
import { code, expectHolds, folder, follow, imageOf, stored } from '../../../../tests/support/stored-logs.ts'
import { encodeLtx } from '../formats/ltx-encoder.ts'
import { systemPlatform } from '../platform/system.ts'
import { branchLog, listBranches } from './branches.ts'
import { Follower } from './follower.ts'
import { createLineage, lineageText, readLineage } from './lineage.ts'
import { LINEAGE_KEY, versionKey } from './log-layout.ts'
import { storeSnapshot } from './snapshot.ts'
import { VersionLog } from './version-log.ts'

const common = new History({ seed: 20 }).grow(4)
const ours = new History({ seed: 21, from: common, nodeId: 1n }).grow(3)
const theirs = new History({ seed: 22, from: common, nodeId: 2n }).grow(4)

describe('Follower', () => {
  it('receives versions in order from memory, and no more than the ledger confirmed', async () => {
    const history = new History({ seed: 1 }).grow(5)
    const ledger = await stored(history, 'ledger')
    const target = new MemoryTarget('follower')
    const ledgerLog = new VersionLog(ledger)
    const platform = systemPlatform
    const follower = new Follower({
      log: new VersionLog(target),
      ledgerLog,
      platform,
      scratchPath: join(folder, 's'),
      nodeId: 1n,
    })
    const asked: number[] = []
    const source = async (n: number) => {
      asked.push(n)
      return history.bytes(n)
    }
    expect(await follower.catchUp(3, source)).toMatchObject({
      confirmed: 3,
      copiedVersions: 3,
      snapshot: false,
    })
    expect([asked, follower.confirmed]).toEqual([[1, 2, 3], 3])
    const calls = target.calls.length
    expect(await follower.catchUp(4, source)).toMatchObject({ confirmed: 4, copiedVersions: 1 })
    expect(target.calls.length - calls).toBe(1)
    expect(await follower.catchUp(4, source)).toMatchObject({ confirmed: 4, copiedVersions: 0 })
    await expectHolds(target, history, 4)
    expect((await readLineage(target))?.lineage).toBe(lineageText(LINEAGE))
  })

  it('refuses the log of another database and changes nothing', async () => {
    const ledger = await stored(new History({ seed: 1 }).grow(3), 'ledger')
    const target = new MemoryTarget('follower')
    await createLineage(target, { lineage: lineageText(5n), createdAtMs: START_MS })
    const keys = target.keys()
    await expect(follow(target, ledger).catchUp(3)).rejects.toThrow(code('LINEAGE_MISMATCH'))
    expect(target.keys()).toEqual(keys)
  })

  it('knows a log without a lineage by its versions, and refuses a stranger’s', async () => {
    const history = new History({ seed: 2 }).grow(3)
    const ledger = await stored(history, 'ledger')
    const lost = await stored(history, 'follower', 2)
    lost.objects.delete(LINEAGE_KEY)
    expect(await follow(lost, ledger).catchUp(3)).toMatchObject({ confirmed: 3, branch: undefined })
    expect((await readLineage(lost))?.lineage).toBe(lineageText(LINEAGE))

    const stranger = new MemoryTarget('stranger')
    const page = [1, new Uint8Array(512)] as const
    const range = { minVersion: 1, maxVersion: 1, pageSize: 512, pageCount: 1, timestampMs: 1, nodeId: 0n }
    await stranger.create(versionKey(stranger, 1), encodeLtx(range, [page]), { modifiedAtMs: 1 })
    const keys = stranger.keys()
    await expect(follow(stranger, ledger).catchUp(3)).rejects.toThrow(code('LINEAGE_MISMATCH'))
    expect(stranger.keys()).toEqual(keys)
  })

  it('meets another version where it believed the place free, keeps it and goes on', async () => {
    const history = new History({ seed: 9 }).grow(5)
    const other = new History({ seed: 10, from: new History({ seed: 9 }).grow(3), nodeId: 9n }).grow(1)
    const ledger = await stored(history, 'ledger')
    const target = new MemoryTarget('follower')
    const { catchUp } = follow(target, ledger)
    await catchUp(3)
    await target.create(versionKey(target, 4), other.bytes(4), { modifiedAtMs: 1 })
    expect(await catchUp(5)).toMatchObject({ confirmed: 5, branch: { baseVersion: 3, headVersion: 4 } })
    await expectHolds(target, history, 5)
  })

  it('builds nothing on versions that the ledger no longer keeps', async () => {
    const history = new History({ seed: 11 }).grow(6)
    const other = new History({ seed: 12 }).grow(3)
    const ledger = await stored(history, 'ledger')
    await storeSnapshot({ log: new VersionLog(ledger), version: 5, pages: history.pages(5) })
    for (let n = 1; n < 4; n++) ledger.objects.delete(versionKey(ledger, n))
    const target = await stored(other, 'follower')
    expect(await follow(target, ledger).catchUp(6)).toMatchObject({ confirmed: 6, branch: undefined })
    expect(Buffer.compare(await imageOf(new VersionLog(target), 6), history.image(6))).toBe(0)
    expect(Buffer.compare(await imageOf(new VersionLog(target), 3), other.image(3))).toBe(0)
  })

  it('gets lost newest versions back, unless what repeats them is not the ledger’s', async () => {
    const history = new History({ seed: 13 }).grow(5)
    const other = new History({ seed: 14, from: new History({ seed: 13 }).grow(3), nodeId: 9n }).grow(2)
    const ledger = await stored(history, 'ledger')
    for (const [writer, kept] of [
      [history, true],
      [other, false],
    ] as const) {
      const target = await stored(writer, 'follower')
      await storeSnapshot({ log: new VersionLog(target), version: 5, pages: writer.pages(5) })
      for (const n of [4, 5]) target.objects.delete(versionKey(target, n))
      if (!kept) await expect(follow(target, ledger).catchUp(5)).rejects.toThrow(code('LOG_BROKEN'))
      else {
        await follow(target, ledger).catchUp(5)
        await expectHolds(target, history, 5)
      }
    }
  })

  it('removes a tail from the top, after its branch is whole', async () => {
    const ledger = await stored(ours, 'ledger')
    const target = await stored(theirs, 'follower')
    await follow(target, ledger).catchUp(7)
    const steps = target.calls.filter(({ verb, key }) => verb === 'remove' || key.endsWith('branch.json'))
    const removed = steps.map(({ verb, key }) => (verb === 'remove' ? key : `${verb} branch`))
    const versions = [8, 7, 6, 5].map((n) => versionKey(target, n))
    expect(removed.slice(-4)).toEqual(versions)
    expect(removed.slice(0, -4).every((step) => step.endsWith(' branch'))).toBe(true)
  })

  it('does not judge by an old head: what another keeper stored on both stays', async () => {
    const history = new History({ seed: 2 }).grow(6)
    const ledger = await stored(history, 'ledger')
    const target = await stored(history, 'follower')
    expect(await follow(target, ledger).catchUp(4)).toMatchObject({ confirmed: 6, branch: undefined })
    await expectHolds(target, history, 6)
  })

  it('does not pass on damaged bytes', async () => {
    const history = new History({ seed: 3 }).grow(3)
    const ledger = await stored(history, 'ledger')
    const bytes = ledger.bytesOf(versionKey(ledger, 3))
    bytes[200] = (bytes[200] as number) ^ 4
    const target = new MemoryTarget('follower')
    await expect(follow(target, ledger).catchUp(3)).rejects.toThrow(code('DAMAGED'))
    await expectHolds(target, history, 2)
  })

  it('replaces a damaged head of its own and keeps the damaged file', async () => {
    const history = new History({ seed: 4 }).grow(4)
    const ledger = await stored(history, 'ledger')
    const target = await stored(history, 'follower', 3)
    target.bytesOf(versionKey(target, 3))[2] = 0
    const progress = await follow(target, ledger).catchUp(4)
    expect(progress.branch).toMatchObject({ baseVersion: 2, headVersion: 3 })
    await expectHolds(target, history, 4)
  })

  it('puts all pages above what the ledger no longer keeps, and leaves the old files', async () => {
    const history = new History({ seed: 5 }).grow(9)
    const ledger = await stored(history, 'ledger')
    const ledgerLog = new VersionLog(ledger)
    await storeSnapshot({ log: ledgerLog, version: 7, pages: history.pages(7) })
    for (let n = 1; n < 7; n++) ledger.objects.delete(versionKey(ledger, n))
    const target = await stored(history, 'follower', 3)
    const progress = await follow(target, ledger).catchUp(9)
    expect(progress.branch).toBeUndefined()
    await expectHolds(target, history, 9)
    expect(Buffer.compare(await imageOf(new VersionLog(target), 2), history.image(2))).toBe(0)
  })

  it('keeps the branch of a tail restorable by itself', async () => {
    const base = new History({ seed: 6 }).grow(5)
    const history = new History({ seed: 7, from: base }).grow(3)
    const other = new History({ seed: 8, from: base, nodeId: 99n }).grow(4)
    const ledger = await stored(history, 'ledger')
    const target = await stored(other, 'follower')
    const log = new VersionLog(target)
    await storeSnapshot({ log, version: 4, pages: other.pages(4) })
    await storeSnapshot({ log, version: 7, pages: other.pages(7) })
    const { branch } = await follow(target, ledger).catchUp(8)
    expect(branch).toMatchObject({
      baseVersion: 5,
      headVersion: 9,
      reason: 'follower-tail',
      lineage: lineageText(LINEAGE),
    })
    await expectHolds(target, history, 8)
    expect(await listBranches(target)).toEqual([branch])
    const kept = branchLog(target, branch?.id ?? '')
    for (const version of [7, 8, 9])
      expect(Buffer.compare(await imageOf(kept, version), other.image(version))).toBe(0)
    expect((await kept.findHead())?.version).toBe(9)
  })
})

/*
 * Goal: one version number has one owner; what was answered `stored` is in the log for ever, byte for
 * byte; our own retry is recognised, and nothing else is taken for it.
 * Method: examples, and two keepers racing on one target while fast-check chooses which of their
 * calls goes on next and which answers are lost after the work was done.
 */
import { randomFillSync } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { History, LINEAGE, START_MS } from '../../../../tests/support/log-history.ts'
import { MemoryTarget } from '../../../../tests/support/memory-target.ts'
import { decodeLtx } from '../formats/ltx-decoder.ts'
import { encodeLtx } from '../formats/ltx-encoder.ts'
import { pageChecksum } from '../formats/page-checksum.ts'
import { TargetError } from '../targets/target.ts'
import { areOnlyClaims, buildClaim, isClaim, nextTimestampMs } from './claim.ts'
import { type CutVersion, Ledger } from './ledger.ts'
import { versionKey } from './log-layout.ts'
import { type VersionInfo, VersionLog } from './version-log.ts'

const cutOff = () => new TargetError('temporary', 'the connection was cut')

/** A one-page database: the smallest version there is. */
function smallCut(
  version: number,
  nodeId: bigint,
  content: number,
  timestampMs = START_MS + version,
): CutVersion {
  const page = new Uint8Array(512).fill(content & 0xff)
  new DataView(page.buffer).setUint32(0, content)
  const databaseChecksum = pageChecksum(1, page)
  const range = { minVersion: version, maxVersion: version, pageSize: 512, pageCount: 1 }
  const bytes = encodeLtx({ ...range, timestampMs, nodeId, databaseChecksum, lineage: LINEAGE }, [[1, page]])
  return { version, bytes, timestampMs, nodeId, databaseChecksum, claim: false, sizeBytes: bytes.length }
}

describe('Ledger', () => {
  it('appends one after the other and knows what is confirmed', async () => {
    const history = new History({ seed: 1 }).grow(4)
    const log = new VersionLog(new MemoryTarget())
    const ledger = new Ledger(log, await log.findHead())
    for (const cut of history.cuts) expect(await ledger.append(cut)).toEqual({ kind: 'stored' })
    expect([ledger.confirmed, (await log.findHead())?.version]).toEqual([4, 4])
  })

  it('refuses two appends at once, a wrong number, an earlier time and a file that says otherwise', async () => {
    const ledger = new Ledger(new VersionLog(new MemoryTarget()), undefined)
    const [one, two] = [smallCut(1, 5n, 1), smallCut(2, 5n, 2)]
    const under = ledger.append(one)
    await expect(ledger.append(two)).rejects.toThrow('two appends')
    await under
    await expect(ledger.append(smallCut(3, 5n, 3))).rejects.toThrow('version 3 after 1')
    await expect(ledger.append(smallCut(2, 5n, 2, one.timestampMs))).rejects.toThrow('not later')
    await expect(ledger.append({ ...two, databaseChecksum: 1n })).rejects.toThrow('something else')
    expect(await ledger.append(two)).toEqual({ kind: 'stored' })
  })

  it('recognises its own version after a lost answer, but not a different one of its own or of others', async () => {
    const target = new MemoryTarget()
    const ledger = new Ledger(new VersionLog(target), undefined)
    target.after = (call) => {
      if (call.verb === 'create') throw cutOff()
    }
    const one = smallCut(1, 5n, 1)
    await expect(ledger.append(one)).rejects.toThrow('was cut')
    target.after = undefined
    expect([await ledger.append(one), ledger.confirmed]).toEqual([{ kind: 'stored' }, 1])

    for (const other of [smallCut(1, 5n, 9), smallCut(1, 6n, 1), smallCut(1, 5n, 1, START_MS + 50)]) {
      const late = new Ledger(new VersionLog(target), undefined)
      const outcome = await late.append(other)
      expect(outcome).toMatchObject({ kind: 'fenced', by: { version: 1, nodeId: 5n } })
      await expect(late.append(other)).rejects.toThrow('another keeper')
    }
  })

  it('compares bytes, not only what the header says', async () => {
    const target = new MemoryTarget()
    const one = smallCut(1, 5n, 1)
    const bytes = Uint8Array.from(one.bytes as Uint8Array)
    bytes[130] = (bytes[130] as number) ^ 1
    await target.create(versionKey(target, 1), bytes, { modifiedAtMs: 1 })
    expect((await new Ledger(new VersionLog(target), undefined).append(one)).kind).toBe('fenced')
  })

  it('goes on above what others wrote, once it was read and accepted', async () => {
    const target = new MemoryTarget()
    const [ours, theirs] = [
      new Ledger(new VersionLog(target), undefined),
      new Ledger(new VersionLog(target), undefined),
    ]
    await ours.append(smallCut(1, 5n, 1))
    const [first] = await theirs.readTail(0)
    theirs.accept(first as VersionInfo)
    for (const n of [2, 3, 4]) await theirs.append(smallCut(n, 6n, n))
    expect((await ours.append(smallCut(2, 5n, 9))).kind).toBe('fenced')
    const tail = await ours.readTail()
    expect(tail.map((info) => [info.version, info.nodeId])).toEqual([
      [2, 6n],
      [3, 6n],
      [4, 6n],
    ])
    ours.accept(tail.at(-1) as VersionInfo)
    expect(await ours.append(smallCut(5, 5n, 9))).toEqual({ kind: 'stored' })
    expect(await ours.readTail()).toEqual([])
  })
})

describe('a large version, which is not compared byte by byte', () => {
  it('is ours only with our node id, checksum and time', async () => {
    const { pageSize, pageCount } = { pageSize: 65536, pageCount: 20 }
    const noise = Array.from(
      { length: pageCount },
      (_, i) => [i + 1, new Uint8Array(randomFillSync(Buffer.alloc(pageSize)))] as const,
    )
    const large = (nodeId: bigint, databaseChecksum: bigint, timestampMs: number): CutVersion => {
      const range = { minVersion: 1, maxVersion: 1, pageSize, pageCount }
      const bytes = encodeLtx({ ...range, nodeId, databaseChecksum, timestampMs }, noise)
      return {
        version: 1,
        bytes,
        timestampMs,
        nodeId,
        databaseChecksum,
        claim: false,
        sizeBytes: bytes.length,
      }
    }
    const log = new VersionLog(new MemoryTarget())
    const outcome = async (cut: CutVersion) => (await new Ledger(log, undefined).append(cut)).kind
    expect(await outcome(large(1n, 2n, 3))).toBe('stored')
    expect(await outcome(large(1n, 2n, 3))).toBe('stored')
    for (const other of [large(9n, 2n, 3), large(1n, 9n, 3), large(1n, 2n, 9)])
      expect(await outcome(other)).toBe('fenced')
  })
})

describe('claims', () => {
  it('change nothing, carry page 1, and are told from real versions', async () => {
    const history = new History({ seed: 2 }).grow(3)
    const log = new VersionLog(new MemoryTarget())
    const ledger = new Ledger(log, undefined)
    for (const cut of history.cuts) await ledger.append(cut)
    const head = (await log.findHead()) as VersionInfo
    const page1 = history.image(3).slice(0, 512)
    const { databaseChecksum } = history.cut(3)
    const facts = { head, databaseChecksum, page1, nodeId: 77n, lineage: LINEAGE }
    const claim = buildClaim({ ...facts, nowMs: 0 })
    expect([claim.version, claim.claim, claim.timestampMs]).toEqual([4, true, head.timestampMs + 1])
    expect(await ledger.append(claim)).toEqual({ kind: 'stored' })
    const info = (await log.findHead()) as VersionInfo
    expect([isClaim(info, head), isClaim(head, (await log.readVersionInfo(2)) as VersionInfo)]).toEqual([
      true,
      false,
    ])
    const again = { ...info, version: 5 }
    expect([
      areOnlyClaims(head, [info, again]),
      areOnlyClaims(head, [info, { ...again, databaseChecksum: 1n }]),
    ]).toEqual([true, false])
    expect([...decodeLtx(claim.bytes as Uint8Array, 'claim').pages]).toEqual([[1, page1]])
    expect(() => buildClaim({ ...facts, databaseChecksum: 1n, nowMs: 0 })).toThrow('changes nothing')
    expect([nextTimestampMs(5, 9), nextTimestampMs(9, 5)]).toEqual([9, 10])
  })
})

/** A keeper that writes `wanted` versions, retries lost answers and goes on above others. */
async function keeper(target: MemoryTarget, nodeId: bigint, wanted: number, stored: Map<number, Uint8Array>) {
  const log = new VersionLog(target)
  const retry = async <T>(work: () => Promise<T>): Promise<T> => {
    for (;;) {
      try {
        return await work()
      } catch (thrown) {
        if (!(thrown instanceof TargetError)) throw thrown
      }
    }
  }
  const ledger = new Ledger(log, await retry(() => log.findHead()))
  for (let i = 0; i < wanted; ) {
    const cut = smallCut(
      ledger.confirmed + 1,
      nodeId,
      Number(nodeId) * 1000 + i,
      ledger.confirmedTimestampMs + 1,
    )
    const outcome = await retry(() => ledger.append(cut))
    if (outcome.kind === 'stored') {
      expect(stored.has(cut.version)).toBe(false)
      stored.set(cut.version, cut.bytes as Uint8Array)
      i++
    } else {
      const tail = await retry(() => ledger.readTail())
      ledger.accept(tail.at(-1) as VersionInfo)
    }
  }
}

describe('two keepers racing for one ledger', () => {
  it('never both own a version, and everything acknowledged is in the log', async () => {
    let lost = 0
    await fc.assert(
      fc.asyncProperty(
        fc.scheduler(),
        fc.infiniteStream(fc.integer({ min: 0, max: 5 })),
        fc.constantFrom(2, 3),
        async (scheduler, fates, keepers) => {
          const target = new MemoryTarget()
          target.before = async (call) => {
            await scheduler.schedule(Promise.resolve(), `before ${call.verb}`)
            if (call.verb === 'create' && fates.next().value === 0) throw cutOff()
          }
          target.after = async (call) => {
            await scheduler.schedule(Promise.resolve(), `after ${call.verb}`)
            if (call.verb === 'create' && fates.next().value === 1) {
              lost++
              throw cutOff()
            }
          }
          const stored = new Map<number, Uint8Array>()
          const running = Array.from({ length: keepers }, (_, i) => keeper(target, BigInt(i + 1), 3, stored))
          await scheduler.waitFor(Promise.all(running))
          expect(stored.size).toBe(3 * keepers)
          target.before = undefined
          target.after = undefined
          const log = new VersionLog(target)
          expect((await log.findHead())?.version).toBe(stored.size)
          for (const [version, bytes] of stored) {
            expect(Buffer.compare((await log.readVersion(version)) as Uint8Array, bytes)).toBe(0)
          }
        },
      ),
      { numRuns: 300 },
    )
    expect(lost).toBeGreaterThan(50)
  })
})

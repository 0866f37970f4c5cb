/*
 * Goal: the head of a log is its newest version or an error, never an older one; lineage is created
 * once and never replaced; a target that lies about create-if-absent is found out.
 * Method: histories on a target in memory, with files removed, damaged, foreign or pruned.
 */
import { describe, expect, it } from 'vitest'
import { History, START_MS } from '../../../../tests/support/log-history.ts'
import { MemoryTarget } from '../../../../tests/support/memory-target.ts'
import { createLineage, lineageNumber, lineageText, readLineage } from './lineage.ts'
import { LINEAGE_KEY, versionKey } from './log-layout.ts'
import { storeSnapshot } from './snapshot.ts'
import { VersionLog } from './version-log.ts'

async function stored(history: History, target = new MemoryTarget()) {
  const log = new VersionLog(target)
  for (const cut of history.cuts) await log.append(cut.version, cut.bytes, cut.timestampMs)
  return { log, target }
}

const code = (value: string) => expect.objectContaining({ code: value })

describe('VersionLog', () => {
  it('finds the head with its facts, with and without ranges', async () => {
    const history = new History({ seed: 1 }).grow(5)
    for (const rangeRead of [true, false]) {
      const { log } = await stored(history, new MemoryTarget('m', { rangeRead }))
      const cut = history.cut(5)
      const head = await log.findHead()
      expect(head).toMatchObject({
        version: 5,
        timestampMs: cut.timestampMs,
        databaseChecksum: cut.databaseChecksum,
      })
      expect(head).toMatchObject({ nodeId: history.nodeId, sizeBytes: cut.sizeBytes, pageSize: 512 })
      expect(await log.readVersionInfo(5)).toEqual(head)
      expect(await log.findHead({ after: 3 })).toEqual(head)
      expect(await log.findHead({ after: 5 })).toBeUndefined()
      expect(await log.readVersionInfo(6)).toBeUndefined()
      expect(Buffer.compare((await log.readVersion(2)) as Uint8Array, history.bytes(2))).toBe(0)
    }
  })

  it('is empty where nothing is, and passes over foreign files', async () => {
    const log = new VersionLog(new MemoryTarget())
    expect([await log.findHead(), await log.state()]).toEqual([undefined, 'empty'])
    for (const key of [
      'ltx/0/notes.txt',
      'ltx/0/0000000000000001-0000000000000001.ltx.tmp',
      'kvar/other',
      'copies/app.db.json',
    ]) {
      await log.target.create(key, new Uint8Array(3), { modifiedAtMs: 1 })
    }
    expect([await log.findHead(), await log.state()]).toEqual([undefined, 'empty'])
  })

  it('never answers an older head for a gap, a damaged header or a lost beginning', async () => {
    const history = new History({ seed: 2 }).grow(6)
    const gap = await stored(history)
    gap.target.objects.delete(versionKey(gap.target, 4))
    await expect(gap.log.findHead()).rejects.toThrow(code('LOG_BROKEN'))
    await expect(gap.log.findHead({ after: 2 })).rejects.toThrow('version 4 is missing')
    expect((await gap.log.findHead({ after: 4 }))?.version).toBe(6)

    const damaged = await stored(history)
    damaged.target.bytesOf(versionKey(damaged.target, 6))[0] = 0
    await expect(damaged.log.findHead()).rejects.toThrow(code('DAMAGED'))
    await expect(damaged.log.findHead()).rejects.toThrow(versionKey(damaged.target, 6))

    const swapped = await stored(history)
    const key = versionKey(swapped.target, 6)
    swapped.target.objects.set(key, { bytes: history.bytes(5), modifiedAtMs: 1 })
    await expect(swapped.log.findHead()).rejects.toThrow(code('DAMAGED'))

    const begun = await stored(history)
    begun.target.objects.delete(versionKey(begun.target, 1))
    await expect(begun.log.findHead()).rejects.toThrow(code('LOG_BROKEN'))
    expect(await begun.log.state()).toBe('unfinished')
  })

  it('copes with a level 0 that retention emptied from below, and sees what a snapshot tells of lost versions', async () => {
    const history = new History({ seed: 3 }).grow(8)
    const { log, target } = await stored(history)
    await storeSnapshot({ log, version: 5, pages: history.pages(5) })
    for (const n of [1, 2, 4]) target.objects.delete(versionKey(target, n))
    expect([(await log.findHead())?.version, await log.state()]).toEqual([8, 'log'])
    expect((await log.findHead({ after: 1 }))?.version).toBe(8)
    for (const n of [5, 6, 7, 8]) target.objects.delete(versionKey(target, n))
    await expect(log.findHead()).rejects.toThrow('versions 4 to 5 are missing')
  })

  it('asks for the next version by name where listings lag behind', async () => {
    const history = new History({ seed: 4 }).grow(6)
    const late = new MemoryTarget('late', { listConsistency: 'eventual' })
    const { log } = await stored(history, late)
    late.list = async function* (prefix, options) {
      for await (const entry of MemoryTarget.prototype.list.call(late, prefix, options ?? {})) {
        if (entry.key < versionKey(late, 4)) yield entry
      }
    }
    expect(await log.findHead()).toMatchObject({ version: 6, sizeBytes: history.cut(6).sizeBytes })
    expect((await log.findHead({ after: 3 }))?.version).toBe(6)
  })

  it('lists versions lazily from the one asked for', async () => {
    const { log } = await stored(new History({ seed: 5 }).grow(7))
    const seen: number[] = []
    for await (const file of log.listVersions({ after: 4 })) seen.push(file.maxVersion)
    expect(seen).toEqual([5, 6, 7])
  })
})

describe('lineage', () => {
  const first = lineageText(0xabcdef0123456789n)

  it('is created once, and the one that is there wins', async () => {
    const target = new MemoryTarget()
    expect(await readLineage(target)).toBeUndefined()
    const made = await createLineage(target, { lineage: first, createdAtMs: START_MS })
    expect(made).toEqual({ format: 1, lineage: first, createdAt: '2026-11-23T10:15:30.123Z' })
    expect(await createLineage(target, { lineage: lineageText(7n), createdAtMs: START_MS + 9 })).toEqual(made)
    expect(lineageNumber(made.lineage)).toBe(0xabcdef0123456789n)
  })

  it('refuses a newer format and damaged files with a sentence', async () => {
    const cases: Array<[string, string]> = [
      ['{"format":2,"lineage":"x"}', 'FORMAT_TOO_NEW'],
      ['{"format":1,"lineage":"ABC","createdAt":"2026-11-23T10:15:30Z"}', 'DAMAGED'],
      [`{"format":1,"lineage":"${first}","createdAt":"soon"}`, 'DAMAGED'],
      ['{"format":"1"}', 'DAMAGED'],
      ['null', 'DAMAGED'],
      ['{', 'DAMAGED'],
      ['', 'DAMAGED'],
    ]
    for (const [text, expected] of cases) {
      const target = new MemoryTarget()
      await target.create(LINEAGE_KEY, new TextEncoder().encode(text), { modifiedAtMs: 1 })
      await expect(readLineage(target)).rejects.toThrow(code(expected))
      await expect(createLineage(target, { lineage: first, createdAtMs: 1 })).rejects.toThrow(code(expected))
    }
  })
})

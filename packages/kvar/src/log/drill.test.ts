/*
 * Goal: a rehearsed restore fails exactly when a real one would, says why, and leaves nothing behind;
 * what keeps it from being tried is no verdict on the log.
 * Method: logs of real SQLite databases and of random pages on a target in memory; objects damaged,
 * removed, exchanged; a disk without room; a target that dies at every call; an abort at every call.
 */
import * as fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { History, START_MS } from '../../../../tests/support/log-history.ts'
import { dieAt, MemoryTarget, revive } from '../../../../tests/support/memory-target.ts'
import { encodeLtx } from '../formats/ltx-encoder.ts'
import { addChecksum, pageChecksum } from '../formats/page-checksum.ts'
import type { Platform } from '../platform/platform.ts'
import { systemPlatform } from '../platform/system.ts'
import { rehearseRestore } from './drill.ts'
import { versionKey } from './log-layout.ts'
import { VersionLog } from './version-log.ts'

let folder = ''
beforeEach(() => {
  folder = fs.mkdtempSync(join(tmpdir(), 'kvar-drill-'))
})
afterEach(() => {
  expect(fs.readdirSync(folder)).toEqual([])
  fs.rmSync(folder, { recursive: true })
})

const code = (value: string, data: object = {}) =>
  expect.objectContaining({ code: value, data: expect.objectContaining(data) })

/** Random pages are no database: without the integrity check. */
const bare: Platform = { ...systemPlatform, checkIntegrity: async () => 'ok' }

async function stored(history: History): Promise<MemoryTarget> {
  const target = new MemoryTarget('log')
  const log = new VersionLog(target)
  for (const cut of history.cuts) await log.append(cut.version, cut.bytes, cut.timestampMs)
  return target
}

function drill(target: MemoryTarget, changes: Partial<Parameters<typeof rehearseRestore>[0]> = {}) {
  return rehearseRestore({
    log: new VersionLog(target),
    platform: bare,
    scratchPath: join(folder, 'drill.tmp'),
    recorded: async () => undefined,
    ...changes,
  })
}

describe('a drill', () => {
  it('restores the newest version and one random older one', async () => {
    const history = new History({ seed: 1 }).grow(7)
    const target = await stored(history)
    const older = new Set<number>()
    for (let round = 0; round < 60; round++) {
      const [newest, other] = await drill(target, {
        recorded: async (version) => history.cut(version).databaseChecksum,
      })
      expect(newest).toMatchObject({
        version: 7,
        comparedWithCapture: true,
        sizeBytes: history.image(7).length,
      })
      older.add(other?.version ?? 0)
    }
    expect([...older].sort()).toEqual([1, 2, 3, 4, 5, 6])
  })

  it('is content with a log of one version', async () => {
    expect(await drill(await stored(new History({ seed: 2 }).grow(1)))).toMatchObject([{ version: 1 }])
  })

  it('fails when the content is not what was noted at capture, although every checksum is right', async () => {
    const target = await stored(new History({ seed: 3 }).grow(3))
    const failed = drill(target, { recorded: async (version) => (version === 3 ? 42n : undefined) })
    await expect(failed).rejects.toEqual(code('DAMAGED', { version: 3 }))
  })

  it('fails when the database itself is broken, although it is what was captured', async () => {
    const path = join(folder, 'app.db')
    const database = new DatabaseSync(path)
    database.exec('CREATE TABLE t(a PRIMARY KEY) WITHOUT ROWID; CREATE TABLE u(b UNIQUE)')
    for (let i = 0; i < 200; i++)
      database.exec(`INSERT INTO t VALUES(${i}); INSERT INTO u VALUES('${'x'.repeat(30)}${i}')`)
    database.close()
    const bytes = new Uint8Array(fs.readFileSync(path))
    fs.rmSync(path)
    const target = new MemoryTarget('log')
    await storeImage(target, bytes)
    expect(await drill(target, { platform: systemPlatform })).toMatchObject([{ version: 1 }])
    // Bytes in the middle of a b-tree page; the log then holds exactly that.
    bytes.fill(7, 3 * 4096 + 8, 3 * 4096 + 300)
    target.objects.clear()
    await storeImage(target, bytes)
    await expect(drill(target, { platform: systemPlatform })).rejects.toEqual(code('DAMAGED', { version: 1 }))
  })

  it('tells a lack of room apart from a log that is broken, before anything is written', async () => {
    const target = await stored(new History({ seed: 4 }).grow(3))
    const full = { ...bare, freeBytes: async () => 1000 }
    await expect(drill(target, { platform: full })).rejects.toEqual(code('TARGET_FULL'))
    expect(target.calls.filter(({ verb }) => verb === 'read').length).toBeLessThanOrEqual(4)
    const files = { ...systemPlatform.files, openSync: failingOpen('ENOSPC') }
    await expect(drill(target, { platform: { ...bare, files } })).rejects.toEqual(code('TARGET_FULL'))
  })

  it('leaves nothing behind when the target dies or the keeper leaves, at every call', async () => {
    const target = await stored(new History({ seed: 5 }).grow(4))
    // Always the same older version, so that the calls can be counted.
    const same = { platform: { ...bare, random: { ...bare.random, fraction: () => 0.5 } } }
    target.calls.length = 0
    await drill(target, same)
    const calls = target.calls.length
    for (let call = 1; call <= calls; call++) {
      target.calls.length = 0
      dieAt(call, 'before', target)
      await expect(drill(target, same)).rejects.toEqual(code('TARGET_TEMPORARY'))
      expect(fs.readdirSync(folder)).toEqual([])
      revive(target)
      target.calls.length = 0
      const stop = new AbortController()
      target.before = ({ number }) => (number === call ? stop.abort() : undefined)
      await expect(drill(target, { ...same, signal: stop.signal })).rejects.toEqual(code('CANCELLED'))
      expect(fs.readdirSync(folder)).toEqual([])
      revive(target)
    }
  })

  it('passes over a version that retention takes away meanwhile', async () => {
    const target = await stored(new History({ seed: 6 }).grow(3))
    const log = new VersionLog(target)
    // The range says that 1 and 2 may have been given up for it; their files are gone.
    const whole = new History({ seed: 6 }).grow(3)
    await target.create('ltx/9/0000000000000001-0000000000000003.ltx', rangeOf(whole, 3), {
      modifiedAtMs: START_MS,
    })
    await target.remove([versionKey(target, 1)])
    expect((await log.listFiles()).length).toBe(3)
    expect(await drill(target)).toMatchObject([{ version: 3 }])
  })
})

/** A snapshot of the version. */
function rangeOf(history: History, version: number): Uint8Array {
  const image = history.image(version)
  const { pageSize, nodeId } = history
  const pages = Array.from(
    { length: image.length / pageSize },
    (_, i) => [i + 1, image.subarray(i * pageSize, (i + 1) * pageSize)] as const,
  )
  const { databaseChecksum, timestampMs } = history.cut(version)
  const header = { pageSize, nodeId, databaseChecksum, timestampMs, minVersion: 1, maxVersion: version }
  return encodeLtx({ ...header, pageCount: pages.length }, pages)
}

async function storeImage(target: MemoryTarget, bytes: Uint8Array): Promise<void> {
  const pageSize = 4096
  const pages = Array.from(
    { length: bytes.length / pageSize },
    (_, i) => [i + 1, bytes.subarray(i * pageSize, (i + 1) * pageSize)] as const,
  )
  const databaseChecksum = pages.reduce((sum, [n, page]) => addChecksum(sum, pageChecksum(n, page)), 0n)
  const header = {
    pageSize,
    pageCount: pages.length,
    minVersion: 1,
    maxVersion: 1,
    timestampMs: START_MS,
    nodeId: 1n,
  }
  await new VersionLog(target).append(1, encodeLtx({ ...header, databaseChecksum }, pages), START_MS)
}

function failingOpen(systemCode: string): Platform['files']['openSync'] {
  return (path, mode) => {
    const file = systemPlatform.files.openSync(path, mode)
    const failing: typeof file = {
      readSync: (buffer, offset) => file.readSync(buffer, offset),
      writeSync: () => {
        throw Object.assign(new Error('no space left on device'), { code: systemCode })
      },
      truncateSync: (sizeBytes) => file.truncateSync(sizeBytes),
      factsSync: () => file.factsSync(),
      sync: () => file.sync(),
      syncSync: () => file.syncSync(),
      closeSync: () => file.closeSync(),
    }
    return failing
  }
}

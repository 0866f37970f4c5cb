/*
 * Goal: a scrub that runs while an app writes never takes a commit for drift, never locks the app out,
 * and finds real drift in the middle of all that.
 * Method: an app without busy timeout in a process of its own writes as fast as it can, in every journal
 * mode; here one scrub follows the other without pause, beside the usual looks.
 */
import { spawn } from 'node:child_process'
import * as fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { Capture } from '../capture/capture.ts'
import type { Platform } from '../platform/platform.ts'
import { systemPlatform } from '../platform/system.ts'
import { CaptureLoop } from './capture-loop.ts'
import { scrubDatabase } from './scrub.ts'

const APP = join(import.meta.dirname, '../../../../tests/support/load-app.mjs')
const SECONDS = 1.5

let folder = ''
let path = ''
beforeEach(() => {
  folder = fs.mkdtempSync(join(tmpdir(), 'kvar-scrub-'))
  path = join(folder, 'app.db')
})
afterEach(() => fs.rmSync(folder, { recursive: true, force: true }))

function loopOn(platform: Platform, drifted: (pages: number) => void): CaptureLoop {
  const capture = new Capture({ path, platform, pendingBytes: 64 * 1024 * 1024 })
  const events = { changed: () => {}, trouble: () => {}, resting: () => {}, present: () => {}, drifted }
  return new CaptureLoop({ capture, path, platform, events })
}

/** Makes the app's table first, so that there is something to look at from the beginning. */
function prepare(mode: string): void {
  const database = new DatabaseSync(path)
  database.exec(
    `PRAGMA journal_mode=${mode}; CREATE TABLE load(id INTEGER PRIMARY KEY, text TEXT, number REAL)`,
  )
  database.exec(`
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000)
    INSERT INTO load(text) SELECT printf('%.*c', 900, 'y') FROM n`)
  database.close()
}

function runApp(mode: string, ...extras: string[]): Promise<{ commits: number; locked: number }> {
  const child = spawn(process.execPath, [APP, path, mode, String(SECONDS), ...extras], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let text = ''
  child.stdout.on('data', (bytes) => {
    text += bytes
  })
  return new Promise((resolve, reject) =>
    // It kills itself after its last word; without one it has failed.
    child.once('close', () => {
      if (text === '') reject(new Error('the app ended without a word'))
      else resolve(JSON.parse(text))
    }),
  )
}

describe('under load', () => {
  it.each([
    ['wal', '0'],
    ['wal', '0', 'vacuum', 'truncate-checkpoint', 'rollback'],
    ['delete', '2', 'rollback'],
    ['truncate', '5', 'vacuum'],
    ['persist', '5'],
  ])('no commit is taken for drift (%s, %s ms pause)', async (mode, ...extras) => {
    prepare(mode)
    let drifted = 0
    // Without the pauses that spare the processor: as many slices as possible.
    const loop = loopOn(systemPlatform, (pages) => {
      drifted += pages
    })
    await loop.lookNow()
    loop.start()
    const ended = runApp(mode, ...extras)
    let isOver = false
    ended
      .catch(() => undefined)
      .finally(() => {
        isOver = true
      })
    let slices = 0
    for (let next = 1; !isOver; slices++) {
      const slice = await loop.checkPages(next, 256 * 1024)
      next = slice.kind === 'checked' ? slice.next || 1 : next
      await systemPlatform.clock.turn()
    }
    const counts = await ended
    await loop.lookNow()
    const scrubbed = await scrubDatabase({
      loop,
      platform: systemPlatform,
      signal: new AbortController().signal,
    })
    await loop.stop()
    loop.capture.close()
    expect(drifted).toBe(0)
    expect(scrubbed).toMatchObject({ drifted: 0, sumWasRight: true })
    expect(counts.locked).toBe(0)
    expect(counts.commits).toBeGreaterThan(15)
    expect(slices).toBeGreaterThan(5)
  })
})

it('a commit in the middle of a slice makes it unsure, however often it happens (rollback)', async () => {
  prepare('delete')
  const app = new DatabaseSync(path)
  let [drifted, reads] = [0, 0]
  // Every other reading of page 2 is one of a slice, the ones in between belong to the look after it.
  const platform = readingHook((offset) => {
    if (offset === 4096 && isArmed && ++reads % 2 === 1)
      app.exec(`UPDATE load SET number = ${reads} WHERE id = 2900`)
  })
  let isArmed = false
  const loop = loopOn(platform, (pages) => {
    drifted += pages
  })
  await loop.lookNow()
  isArmed = true
  expect(await loop.checkPages(1, 64 * 1024 * 1024)).toMatchObject({ kind: 'unsure' })
  expect(reads).toBe(1)
  isArmed = false
  expect(await loop.checkPages(1, 64 * 1024 * 1024)).toMatchObject({ kind: 'checked', drifted: 0 })
  expect(drifted).toBe(0)
  await loop.stop()
  app.close()
  loop.capture.close()
})

/** The real files, with a call before each read of a whole page. */
function readingHook(beforeRead: (offset: number) => void): Platform {
  const openSync: Platform['files']['openSync'] = (name, mode) => {
    const file = systemPlatform.files.openSync(name, mode)
    return {
      readSync: (buffer, offset) => {
        if (buffer.length >= 4096) beforeRead(offset)
        return file.readSync(buffer, offset)
      },
      writeSync: (buffer, offset) => file.writeSync(buffer, offset),
      truncateSync: (sizeBytes) => file.truncateSync(sizeBytes),
      factsSync: () => file.factsSync(),
      sync: () => file.sync(),
      syncSync: () => file.syncSync(),
      closeSync: () => file.closeSync(),
    }
  }
  return { ...systemPlatform, files: { ...systemPlatform.files, openSync } }
}

describe('drift', () => {
  it.each(['wal', 'delete'])('is found at any page, and only there (%s)', async (mode) => {
    prepare(mode)
    fs.utimesSync(path, 1_900_000_000, 1_900_000_000)
    const found: number[] = []
    const loop = loopOn(systemPlatform, (pages) => found.push(pages))
    await loop.lookNow()
    const pageCount = loop.capture.table?.pageCount ?? 0
    loop.capture.pending.clear()
    for (const pageNumber of [2, 17, pageCount]) {
      const file = fs.openSync(path, 'r+')
      fs.writeSync(file, Buffer.from('drifted'), 0, 7, pageNumber * 4096 - 500)
      fs.closeSync(file)
      fs.utimesSync(path, 1_900_000_000, 1_900_000_000)
      const { signal } = new AbortController()
      expect((await scrubDatabase({ loop, platform: systemPlatform, signal }))?.drifted).toBe(1)
      expect(loop.capture.pending.pageNumbers()).toEqual([pageNumber])
      expect((await scrubDatabase({ loop, platform: systemPlatform, signal }))?.drifted).toBe(0)
      loop.capture.pending.clear()
    }
    expect(found).toEqual([1, 1, 1])
    await loop.stop()
    loop.capture.close()
  })

  it('of the table’s own sum is found and mended', async () => {
    prepare('delete')
    const loop = loopOn(systemPlatform, () => {})
    await loop.lookNow()
    const table = loop.capture.table
    const right = table?.databaseChecksum
    // As a flipped bit in memory would do it.
    table?.entries().fill(1n, 3, 4)
    expect(table?.recount()).toBe(false)
    const { signal } = new AbortController()
    expect((await scrubDatabase({ loop, platform: systemPlatform, signal }))?.drifted).toBe(1)
    expect(table?.databaseChecksum).toBe(right)
    await loop.stop()
    loop.capture.close()
  })

  it('costs a tenth of a core and stops when it is told to', async () => {
    prepare('delete')
    const loop = loopOn(systemPlatform, () => {})
    await loop.lookNow()
    const begunMs = performance.now()
    const before = process.cpuUsage()
    await scrubDatabase({ loop, platform: systemPlatform, signal: new AbortController().signal })
    const { user, system } = process.cpuUsage(before)
    const share = (user + system) / 1000 / (performance.now() - begunMs)
    expect(share).toBeLessThan(0.35)
    const stop = new AbortController()
    stop.abort()
    await expect(
      scrubDatabase({ loop, platform: systemPlatform, signal: stop.signal }),
    ).rejects.toMatchObject({ code: 'CANCELLED' })
    await loop.stop()
    loop.capture.close()
  })
})

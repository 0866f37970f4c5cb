// Goal: an image that was brought up to date by the versions after it is, byte for byte and sum for
// sum, the one a whole restore of the newest version gives; where that cannot be, it says so.
// Method: a random history of growing, shrinking and changed pages on a memory target.
import * as fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import { MemoryTarget } from '../../../../tests/support/memory-target.ts'
import { encodeLtx } from '../formats/ltx-encoder.ts'
import { addChecksum, pageChecksum } from '../formats/page-checksum.ts'
import { systemPlatform as platform } from '../platform/system.ts'
import { extendImage } from './extend-image.ts'
import { restoreToFile } from './restore.ts'
import { VersionLog } from './version-log.ts'

const PAGE_SIZE = 512
let folder: string
let log: VersionLog
let pages: Uint8Array[]
let version: number

beforeEach(() => {
  folder = fs.mkdtempSync(join(tmpdir(), 'kvar-extend-'))
  log = new VersionLog(new MemoryTarget())
  pages = []
  version = 0
})
afterEach(() => fs.rmSync(folder, { recursive: true }))

async function append(pageCount: number, changed: number[], lie = 0n): Promise<void> {
  version += 1
  const added = Array.from({ length: Math.max(0, pageCount - pages.length) }, (_, i) => pages.length + 1 + i)
  pages.length = Math.min(pages.length, pageCount)
  const numbers = [...new Set([...changed.filter((n) => n <= pageCount), ...added])].sort((a, b) => a - b)
  for (const n of numbers) pages[n - 1] = new Uint8Array(PAGE_SIZE).fill((version * 31 + n) % 251)
  const databaseChecksum =
    pages.reduce((sum, page, i) => addChecksum(sum, pageChecksum(i + 1, page)), 0n) + lie
  const range = { minVersion: version, maxVersion: version, timestampMs: 1000 + version }
  const header = { ...range, pageSize: PAGE_SIZE, pageCount, nodeId: 7n, databaseChecksum, lineage: 9n }
  const bytes = encodeLtx(
    header,
    numbers.map((n) => [n, pages[n - 1] as Uint8Array] as const),
  )
  await log.append(version, bytes, 1000 + version)
}

async function restored(path: string, wanted: number) {
  const plan = await log.plan({ kind: 'version', version: wanted })
  return restoreToFile({ log, plan, path, platform })
}

it('equals a whole restore, through growth, shrinking and growth again', async () => {
  await append(6, [])
  const path = join(folder, 'image')
  const image = await restored(path, 1)
  for (const [pageCount, changed] of [
    [6, [2, 5]],
    [9, [1]],
    [4, [1]],
    [12, [3, 4]],
    [12, [12]],
  ] as const) {
    await append(pageCount, [...changed])
  }
  const extended = await extendImage({ log, path, image, platform })
  const whole = await restored(join(folder, 'whole'), version)
  expect(extended?.head.version).toBe(version)
  expect(extended?.image.databaseChecksum).toBe(whole.databaseChecksum)
  expect(extended?.image.pageChecksums).toEqual(whole.pageChecksums)
  expect(fs.readFileSync(path).equals(fs.readFileSync(join(folder, 'whole')))).toBe(true)
})

it('answers undefined when there is nothing newer, or when a version does not lead where it says', async () => {
  await append(3, [])
  const path = join(folder, 'image')
  const image = await restored(path, 1)
  expect(await extendImage({ log, path, image, platform })).toBeUndefined()
  await append(3, [2], 1n)
  expect(await extendImage({ log, path, image, platform })).toBeUndefined()
})

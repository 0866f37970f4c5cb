/**
 * Goal: no copy of another hand is ever overwritten (R2). Method: files of each kind in a real folder.
 */
import * as fs from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { systemPlatform as platform } from '../platform/system.ts'
import { isOurJson, markOf, sameMark, setAsideForeign } from './ownership.ts'

let folder: string
let path: string
beforeEach(async () => {
  folder = await fs.mkdtemp(join(tmpdir(), 'kvar-ownership-'))
  path = join(folder, 'app.db.json')
})
afterEach(() => fs.rm(folder, { recursive: true }))

const timeMs = Date.UTC(2026, 10, 23, 10, 15, 30, 999)

test('a foreign file moves to a name with the time, a second one to the next free name', async () => {
  for (const [content, suffix] of [
    ['first', ''],
    ['second', '-2'],
    ['third', '-3'],
  ] as const) {
    await fs.writeFile(path, content)
    const aside = await setAsideForeign({ path, isOurs: false, timeMs, platform })
    expect(aside).toBe(`${path}.before-20261123T101530Z${suffix}`)
    expect(await fs.readFile(aside as string, 'utf8')).toBe(content)
  }
  expect(await fs.readdir(folder)).toHaveLength(3)
})

test('our own file and a missing one stay', async () => {
  expect(await setAsideForeign({ path, isOurs: false, timeMs, platform })).toBeUndefined()
  await fs.writeFile(path, 'ours')
  expect(await setAsideForeign({ path, isOurs: true, timeMs, platform })).toBeUndefined()
  expect(await fs.readdir(folder)).toEqual(['app.db.json'])
})

test('a JSON file is ours by its lineage alone', () => {
  const stamp = { lineage: '00c0ffee00c0ffee', version: 1, timeMs }
  expect(isOurJson({ kind: 'kvar', stamp }, stamp.lineage)).toBe(true)
  expect(isOurJson({ kind: 'kvar', stamp }, '1111111111111111')).toBe(false)
  expect(isOurJson({ kind: 'seed', timeMs }, stamp.lineage)).toBe(false)
  expect(isOurJson({ kind: 'unreadable', reason: '' }, stamp.lineage)).toBe(false)
  expect(isOurJson(undefined, stamp.lineage)).toBe(false)
})

test('a mark tells a file that was written again, even with the same size', async () => {
  const mark = async () => markOf((await platform.files.stat(path)) ?? expect.fail('the file is there'))
  await fs.writeFile(path, 'abc')
  const before = await mark()
  expect(sameMark(before, await mark())).toBe(true)
  expect(sameMark(before, JSON.parse(JSON.stringify(before)))).toBe(true)
  await fs.rename(path, `${path}.tmp`)
  await fs.rename(`${path}.tmp`, path)
  expect(sameMark(before, await mark())).toBe(true)
  await fs.copyFile(path, `${path}.copy`)
  await fs.rename(`${path}.copy`, path)
  expect(sameMark(before, await mark())).toBe(false)
})

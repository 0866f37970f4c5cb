// Goal: a file gets a name only if the name is free, also when somebody takes it at the last moment.
// Method: real files; one is put in the way after the first look, as another process would.
import * as fs from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import type { Files } from '../platform/files.ts'
import { systemPlatform } from '../platform/system.ts'
import { assertFree, placeNew } from './place-file.ts'

let folder: string
beforeEach(async () => {
  folder = await fs.mkdtemp(join(tmpdir(), 'kvar-place-'))
  await fs.writeFile(join(folder, 'scratch'), 'new')
})
afterEach(() => fs.rm(folder, { recursive: true }))

const taken = expect.objectContaining({ code: 'WOULD_OVERWRITE', hint: 'name another' })

/** As FAT behaves, which knows no second names. */
const withoutLinks = {
  ...systemPlatform,
  files: { ...systemPlatform.files, link: async () => 'unsupported' } satisfies Files as Files,
}

test.each([
  ['with links', systemPlatform],
  ['without links', withoutLinks],
])('%s: a free name is given, a taken one is left alone', async (_name, platform) => {
  const path = join(folder, 'app.db')
  assertFree(path, 'name another', platform)
  await placeNew(join(folder, 'scratch'), path, 'name another', platform)
  expect(await fs.readdir(folder)).toEqual(['app.db'])
  await fs.writeFile(join(folder, 'scratch'), 'newer')
  await expect(placeNew(join(folder, 'scratch'), path, 'name another', platform)).rejects.toThrow(taken)
  expect(await fs.readFile(path, 'utf8')).toBe('new')
})

test('a folder that is missing is said to be', () => {
  const path = join(folder, 'missing', 'app.db')
  expect(() => assertFree(path, 'x', systemPlatform)).toThrow(expect.objectContaining({ code: 'NOT_FOUND' }))
})

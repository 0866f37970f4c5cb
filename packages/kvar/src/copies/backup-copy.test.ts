/**
 * Goal: the .backup is a whole database at every moment. Method: the order of the calls, and the file
 * before and after a rename that fails.
 */
import * as fs from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { openSqlite } from '../platform/sqlite.ts'
import { systemPlatform } from '../platform/system.ts'
import { installBackupCopy } from './backup-copy.ts'
import { markOf, sameMark } from './ownership.ts'

let folder: string
let imagePath: string
let outPath: string
beforeEach(async () => {
  folder = await fs.mkdtemp(join(tmpdir(), 'kvar-backup-copy-'))
  imagePath = join(folder, 'image')
  outPath = join(folder, 'app.db.backup')
})
afterEach(() => fs.rm(folder, { recursive: true }))

function makeImage(value: number): void {
  const database = openSqlite(imagePath, { mode: 'create' })
  database.exec(`CREATE TABLE a (b); INSERT INTO a VALUES (${value})`)
  database.close()
}

test('the image becomes the copy, byte for byte, and its mark stays the same', async () => {
  makeImage(1)
  await installBackupCopy({ imagePath, outPath, platform: systemPlatform })
  makeImage(2)
  const bytes = await fs.readFile(imagePath)
  const facts = systemPlatform.files.statSync(imagePath)
  await installBackupCopy({ imagePath, outPath, platform: systemPlatform })
  expect(await fs.readFile(outPath)).toEqual(bytes)
  expect(await fs.readdir(folder)).toEqual(['app.db.backup'])
  const after = systemPlatform.files.statSync(outPath)
  expect(facts && after && sameMark(markOf(facts), markOf(after))).toBe(true)
})

test('content is forced before the rename, the folder after it', async () => {
  makeImage(1)
  const calls: string[] = []
  const files: typeof systemPlatform.files = {
    ...systemPlatform.files,
    openSync(path, mode) {
      const file = systemPlatform.files.openSync(path, mode)
      const sync = file.sync.bind(file)
      file.sync = () => {
        calls.push('sync')
        return sync()
      }
      return file
    },
    async rename(from, to) {
      calls.push('rename')
      await systemPlatform.files.rename(from, to)
    },
    async syncFolder() {
      calls.push('syncFolder')
    },
  }
  await installBackupCopy({ imagePath, outPath, platform: { ...systemPlatform, files } })
  expect(calls).toEqual(['sync', 'rename', 'syncFolder'])
})

test('a rename that fails leaves the older copy', async () => {
  await fs.writeFile(outPath, 'older')
  makeImage(1)
  const rename = () => Promise.reject(new Error('no'))
  const platform = { ...systemPlatform, files: { ...systemPlatform.files, rename } }
  await expect(installBackupCopy({ imagePath, outPath, platform })).rejects.toThrow('no')
  expect(await fs.readFile(outPath, 'utf8')).toBe('older')
})

import * as fs from 'node:fs'
import { type Files, systemErrorCode, systemFiles } from '../../packages/kvar/src/platform/files.ts'

/**
 * The real file system without its way through the thread pool, which costs ten times as much as the
 * calls themselves on a disk in memory: for loops over thousands of lives. What a call does and answers
 * is the same as in `systemFiles`.
 */
export const promptFiles: Files = {
  openSync: systemFiles.openSync,
  statSync: systemFiles.statSync,
  stat: async (path) => unlessAbsent(() => systemFiles.statSync(path)),
  readFile: async (path) => unlessAbsent(() => fs.readFileSync(path)),
  writeFile: async (path, bytes) => fs.writeFileSync(path, bytes),
  list: async (folder) =>
    unlessAbsent(() =>
      fs
        .readdirSync(folder, { withFileTypes: true })
        .map((entry) => ({ name: entry.name, isFolder: entry.isDirectory() }))
        .sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0)),
    ),
  makeFolder: async (path, mode) =>
    void fs.mkdirSync(path, { recursive: true, ...(mode === undefined ? {} : { mode }) }),
  rename: async (from, to) => fs.renameSync(from, to),
  async link(from, to) {
    try {
      fs.linkSync(from, to)
      return 'created'
    } catch (thrown) {
      if (systemErrorCode(thrown) === 'EEXIST') return 'exists'
      throw thrown
    }
  },
  remove: async (path) => unlessAbsent(() => fs.unlinkSync(path)),
  removeTree: async (path) => fs.rmSync(path, { recursive: true, force: true }),
  copyFile: async (from, to) => fs.copyFileSync(from, to),
  setModifiedAt: systemFiles.setModifiedAt,
  async syncFolder(path) {
    const descriptor = fs.openSync(path, 'r')
    fs.fsyncSync(descriptor)
    fs.closeSync(descriptor)
  },
  watch: () => undefined,
}

function unlessAbsent<T>(work: () => T): T | undefined {
  try {
    return work()
  } catch (thrown) {
    const code = systemErrorCode(thrown)
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined
    throw thrown
  }
}

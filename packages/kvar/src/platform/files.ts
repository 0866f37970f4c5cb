import * as fs from 'node:fs'
import * as fsp from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'

/**
 * The file system as Kvar uses it. Paths are absolute. Absence is an answer (`undefined`), every
 * other failure is thrown as Node reports it. The `…Sync` verbs exist for capture, where a read must
 * not be torn apart by the event loop.
 */
export interface Files {
  openSync(path: string, mode: 'read' | 'write' | 'create' | 'createNew'): OpenFile
  /** Follows no further than the path itself; undefined when nothing is there. */
  statSync(path: string): FileFacts | undefined
  stat(path: string): Promise<FileFacts | undefined>
  readFile(path: string): Promise<Uint8Array | undefined>
  /** Plain write without fsync: for caches whose loss costs nothing. */
  writeFile(path: string, bytes: Uint8Array | string): Promise<void>
  /** Sorted names in a folder; undefined when it is missing. */
  list(folder: string): Promise<DirectoryEntry[] | undefined>
  makeFolder(path: string, mode?: number): Promise<void>
  rename(from: string, to: string): Promise<void>
  /** A second name for the file: atomic create-if-absent of complete content. */
  link(from: string, to: string): Promise<'created' | 'exists' | 'unsupported'>
  remove(path: string): Promise<void>
  removeTree(path: string): Promise<void>
  copyFile(from: string, to: string): Promise<void>
  setModifiedAt(path: string, modifiedAtMs: number): Promise<void>
  /** Makes created, renamed and removed names in a folder survive a power cut. */
  syncFolder(path: string): Promise<void>
  /** Calls `changed` with the file's name for every change in a folder; answers undefined where watching is impossible. */
  watch(folder: string, changed: (name: string | undefined) => void): Watch | undefined
}

export interface FileFacts {
  sizeBytes: number
  modifiedAtMs: number
  /** Nanoseconds, for telling two writes apart. */
  modifiedAtNs: bigint
  deviceId: number
  inode: bigint
  isFolder: boolean
}

export interface DirectoryEntry {
  name: string
  isFolder: boolean
}

export interface Watch {
  close(): void
}

/** One open descriptor. Reads and writes are positioned; nothing is buffered. */
export interface OpenFile {
  /** Fills `buffer` from `offset`; answers how many bytes there were. */
  readSync(buffer: Uint8Array, offset: number): number
  writeSync(buffer: Uint8Array, offset: number): void
  truncateSync(sizeBytes: number): void
  factsSync(): FileFacts
  sync(): Promise<void>
  syncSync(): void
  closeSync(): void
}

const FLAGS = { read: 'r', write: 'r+', create: 'w+', createNew: 'wx+' } as const

function facts(stats: fs.BigIntStats): FileFacts {
  return {
    sizeBytes: Number(stats.size),
    modifiedAtMs: Number(stats.mtimeNs / 1_000_000n),
    modifiedAtNs: stats.mtimeNs,
    deviceId: Number(stats.dev),
    inode: stats.ino,
    isFolder: stats.isDirectory(),
  }
}

/** The code of a failed system call, such as `ENOENT`. */
export function systemErrorCode(thrown: unknown): string | undefined {
  const code = (thrown as { code?: unknown } | undefined)?.code
  return typeof code === 'string' ? code : undefined
}

async function unlessAbsent<T>(work: Promise<T>): Promise<T | undefined> {
  try {
    return await work
  } catch (thrown) {
    const code = systemErrorCode(thrown)
    if (code === 'ENOENT' || code === 'ENOTDIR') return undefined
    throw thrown
  }
}

class SystemFile implements OpenFile {
  readonly #descriptor: number
  constructor(descriptor: number) {
    this.#descriptor = descriptor
  }

  readSync(buffer: Uint8Array, offset: number): number {
    let done = 0
    while (done < buffer.length) {
      const count = fs.readSync(this.#descriptor, buffer, done, buffer.length - done, offset + done)
      if (count === 0) break
      done += count
    }
    return done
  }

  writeSync(buffer: Uint8Array, offset: number): void {
    let done = 0
    while (done < buffer.length) {
      done += fs.writeSync(this.#descriptor, buffer, done, buffer.length - done, offset + done)
    }
  }

  truncateSync(sizeBytes: number): void {
    fs.ftruncateSync(this.#descriptor, sizeBytes)
  }

  factsSync(): FileFacts {
    return facts(fs.fstatSync(this.#descriptor, { bigint: true }))
  }

  sync(): Promise<void> {
    return new Promise((resolve, reject) =>
      fs.fsync(this.#descriptor, (failed) => (failed ? reject(failed) : resolve())),
    )
  }

  syncSync(): void {
    fs.fsyncSync(this.#descriptor)
  }

  closeSync(): void {
    fs.closeSync(this.#descriptor)
  }
}

export const systemFiles: Files = {
  openSync: (path, mode) => new SystemFile(fs.openSync(path, FLAGS[mode], 0o600)),

  statSync(path) {
    const stats = fs.statSync(path, { bigint: true, throwIfNoEntry: false })
    return stats === undefined ? undefined : facts(stats)
  },

  async stat(path) {
    const stats = await unlessAbsent(fsp.stat(path, { bigint: true }))
    return stats === undefined ? undefined : facts(stats)
  },

  readFile: (path) => unlessAbsent(fsp.readFile(path)),
  writeFile: (path, bytes) => fsp.writeFile(path, bytes),

  async list(folder) {
    const entries = await unlessAbsent(fsp.readdir(folder, { withFileTypes: true }))
    return entries
      ?.map((entry) => ({ name: entry.name, isFolder: entry.isDirectory() }))
      .sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0))
  },

  async makeFolder(path, mode) {
    await fsp.mkdir(path, { recursive: true, ...(mode === undefined ? {} : { mode }) })
  },

  rename: (from, to) => fsp.rename(from, to),

  async link(from, to) {
    try {
      await fsp.link(from, to)
      return 'created'
    } catch (thrown) {
      const code = systemErrorCode(thrown)
      if (code === 'EEXIST') return 'exists'
      if (code === 'EPERM' || code === 'ENOSYS' || code === 'EOPNOTSUPP' || code === 'EMLINK')
        return 'unsupported'
      throw thrown
    }
  },

  async remove(path) {
    await unlessAbsent(fsp.unlink(path))
  },

  removeTree: (path) => fsp.rm(path, { recursive: true, force: true }),
  copyFile: (from, to) => fsp.copyFile(from, to),

  async setModifiedAt(path, modifiedAtMs) {
    // Seconds as a double lose a millisecond on half of all times; a microsecond more keeps it.
    const seconds = (modifiedAtMs + 0.001) / 1000
    // Not worth a way through the thread pool, which takes ten times as long as the call.
    fs.utimesSync(path, seconds, seconds)
  },

  syncFolder(path) {
    return new Promise((resolve, reject) => {
      // Only what waits for the disk goes through the thread pool.
      const descriptor = fs.openSync(path, 'r')
      fs.fsync(descriptor, (failed) => {
        fs.closeSync(descriptor)
        if (failed) reject(failed)
        else resolve()
      })
    })
  },

  watch(folder, changed) {
    try {
      const watcher = fs.watch(folder, { persistent: false }, (_kind, name) => changed(name ?? undefined))
      watcher.on('error', () => watcher.close())
      return { close: () => watcher.close() }
    } catch {
      return undefined
    }
  },
}

/** Writes a whole file so that after a crash either the old or the new content is there. */
export async function writeFileAtomically(
  files: Files,
  path: string,
  bytes: Uint8Array | string,
  options: { durable: boolean },
): Promise<void> {
  const temporary = join(dirname(path), `.${basename(path)}.tmp`)
  await files.writeFile(temporary, bytes)
  if (options.durable) await syncFile(files, temporary)
  await files.rename(temporary, path)
  if (options.durable) await files.syncFolder(dirname(path))
}

/** Forces a file's content to the disk. Never call it on a database: closing drops SQLite's locks. */
export async function syncFile(files: Files, path: string): Promise<void> {
  const file = files.openSync(path, 'write')
  try {
    await file.sync()
  } finally {
    file.closeSync()
  }
}

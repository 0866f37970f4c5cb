import * as fs from 'node:fs'
import { join } from 'node:path'

interface SavedFile {
  path: string
  bytes: Buffer
  modifiedAtNs: bigint
}

function save(path: string): SavedFile {
  const { mtimeNs: modifiedAtNs } = fs.statSync(path, { bigint: true })
  return { path, bytes: fs.readFileSync(path), modifiedAtNs }
}

function putBack({ path, bytes, modifiedAtNs }: SavedFile): void {
  fs.writeFileSync(path, bytes)
  setTime(path, modifiedAtNs)
}

/** To a fraction of a microsecond: a time cut off to milliseconds would look like one that a program has set. */
export function setTime(path: string, modifiedAtNs: bigint): void {
  const seconds = Number(modifiedAtNs) / 1e9
  fs.utimesSync(path, seconds, seconds)
}

/** SQLite's files as they lie there: connections of this process clean up after themselves, a killed one does not. */
export class SqliteFiles {
  readonly #paths: string[]
  readonly #files: SavedFile[]

  constructor(databasePath: string) {
    this.#paths = ['', '-wal', '-journal'].map((suffix) => databasePath + suffix)
    this.#files = this.#paths.filter((path) => fs.existsSync(path)).map(save)
  }

  /** A file that shows the same is left alone. */
  putBack(): void {
    const there = this.#paths.filter((path) => fs.existsSync(path))
    for (const path of there) if (!this.#files.some((file) => file.path === path)) fs.rmSync(path)
    for (const file of this.#files)
      if (!there.includes(file.path) || !fs.readFileSync(file.path).equals(file.bytes)) putBack(file)
    // An index of frames that are gone; SQLite makes it anew.
    fs.rmSync(`${this.#paths[0]}-shm`, { force: true })
  }
}

/** Everything that lies in some folders, kept in memory, to start from again and again. */
export class DiskImage {
  readonly #roots: string[]
  readonly #folders: string[] = []
  readonly #files: SavedFile[] = []

  constructor(roots: string[]) {
    this.#roots = roots
    for (const root of roots) this.#take(root)
  }

  bringBack(): void {
    for (const root of this.#roots) fs.rmSync(root, { recursive: true, force: true })
    for (const folder of this.#folders) fs.mkdirSync(folder, { mode: 0o700 })
    for (const file of this.#files) putBack(file)
  }

  #take(folder: string): void {
    this.#folders.push(folder)
    for (const entry of fs.readdirSync(folder, { withFileTypes: true })) {
      const path = join(folder, entry.name)
      if (entry.isDirectory()) this.#take(path)
      else this.#files.push(save(path))
    }
  }
}

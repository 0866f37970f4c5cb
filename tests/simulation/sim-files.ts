import { basename } from 'node:path'
import type { FileFacts, Files, OpenFile, Watch } from '../../packages/kvar/src/platform/files.ts'
import type { Dice } from './dice.ts'
import { failed, type Inode, type SimDisk } from './sim-disk.ts'
import type { Life } from './timeline.ts'

/** How long the file system takes. */
const USUAL_MS = 0.4
const LONGEST_MS = 20
/** How long an event of the file system takes to its listener. */
const EVENT_MS = 1

/** A simulated disk as one process sees it. */
export class SimFiles implements Files {
  readonly #disk: SimDisk
  readonly #life: Life
  readonly #dice: Dice
  readonly #watchable: boolean
  /** When the last event that is on its way reaches its listener. */
  eventsDueMs = 0

  /** @param watchable false for file systems that tell no changes */
  constructor(disk: SimDisk, life: Life, dice: Dice, watchable: boolean) {
    this.#disk = disk
    this.#life = life
    this.#dice = dice
    this.#watchable = watchable
  }

  openSync(path: string, mode: 'read' | 'write' | 'create' | 'createNew'): OpenFile {
    this.#assertAlive()
    let inode = this.#disk.find(path)
    if (inode !== undefined && mode === 'createNew') throw failed('EEXIST', path)
    if (inode === undefined && (mode === 'read' || mode === 'write')) throw failed('ENOENT', path)
    if (inode?.isFolder) throw failed('EISDIR', path)
    if (inode !== undefined && mode === 'create') this.#disk.truncate(inode, path, 0)
    inode ??= this.#disk.create(path)
    return new SimFile(this.#disk, inode, path, () => this.#assertAlive(), this.#later)
  }

  statSync(path: string): FileFacts | undefined {
    this.#assertAlive()
    const inode = this.#disk.find(path)
    return inode === undefined ? undefined : factsOf(inode, this.#disk)
  }

  stat(path: string): Promise<FileFacts | undefined> {
    return this.#later('stat', path, () => this.statSync(path))
  }

  readFile(path: string): Promise<Uint8Array | undefined> {
    return this.#later('read', path, () => this.#disk.find(path)?.bytes.slice())
  }

  writeFile(path: string, bytes: Uint8Array | string): Promise<void> {
    // Emptied first, then filled: a crash in between leaves a torn file.
    const emptied = this.#later('truncate', path, () => this.openSync(path, 'create'))
    return emptied.then((file) => this.#later('write', path, () => file.writeSync(bytesOf(bytes), 0)))
  }

  list(folder: string) {
    return this.#later('list', folder, () => {
      if (this.#disk.find(folder) === undefined) return undefined
      return this.#disk
        .children(folder)
        .map((path) => ({ name: basename(path), isFolder: this.#disk.find(path)?.isFolder === true }))
    })
  }

  makeFolder(path: string): Promise<void> {
    return this.#later('mkdir', path, () => this.#disk.makeFolder(path))
  }

  rename(from: string, to: string): Promise<void> {
    return this.#later('rename', to, () => this.#disk.rename(from, to))
  }

  link(from: string, to: string): Promise<'created' | 'exists' | 'unsupported'> {
    return this.#later('link', to, () => {
      if (this.#disk.find(to) !== undefined) return 'exists'
      this.#disk.link(from, to)
      return 'created'
    })
  }

  remove(path: string): Promise<void> {
    return this.#later('remove', path, () => this.#disk.remove(path))
  }

  removeTree(path: string): Promise<void> {
    return this.#later('remove', path, () => this.#disk.removeTree(path))
  }

  copyFile(from: string, to: string): Promise<void> {
    return this.#later('copy', to, () => {
      const source = this.#disk.find(from)
      if (source === undefined) throw failed('ENOENT', from)
      const file = this.openSync(to, 'create')
      file.writeSync(source.bytes, 0)
    })
  }

  setModifiedAt(path: string, modifiedAtMs: number): Promise<void> {
    return this.#later('utimes', path, () => {
      const inode = this.#disk.find(path)
      if (inode === undefined) throw failed('ENOENT', path)
      inode.modifiedAtNs = BigInt(Math.round(modifiedAtMs * 1000)) * 1000n
    })
  }

  syncFolder(path: string): Promise<void> {
    return this.#later('fsync', path, () => this.#disk.syncFolder(path))
  }

  watch(folder: string, changed: (name: string | undefined) => void): Watch | undefined {
    if (!this.#watchable) return undefined
    const underWay = new Set<string>()
    const told = (name: string) => {
      // The kernel folds events of one name that were not read yet into one.
      if (underWay.has(name) || !this.#life.alive) return
      underWay.add(name)
      const { timeline } = this.#disk
      const event = () => {
        underWay.delete(name)
        if (this.#disk.watches.has(watch)) changed(name)
      }
      const delayMs = this.#dice.delayMs(EVENT_MS, EVENT_MS * 5)
      this.eventsDueMs = Math.max(this.eventsDueMs, timeline.nowMs + delayMs)
      timeline.at(delayMs, this.#life, `${this.#life.name} event ${name}`, event)
    }
    const watch = { folder, life: this.#life, told }
    this.#disk.watches.add(watch)
    return { close: () => void this.#disk.watches.delete(watch) }
  }

  readonly #later = <T>(what: string, path: string, work: () => T): Promise<T> =>
    new Promise((resolve, reject) => {
      const delayMs = this.#dice.delayMs(USUAL_MS, LONGEST_MS)
      this.#disk.timeline.at(delayMs, this.#life, `${this.#life.name} ${what} ${path}`, () => {
        try {
          resolve(work())
        } catch (thrown) {
          reject(thrown)
        }
      })
    })

  #assertAlive(): void {
    if (!this.#life.alive) throw new Error(`${this.#life.name} goes on after its end`)
  }
}

type Later = <T>(what: string, path: string, work: () => T) => Promise<T>

class SimFile implements OpenFile {
  readonly #disk: SimDisk
  readonly #inode: Inode
  readonly #path: string
  readonly #assertAlive: () => void
  readonly #later: Later
  #isClosed = false

  constructor(disk: SimDisk, inode: Inode, path: string, assertAlive: () => void, later: Later) {
    this.#disk = disk
    this.#inode = inode
    this.#path = path
    this.#assertAlive = assertAlive
    this.#later = later
  }

  readSync(buffer: Uint8Array, offset: number): number {
    this.#assertOpen()
    const part = this.#inode.bytes.subarray(offset, offset + buffer.length)
    buffer.set(part)
    return part.length
  }

  writeSync(buffer: Uint8Array, offset: number): void {
    this.#assertOpen()
    this.#disk.write(this.#inode, this.#path, buffer, offset)
  }

  truncateSync(sizeBytes: number): void {
    this.#assertOpen()
    this.#disk.truncate(this.#inode, this.#path, sizeBytes)
  }

  factsSync(): FileFacts {
    this.#assertOpen()
    return factsOf(this.#inode, this.#disk)
  }

  sync(): Promise<void> {
    this.#assertOpen()
    return this.#later('fsync', this.#path, () => this.#disk.sync(this.#inode))
  }

  syncSync(): void {
    this.#assertOpen()
    this.#disk.sync(this.#inode)
  }

  closeSync(): void {
    this.#assertOpen()
    this.#isClosed = true
  }

  #assertOpen(): void {
    this.#assertAlive()
    if (this.#isClosed) throw failed('EBADF', this.#path)
  }
}

function factsOf(inode: Inode, disk: SimDisk): FileFacts {
  return {
    sizeBytes: inode.bytes.length,
    modifiedAtMs: Number(inode.modifiedAtNs / 1_000_000n),
    modifiedAtNs: inode.modifiedAtNs,
    deviceId: disk.deviceId,
    inode: inode.number,
    isFolder: inode.isFolder,
  }
}

function bytesOf(bytes: Uint8Array | string): Uint8Array {
  return typeof bytes === 'string' ? new TextEncoder().encode(bytes) : bytes
}

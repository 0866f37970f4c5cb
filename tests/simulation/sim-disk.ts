import { dirname } from 'node:path'
import type { WriterState } from '../../packages/kvar/src/platform/file-locks.ts'
import type { Dice } from './dice.ts'
import type { Life, Timeline } from './timeline.ts'

/** Any moment; only that it is always the same one matters. */
export const BEGIN_MS = Date.UTC(2026, 10, 23, 14, 3, 7)
/** The kernel's clock for time stamps ticks this slowly. */
const STAMP_GRAIN_MS = 4
const SECTOR_BYTES = 512

export class Inode {
  readonly number: bigint
  readonly isFolder: boolean
  bytes: Uint8Array = new Uint8Array(0)
  /** What a power cut cannot take any more. */
  synced: Uint8Array = new Uint8Array(0)
  modifiedAtNs = 0n
  isDirty = false
  /** What the process that writes to this file has locked. */
  writer: WriterState = 'none'

  constructor(number: bigint, isFolder: boolean) {
    this.number = number
    this.isFolder = isFolder
  }

  sync(): void {
    this.synced = this.bytes.slice()
    this.isDirty = false
  }
}

interface NameChange {
  folders: string[]
  apply: (names: Map<string, Inode>) => void
}

export interface DiskWatch {
  folder: string
  life: Life
  told: (name: string) => void
}

/**
 * A disk in memory. Content counts as safe when its file was synced, names when their folder was. As
 * in a file system with a journal, names become safe in the order in which they were changed.
 */
export class SimDisk {
  readonly deviceId: number
  readonly timeline: Timeline
  readonly watches = new Set<DiskWatch>()
  /** What the machine's wall clock is ahead of the world's time. */
  clockAheadMs = 0
  /** A lying disk: answers every sync without doing it. */
  ignoresSync = false
  #names = new Map<string, Inode>()
  #safeNames = new Map<string, Inode>()
  #changes: NameChange[] = []
  readonly #inodes = new Map<bigint, Inode>()

  constructor(deviceId: number, timeline: Timeline) {
    this.deviceId = deviceId
    this.timeline = timeline
    this.create('/', true)
  }

  /** Writes, renames and removals so far: an idle machine adds none. */
  writes = 0

  get wallMs(): number {
    return BEGIN_MS + this.timeline.nowMs + this.clockAheadMs
  }

  find(path: string): Inode | undefined {
    return this.#names.get(path)
  }

  inode(number: bigint): Inode | undefined {
    return this.#inodes.get(number)
  }

  create(path: string, isFolder = false): Inode {
    if (path !== '/' && this.find(dirname(path))?.isFolder !== true) throw failed('ENOENT', path)
    const inode = new Inode(BigInt(this.#inodes.size + 1), isFolder)
    this.#inodes.set(inode.number, inode)
    this.touch(inode)
    this.#change([path], (names) => names.set(path, inode))
    return inode
  }

  makeFolder(path: string): void {
    if (this.find(path) !== undefined) return
    if (path !== '/') this.makeFolder(dirname(path))
    this.create(path, true)
  }

  remove(path: string): void {
    if (this.find(path) !== undefined) this.#change([path], (names) => names.delete(path))
  }

  removeTree(path: string): void {
    for (const name of this.paths()) if (name === path || name.startsWith(`${path}/`)) this.remove(name)
  }

  rename(from: string, to: string): void {
    const inode = this.find(from)
    if (inode === undefined) throw failed('ENOENT', from)
    this.#change([from, to], (names) => {
      names.delete(from)
      names.set(to, inode)
    })
  }

  link(from: string, to: string): void {
    const inode = this.find(from)
    if (inode === undefined) throw failed('ENOENT', from)
    this.#change([to], (names) => names.set(to, inode))
  }

  paths(): string[] {
    return [...this.#names.keys()].sort()
  }

  children(folder: string): string[] {
    return this.paths().filter((path) => path !== '/' && dirname(path) === folder)
  }

  /** Replaces the content of a file from `offset` on. */
  write(inode: Inode, path: string, bytes: Uint8Array, offset: number): void {
    if (offset + bytes.length > inode.bytes.length) this.#resize(inode, offset + bytes.length)
    inode.bytes.set(bytes, offset)
    this.touch(inode)
    this.#tell(path)
  }

  truncate(inode: Inode, path: string, sizeBytes: number): void {
    if (inode.bytes.length === sizeBytes) return
    this.#resize(inode, sizeBytes)
    this.touch(inode)
    this.#tell(path)
  }

  touch(inode: Inode): void {
    const stampMs = Math.floor(this.wallMs / STAMP_GRAIN_MS) * STAMP_GRAIN_MS
    inode.modifiedAtNs = BigInt(stampMs) * 1_000_000n
    inode.isDirty = true
    this.writes += 1
  }

  sync(inode: Inode): void {
    if (!this.ignoresSync) inode.sync()
  }

  /** Everything up to the last change in this folder becomes safe. */
  syncFolder(folder: string): void {
    if (!this.ignoresSync) this.commitNames(folder)
  }

  commitNames(folder: string): void {
    const last = this.#changes.findLastIndex((change) => change.folders.includes(folder))
    for (const change of this.#changes.splice(0, last + 1)) change.apply(this.#safeNames)
  }

  /** What was not synced is kept, dropped or torn. */
  powerCut(dice: Dice): void {
    const kept = dice.between(0, this.#changes.length)
    for (const change of this.#changes.splice(0, kept)) change.apply(this.#safeNames)
    this.#changes = []
    this.#names = new Map([...this.#safeNames])
    for (const inode of new Set(this.#names.values())) {
      if (inode.isDirty) inode.bytes = afterPowerCut(inode, dice)
      inode.sync()
      inode.writer = 'none'
    }
  }

  /** What the kernel does when a process ends. */
  letGo(life: Life): void {
    for (const watch of this.watches) if (watch.life === life) this.watches.delete(watch)
  }

  releaseLocks(): void {
    for (const inode of this.#names.values()) inode.writer = 'none'
  }

  #change(paths: string[], apply: NameChange['apply']): void {
    this.writes += 1
    apply(this.#names)
    this.#changes.push({ folders: paths.map((path) => dirname(path)), apply })
    for (const path of paths) this.#tell(path)
  }

  #resize(inode: Inode, sizeBytes: number): void {
    const bytes = new Uint8Array(sizeBytes)
    bytes.set(inode.bytes.subarray(0, sizeBytes))
    inode.bytes = bytes
  }

  #tell(path: string): void {
    const folder = dirname(path)
    for (const watch of this.watches) if (watch.folder === folder) watch.told(path.slice(folder.length + 1))
  }
}

function afterPowerCut(inode: Inode, dice: Dice): Uint8Array {
  const fate = dice.pick(['kept', 'dropped', 'torn'])
  if (fate !== 'torn') return fate === 'kept' ? inode.bytes : inode.synced.slice()
  const torn = new Uint8Array(dice.pick([inode.bytes.length, inode.synced.length]))
  for (let offset = 0; offset < torn.length; offset += SECTOR_BYTES) {
    const source = dice.chance(0.5) ? inode.bytes : inode.synced
    torn.set(source.subarray(offset, Math.min(offset + SECTOR_BYTES, torn.length)), offset)
  }
  return torn
}

/** An error as Node reports it. */
export function failed(code: string, path: string): Error {
  return Object.assign(new Error(`${code}: ${path}`), { code })
}

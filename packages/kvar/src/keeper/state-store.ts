import { join } from 'node:path'
import type { CapturePosition } from '../capture/capture-source.ts'
import { PageTable } from '../capture/page-table.ts'
import { KvarError } from '../errors.ts'
import { isPageSize } from '../formats/database-header.ts'
import { type OpenFile, writeFileAtomically } from '../platform/files.ts'
import type { Platform } from '../platform/platform.ts'
import { isSoundMemory } from './sound-memory.ts'
import { applyNote, replayNotes, type VersionNote, VersionNotes } from './version-notes.ts'

/*
 * What the keeper remembers between its lives, in `.NAME-kvar/`. All of it is a cache (R10): losing
 * it costs a comparison or a branch, never content. Nothing here is synced to the disk, except the
 * intent of a restore, which has its own file.
 *
 *   state.json   which version the database had, where capture stood, how far each target is
 *   notes.bin    what happened to versions since state.json was written: see version-notes.ts
 *   pages.bin    the page checksum table of that version
 *
 * pages.bin: `KVP1`, page size u32, version u64, page count u64, database checksum u64 (all
 * big-endian), then one u64 a page in the machine's own order. A table whose sum is not its database
 * checksum is torn and counts as lost.
 */

export const STATE_FORMAT = 1
/** How many versions and WAL generations are remembered to recognise a disk that went back. */
const HISTORY_LIMIT = 64

export interface KeeperMemory {
  format: number
  lineage: string
  /** The node id under which `version` was appended; hexadecimal. */
  nodeId: string
  /** Newest version the ledger confirmed while this database showed it; 0 for none. */
  version: number
  databaseChecksum: string
  timestampMs: number
  /** The version that was on its way to the ledger, noted before it was sent. */
  intent?: { version: number; databaseChecksum: string; nodeId: string } | undefined
  /**
   * The database was opened without knowing the newest version: until the ledger has taken a version
   * from here, a keeper that is started again must not think that the content follows the newest one.
   */
  beganStale?: boolean | undefined
  position: CapturePosition
  notedAtMs: number
  /** Newest last: earlier versions by database checksum, with the WAL generation they were in. */
  history: Array<{ version: number; databaseChecksum: string; salts: string | null; frameCount: number }>
  /** The newest WAL place known to be back in the database file. */
  checkpointed?: { salts: string; frameCount: number } | undefined
  /** Newest version confirmed by each target, by URL. */
  targets: Record<string, { version: number }>
  copies: { json?: CopyMemory; backup?: CopyMemory }
  /** Notes of notes.bin that are part of this. */
  notes?: number
}

export interface CopyMemory {
  version: number
  timeMs: number
  /** Marks of the file as it was written, and of the one about to be written. */
  marks: Array<{ sizeBytes: number; modifiedAtNs: string; inode: string }>
}

export function emptyMemory(lineage: string, nodeId: string): KeeperMemory {
  return {
    format: STATE_FORMAT,
    lineage,
    nodeId,
    version: 0,
    databaseChecksum: '0',
    timestampMs: 0,
    position: { changeCounter: 0 },
    notedAtMs: 0,
    history: [],
    targets: {},
    copies: {},
  }
}

/** The log begins anew: nothing that was remembered of the old one's versions holds any more. */
export function forgetVersions(memory: KeeperMemory): void {
  memory.version = 0
  memory.databaseChecksum = '0'
  memory.timestampMs = 0
  memory.intent = undefined
  memory.history = []
  memory.checkpointed = undefined
  memory.targets = {}
}

/** Adds what is now the newest version; the oldest entries are forgotten. */
export function remember(memory: KeeperMemory): void {
  const { version, databaseChecksum, position } = memory
  const salts = saltsOf(position)
  memory.history.push({ version, databaseChecksum, salts, frameCount: position.wal?.frameCount ?? 0 })
  if (memory.history.length > HISTORY_LIMIT) memory.history.splice(0, memory.history.length - HISTORY_LIMIT)
}

export function saltsOf(position: CapturePosition): string | null {
  return position.wal === undefined ? null : `${position.wal.salt1}-${position.wal.salt2}`
}

const HEADER_BYTES = 32
const MAGIC = 0x4b565031

export class StateStore {
  readonly folder: string
  readonly #platform: Platform
  #pages: OpenFile | undefined
  #pagesBytes = 0
  #notes: VersionNotes | undefined
  /** The newest note that state.json holds. */
  #savedNotes = 0
  #saving: Promise<void> = Promise.resolve()

  constructor(folder: string, platform: Platform) {
    this.folder = folder
    this.#platform = platform
  }

  path(name: string): string {
    return join(this.folder, name)
  }

  /** @throws KvarError `FORMAT_TOO_NEW` when a newer Kvar wrote the state */
  async load(): Promise<{ memory: KeeperMemory; table: PageTable | undefined } | undefined> {
    const bytes = await this.#platform.files.readFile(this.path('state.json'))
    const memory = bytes === undefined ? undefined : parseMemory(bytes, this.folder)
    if (memory === undefined) return undefined
    replayNotes(memory, (await this.#platform.files.readFile(this.path('notes.bin'))) ?? new Uint8Array(0))
    const saved = this.#readTable()
    if (saved !== undefined && confirmsIntent(memory, saved)) return { memory, table: saved.table }
    const fits =
      saved?.version === memory.version && saved.table.databaseChecksum === BigInt(memory.databaseChecksum)
    return { memory, table: fits ? saved.table : undefined }
  }

  /** Notes the memory as it is when its turn comes: saves of several tasks never overlap. */
  save(memory: KeeperMemory): Promise<void> {
    const path = this.path('state.json')
    const write = async () => {
      const notes = memory.notes ?? 0
      await writeFileAtomically(this.#platform.files, path, JSON.stringify(memory), { durable: false })
      this.#savedNotes = notes
    }
    const saved = this.#saving.then(write)
    this.#saving = saved.catch(() => undefined)
    return saved
  }

  /** Takes a note into the memory and keeps it, for a fraction of what `save` costs. */
  async note(memory: KeeperMemory, note: VersionNote): Promise<void> {
    applyNote(memory, note)
    const number = (memory.notes ?? 0) + 1
    memory.notes = number
    const room = number - this.#savedNotes < VersionNotes.limit
    if (this.#notes !== undefined && room && this.#notes.write(number, note)) return
    await this.save(memory)
    this.#notes ??= new VersionNotes(this.path('notes.bin'), this.#platform)
  }

  /** Notes the table of a version; only the pages that changed since the last call are written. */
  savePages(table: PageTable, version: number, changed: number[] | 'all'): void {
    const fresh = this.#pages === undefined
    this.#pages ??= this.#platform.files.openSync(this.path('pages.bin'), 'create')
    const entries = table.entries()
    const bytes = new Uint8Array(entries.buffer, entries.byteOffset, entries.byteLength)
    if (fresh || changed === 'all') this.#pages.writeSync(bytes, HEADER_BYTES)
    else for (const pageNumber of changed) this.#writeEntry(bytes, pageNumber)
    // Also when nothing changes, the call would begin a transaction of the file system.
    if (this.#pagesBytes !== bytes.length) this.#pages.truncateSync(HEADER_BYTES + bytes.length)
    this.#pagesBytes = bytes.length
    this.#pages.writeSync(tableHeader(table, version), 0)
  }

  #writeEntry(bytes: Uint8Array, pageNumber: number): void {
    const start = (pageNumber - 1) * 8
    if (start < bytes.length) this.#pages?.writeSync(bytes.subarray(start, start + 8), HEADER_BYTES + start)
  }

  #readTable(): { table: PageTable; version: number } | undefined {
    const path = this.path('pages.bin')
    const facts = this.#platform.files.statSync(path)
    if (facts === undefined || facts.sizeBytes < HEADER_BYTES) return undefined
    const file = this.#platform.files.openSync(path, 'read')
    try {
      const bytes = new Uint8Array(facts.sizeBytes)
      file.readSync(bytes, 0)
      return parseTable(bytes)
    } finally {
      file.closeSync()
    }
  }

  close(): void {
    const [pages, notes] = [this.#pages, this.#notes]
    this.#pages = undefined
    this.#notes = undefined
    closeQuietly(() => pages?.closeSync())
    closeQuietly(() => notes?.close())
  }
}

/** A disk that cannot keep the cache is heard of when it is written; it must not stop the end of a life. */
function closeQuietly(close: () => void): void {
  try {
    close()
  } catch {
    // The next start compares what was not kept.
  }
}

function tableHeader(table: PageTable, version: number): Uint8Array {
  const header = new DataView(new ArrayBuffer(HEADER_BYTES))
  header.setUint32(0, MAGIC)
  header.setUint32(4, table.pageSize)
  header.setBigUint64(8, BigInt(version))
  header.setBigUint64(16, BigInt(table.pageCount))
  header.setBigUint64(24, table.databaseChecksum)
  return new Uint8Array(header.buffer)
}

function parseTable(bytes: Uint8Array): { table: PageTable; version: number } | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset)
  const pageCount = Number(view.getBigUint64(16))
  if (view.getUint32(0) !== MAGIC || bytes.length !== HEADER_BYTES + pageCount * 8) return undefined
  if (!isPageSize(view.getUint32(4))) return undefined
  const entries = new BigUint64Array(bytes.slice(HEADER_BYTES).buffer)
  const table = PageTable.of(view.getUint32(4), entries)
  if (table.databaseChecksum !== view.getBigUint64(24)) return undefined
  return { table, version: Number(view.getBigUint64(8)) }
}

/** Died after the table of a confirmed version was written and before state.json was: the table is right. */
function confirmsIntent(memory: KeeperMemory, saved: { table: PageTable; version: number }): boolean {
  const { intent } = memory
  if (intent === undefined || saved.version !== intent.version) return false
  if (saved.table.databaseChecksum !== BigInt(intent.databaseChecksum)) return false
  memory.version = intent.version
  memory.databaseChecksum = intent.databaseChecksum
  memory.nodeId = intent.nodeId
  memory.intent = undefined
  return true
}

function parseMemory(bytes: Uint8Array, folder: string): KeeperMemory | undefined {
  const value = parsedState(bytes)
  const format = (value as Partial<KeeperMemory> | null | undefined)?.format
  if (typeof format === 'number' && format > STATE_FORMAT) {
    throw new KvarError('FORMAT_TOO_NEW', `"${folder}" was written by a newer Kvar (format ${format})`, {
      hint: 'use that version of Kvar, or remove the folder: it is only a cache',
    })
  }
  return format === STATE_FORMAT && isSoundMemory(value) ? (value as KeeperMemory) : undefined
}

/** Undefined when it was torn by a power cut: a cache that is lost. */
function parsedState(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder().decode(bytes))
  } catch {
    return undefined
  }
}

import type { CapturePosition } from '../capture/capture-source.ts'
import { PageTable } from '../capture/page-table.ts'
import { assert } from '../errors.ts'
import type { Platform } from '../platform/platform.ts'
import { nodeText } from './start/situation.ts'
import type { KeeperMemory, StateStore } from './state-store.ts'
import { saltsOf } from './state-store.ts'
import type { PreparedVersion } from './version-cutter.ts'

/** What is remembered of the newest confirmed version: its page table, and the notes of its versions. */
export class HeadRecord {
  readonly #memory: KeeperMemory
  readonly #store: StateStore
  readonly #platform: Platform
  readonly #node: string
  readonly #ledgerUrl: string | undefined
  #table: PageTable | undefined

  constructor(options: {
    memory: KeeperMemory
    table: PageTable | undefined
    store: StateStore
    platform: Platform
    nodeId: bigint
    ledgerUrl: string | undefined
  }) {
    this.#memory = options.memory
    this.#table = options.table
    this.#store = options.store
    this.#platform = options.platform
    this.#node = nodeText(options.nodeId)
    this.#ledgerUrl = options.ledgerUrl
  }

  /** Notes a version before it is sent: after a crash it tells our own version from another keeper's. */
  intend(version: PreparedVersion): Promise<void> {
    const databaseChecksum = version.databaseChecksum.toString()
    const intent = { version: version.version, databaseChecksum, nodeId: this.#node }
    return this.#store.note(this.#memory, { kind: 'intent', ...intent })
  }

  /**
   * Notes that the ledger holds a version. The memory is right even if the disk refuses the note.
   *
   * @throws what the file system throws
   */
  async advance(version: PreparedVersion): Promise<void> {
    const fresh = this.#applyPages(version)
    const changed = version.changed.map(([pageNumber]) => pageNumber)
    try {
      this.#store.savePages(this.#table as PageTable, version.version, fresh ? 'all' : changed)
    } finally {
      await this.#noteConfirmed(version)
    }
  }

  #noteConfirmed(version: PreparedVersion): Promise<void> {
    return this.#store.note(this.#memory, {
      kind: 'confirmed',
      version: version.version,
      databaseChecksum: version.databaseChecksum.toString(),
      timestampMs: version.timestampMs,
      nodeId: this.#node,
      position: version.position,
      notedAtMs: this.#platform.clock.nowMs(),
      ledgerUrl: this.#ledgerUrl ?? null,
    })
  }

  /** Notes that the WAL is back in the database up to here; `sideFilesAreStale` needs it after a crash. */
  async noteCheckpoint(position: CapturePosition): Promise<void> {
    const salts = saltsOf(position)
    if (salts === null || this.#memory.version === 0) return
    this.#memory.checkpointed = { salts, frameCount: position.wal?.frameCount ?? 0 }
    await this.#store.save(this.#memory)
  }

  /** The table must come out as the version says: a pair of checks (R6). Answers whether it is a new one. */
  #applyPages(version: PreparedVersion): boolean {
    const fresh = this.#table === undefined || this.#table.pageSize !== version.pageSize
    if (fresh) this.#table = new PageTable(version.pageSize, version.pageCount)
    const table = this.#table as PageTable
    table.resize(version.pageCount)
    for (const [pageNumber, checksum] of version.changed) table.set(pageNumber, checksum)
    assert(
      table.databaseChecksum === version.databaseChecksum,
      `version ${version.version} is not what was captured`,
    )
    return fresh
  }
}

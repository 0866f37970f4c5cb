import type { Platform } from '../platform/platform.ts'
import type { SqliteConnection } from '../platform/sqlite.ts'

/**
 * Two connections that take turns in holding a read transaction, so that no committed frame of the
 * WAL vanishes before it was read and yet no single lock stops every checkpoint.
 *
 * Why it is enough (docs/decisions/011-rolling-read-lock.md): a WAL is restarted only when all of it
 * is back in the database and no reader holds a mark above zero. `roll` begins the new transaction,
 * lets the caller read up to the last commit, and only then ends the old one.
 */
export class RollingReadLock {
  #held: Reader | undefined
  #idle: Reader
  #other: Reader
  /** Never holds a transaction: SQLite answers `visibleFrames` only outside of one. */
  readonly #asking: Reader

  /** All connections are opened at once; the caller opened its own descriptor of the file before. */
  constructor(path: string, platform: Platform) {
    this.#idle = new Reader(path, platform)
    this.#other = new Reader(path, platform)
    this.#asking = new Reader(path, platform)
  }

  /** Begins the next transaction, runs `read` under both, ends the former one. */
  roll<T>(read: () => T): T {
    const next = this.#idle
    next.begin()
    try {
      const result = read()
      this.#held?.end()
      this.#idle = this.#held ?? this.#other
      this.#held = next
      return result
    } catch (thrown) {
      next.end()
      throw thrown
    }
  }

  /**
   * How many frames of the WAL are committed as SQLite sees it (mxFrame of the WAL index). The file may
   * hold more: a writer that is killed between its last frame and the index has not committed, and the
   * next writer puts its own frames in that place.
   */
  visibleFrames(): number {
    return this.#asking.visibleFrames()
  }

  /** Moves what it can from the WAL into the database without waiting for anyone. */
  checkpoint(): { busy: boolean; complete: boolean } {
    const row = this.#idle.checkpoint()
    return { busy: row.busy !== 0, complete: row.busy === 0 && row.log === row.checkpointed }
  }

  /** Lets every checkpoint pass. What is missed meanwhile has to be compared. */
  release(): void {
    this.#held?.end()
    if (this.#held !== undefined) {
      this.#other = this.#idle
      this.#idle = this.#held
      this.#held = undefined
    }
  }

  close(): void {
    this.release()
    this.#idle.close()
    this.#other.close()
    this.#asking.close()
  }
}

interface CheckpointRow {
  busy: number
  log: number
  checkpointed: number
}

type Statement = ReturnType<SqliteConnection['prepare']>

class Reader {
  readonly #database: SqliteConnection
  readonly #look: Statement
  readonly #checkpoint: Statement
  readonly #visible: Statement

  constructor(path: string, platform: Platform) {
    this.#database = platform.openSqlite(path, { mode: 'readWrite', timeoutMs: 0 })
    this.#database.exec('PRAGMA wal_autocheckpoint=0')
    this.#look = this.#database.prepare('SELECT 1 FROM sqlite_schema LIMIT 1')
    this.#checkpoint = this.#database.prepare('PRAGMA wal_checkpoint(PASSIVE)')
    this.#visible = this.#database.prepare('PRAGMA wal_checkpoint(NOOP)')
  }

  begin(): void {
    this.#database.exec('BEGIN')
    try {
      // BEGIN alone takes no lock: the first read does.
      this.#look.get()
    } catch (thrown) {
      this.#database.exec('ROLLBACK')
      throw thrown
    }
  }

  end(): void {
    if (this.#database.isTransaction) this.#database.exec('COMMIT')
  }

  visibleFrames(): number {
    const row = this.#visible.get() as unknown as CheckpointRow
    return Math.max(0, row.log)
  }

  checkpoint(): CheckpointRow {
    return this.#checkpoint.get() as unknown as CheckpointRow
  }

  close(): void {
    this.#database.close()
  }
}

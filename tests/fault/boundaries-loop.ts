import * as fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import type { Keeper } from '../../packages/kvar/src/keeper/keeper.ts'
import { VersionLog } from '../../packages/kvar/src/log/version-log.ts'
import { MemoryTarget } from '../support/memory-target.ts'
import { difference, imageOf, pageSizeOf } from './model-image.ts'
import { modelKeeper, restoredBytes, wipe } from './model-keeper.ts'
import { runRounds } from './model-rounds.ts'
import type { LoopOptions, LoopResult } from './proof-loop.ts'
import type { Choices } from './proof-random.ts'

/*
 * The ends of what a database can be (PROOF 12): every page size, no page, one page, growing, shrinking,
 * VACUUM, another page size. Each state is flushed, and in the end every version is byte-equal to the
 * pages it was cut from, also for a machine that starts on an empty disk. 16 rounds meet every page size
 * in both kinds of journal. The lock page at 1 GiB is in boundaries-lock-page.ts.
 */

const PAGE_SIZES = [512, 1024, 2048, 4096, 8192, 16384, 32768, 65536]

export async function boundariesLoop(options: LoopOptions): Promise<LoopResult> {
  const counts = { versions: 0, 'smallest pages': Number.POSITIVE_INFINITY, 'largest pages': 0 }
  return runRounds(
    {
      name: 'boundaries',
      counts,
      async round(choices, round) {
        const pageSize = PAGE_SIZES[round % PAGE_SIZES.length] as number
        const isWal = Math.floor(round / PAGE_SIZES.length) % 2 === 0
        const boundaries = new Boundaries(
          pageSize,
          isWal ? 'wal' : choices.pick(['delete', 'truncate', 'persist']),
        )
        try {
          for (const image of await boundaries.walk(choices)) {
            counts.versions += 1
            counts['smallest pages'] = Math.min(counts['smallest pages'], pagesOf(image))
            counts['largest pages'] = Math.max(counts['largest pages'], pagesOf(image))
          }
        } finally {
          await boundaries.end()
        }
      },
    },
    options,
  )
}

function pagesOf(image: Buffer): number {
  return image.length / pageSizeOf(image)
}

class Boundaries {
  readonly #folder = fs.mkdtempSync(join(tmpdir(), 'kvar-boundaries-'))
  readonly #path = join(this.#folder, 'machine', 'app.db')
  readonly #target = new MemoryTarget('ledger')
  readonly #images = new Map<number, Buffer>()
  readonly #pageSize: number
  readonly #journalMode: string
  #keeper: Keeper | undefined
  #database: DatabaseSync | undefined

  constructor(pageSize: number, journalMode: string) {
    this.#pageSize = pageSize
    this.#journalMode = journalMode
  }

  /** From nothing to everything and back again; the pages of every version. */
  async walk(choices: Choices): Promise<Buffer[]> {
    await this.#noPage()
    await this.#step(`PRAGMA user_version=${choices.between(1, 99)}`)
    const fill = (pages: number) =>
      `INSERT INTO t SELECT randomblob(${this.#pageSize >> 1}) FROM (WITH n(i) AS (SELECT 1 UNION ALL
       SELECT i + 1 FROM n WHERE i < ${pages * 2}) SELECT i FROM n)`
    await this.#step('CREATE TABLE t(a)')
    await this.#step(fill(choices.between(3, 30)))
    await this.#step(`DELETE FROM t WHERE rowid > ${choices.between(1, 4)}; VACUUM`)
    await this.#step(fill(choices.between(1, 10)), 'DROP TABLE t', 'VACUUM')
    await this.#step('CREATE TABLE t(a)', fill(2), 'PRAGMA auto_vacuum=FULL; VACUUM', fill(20))
    await this.#step('DELETE FROM t')
    if (this.#journalMode !== 'wal') await this.#otherPageSize(choices)
    await this.#step(fill(3))
    await this.#again()
    await this.#step(fill(1), 'DROP TABLE t', 'VACUUM')
    await this.#compare()
    return [...this.#images.values()]
  }

  /** An empty file is a database without a page: there is nothing to store yet. */
  async #noPage(): Promise<void> {
    wipe(this.#path)
    fs.writeFileSync(this.#path, '')
    await this.#start()
    const { version } = (await this.#keeper?.flush()) ?? {}
    if (version !== 0) throw new Error(`no page became version ${version}`)
    this.#database?.exec(`PRAGMA page_size=${this.#pageSize}; PRAGMA journal_mode=${this.#journalMode}`)
  }

  async #step(...sqls: string[]): Promise<void> {
    for (const sql of sqls) {
      this.#database?.exec(sql)
      const image = imageOf(this.#path)
      const { version } = (await this.#keeper?.flush()) ?? { version: 0 }
      this.#images.set(version, image)
    }
  }

  async #otherPageSize(choices: Choices): Promise<void> {
    const others = PAGE_SIZES.filter((size) => size !== this.#pageSize)
    await this.#step(`PRAGMA page_size=${choices.pick(others)}; VACUUM`)
  }

  /** Everything local is gone: what comes back is what was there. */
  async #again(): Promise<void> {
    const before = imageOf(this.#path)
    await this.#stop()
    wipe(this.#path)
    await this.#start()
    const after = imageOf(this.#path)
    if (!after.equals(before)) throw new Error(`restored at start: ${difference(after, before)}`)
  }

  async #compare(): Promise<void> {
    const head = (await new VersionLog(this.#target).findHead())?.version ?? 0
    if (head !== Math.max(...this.#images.keys())) throw new Error(`the log ends with version ${head}`)
    for (const [version, image] of this.#images) {
      const found = await restoredBytes(this.#target, version, this.#folder)
      if (!found.equals(image)) throw new Error(`version ${version}: ${difference(found, image)}`)
    }
  }

  async #start(): Promise<void> {
    const settings = { intervalMs: 3_600_000 }
    this.#keeper = modelKeeper({ databasePath: this.#path, targets: [this.#target], settings })
    await this.#keeper.start(false)
    this.#database = new DatabaseSync(this.#path, { timeout: 0 })
  }

  async #stop(): Promise<void> {
    this.#database?.close()
    this.#database = undefined
    await this.#keeper?.close(60_000)
    this.#keeper = undefined
  }

  async end(): Promise<void> {
    await this.#stop()
    fs.rmSync(this.#folder, { recursive: true, force: true })
  }
}

import * as fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Keeper } from '../../packages/kvar/src/keeper/keeper.ts'
import { newestVersion } from '../../packages/kvar/src/log/restore-plan.ts'
import { Retention } from '../../packages/kvar/src/log/retention.ts'
import { VersionLog } from '../../packages/kvar/src/log/version-log.ts'
import { createFolderTarget } from '../../packages/kvar/src/targets/folder/folder-target.ts'
import type { Target } from '../../packages/kvar/src/targets/target.ts'
import { MemoryTarget } from '../support/memory-target.ts'
import { ModelApp } from './model-app.ts'
import { difference, imageOf } from './model-image.ts'
import { modelKeeper, restoredBytes, unsynced, until, wipe } from './model-keeper.ts'
import { runRounds } from './model-rounds.ts'
import type { LoopOptions, LoopResult } from './proof-loop.ts'
import { Choices } from './proof-random.ts'

/*
 * The model (PROOF 9): an app commits at random while a keeper cuts versions as it likes. Every version
 * must be byte-equal to the pages of one committed state, in their order, and a flushed one to that of
 * its moment: on every target, before compaction and after it, after restarts and wiped disks.
 */

const ROUNDS_PER_SITE = 25
/** A flush that takes so long will never end. */
const STUCK_MS = 60_000

export async function modelLoop(options: LoopOptions): Promise<LoopResult> {
  const counts = { commits: 0, versions: 0, restores: 0, ranges: 0, restarts: 0 }
  let site: Site | undefined
  const result = await runRounds(
    {
      name: 'model',
      counts,
      async round(choices, round) {
        site ??= await Site.begin(new Choices(options.seed, 'site', round), counts)
        try {
          await site.round(choices)
          const isLast = (round + 1) % ROUNDS_PER_SITE === 0 || round + 1 === options.rounds
          if (isLast) await site.compareAll()
          if (isLast) site = await site.end()
        } catch (thrown) {
          site = await site?.end()
          throw thrown
        }
      },
    },
    options,
  )
  return result
}

type Counts = Record<'commits' | 'versions' | 'restores' | 'ranges' | 'restarts', number>

/** One database with its targets, from nothing to the comparison of everything. */
class Site {
  readonly #folder = fs.mkdtempSync(join(tmpdir(), 'kvar-model-'))
  readonly #path = join(this.#folder, 'app', 'app.db')
  readonly #counts: Counts
  readonly #kind: { journalMode: string; pageSize: number; autoVacuum: string; durable: 'ledger' | 'all' }
  readonly #images: Buffer[] = []
  /** Version → which state it must show: that of a flush. */
  readonly #flushed = new Map<number, number>()
  #targets: Target[] = []
  #keeper: Keeper | undefined
  #app: ModelApp | undefined

  private constructor(choices: Choices, counts: Counts) {
    this.#counts = counts
    this.#kind = {
      journalMode: choices.pick(['wal', 'wal', 'delete', 'truncate', 'persist']),
      pageSize: choices.pick([512, 1024, 4096]),
      autoVacuum: choices.pick(['none', 'full', 'incremental']),
      durable: choices.pick(['ledger', 'all']),
    }
  }

  static async begin(choices: Choices, counts: Counts): Promise<Site> {
    const site = new Site(choices, counts)
    wipe(site.#path)
    const ledger = await createFolderTarget({ path: join(site.#folder, 'ledger'), platform: unsynced })
    const plain = new MemoryTarget('plain', {
      createIfAbsent: 'checked',
      rangeRead: false,
      keepsModifiedAt: false,
    })
    site.#targets = [ledger, new MemoryTarget('follower'), plain]
    await site.#start()
    return site
  }

  async #start(): Promise<void> {
    this.#keeper = modelKeeper({
      databasePath: this.#path,
      targets: this.#targets,
      settings: { durable: this.#kind.durable, intervalMs: 5 },
    })
    await this.#keeper.start(false)
    this.#app = new ModelApp({ path: this.#path, ...this.#kind })
    this.#take()
  }

  async round(choices: Choices): Promise<void> {
    for (let times = choices.between(1, 6); times > 0; times--) {
      this.#app?.act(choices)
      this.#counts.commits += 1
      this.#take()
      // Now and then the keeper gets the time to cut a version by itself, in the middle of it all.
      if (choices.chance(0.5)) await new Promise((resolve) => setTimeout(resolve, choices.between(0, 12)))
    }
    if (choices.chance(0.8)) await this.#flush()
    if (choices.chance(0.12)) await this.#restart(choices)
  }

  #take(): void {
    this.#images.push(...(this.#app?.images.splice(0) ?? []))
  }

  async #flush(): Promise<void> {
    const { version } = (await this.#keeper?.flush(AbortSignal.timeout(STUCK_MS))) ?? { version: 0 }
    this.#flushed.set(version, this.#images.length - 1)
  }

  /** As after a deploy: with its disk, without the keeper's state, or with nothing at all. */
  async #restart(choices: Choices): Promise<void> {
    this.#counts.restarts += 1
    await this.#flush()
    this.#app?.close()
    await this.#keeper?.close(60_000)
    const lost = choices.pick(['nothing', 'state', 'all'])
    if (lost === 'all') wipe(this.#path)
    if (lost === 'state') fs.rmSync(join(this.#path, '../.app.db-kvar'), { recursive: true, force: true })
    await this.#start()
  }

  /** Every version of every target, as it is and compacted. */
  async compareAll(): Promise<void> {
    await this.#flush()
    const { version } = (await this.#keeper?.flush()) ?? { version: 0 }
    await until('all targets hold it', () =>
      (this.#keeper?.status().targets ?? []).every((target) => target.version === version),
    )
    this.#app?.close()
    const states = this.#images
    if (!imageOf(this.#path).equals(states.at(-1) as Buffer)) throw new Error('closing changed the pages')
    await this.#keeper?.close(60_000)
    this.#counts.versions += version
    const shown = await this.#statesOf(this.#targets[0] as Target, version)
    for (const target of this.#targets.slice(1)) await this.#compare(target, version, shown)
    for (const target of this.#targets) {
      await this.#compact(target, version)
      await this.#compare(target, version, shown)
    }
  }

  /** Which state each version shows; they follow each other as the states did. */
  async #statesOf(target: Target, head: number): Promise<number[]> {
    const shown: number[] = []
    let at = 0
    for (let version = 1; version <= head; version++) {
      const bytes = await this.#restored(target, version)
      const flushedAt = this.#flushed.get(version)
      const next = this.#images.findIndex((image, index) => index >= at && image.equals(bytes))
      if (next === -1) throw new Error(`version ${version} shows no committed state after number ${at}`)
      at = flushedAt ?? next
      const wanted = this.#images[at] as Buffer
      if (!wanted.equals(bytes)) {
        throw new Error(`version ${version} was flushed in state ${at}: ${difference(bytes, wanted)}`)
      }
      shown.push(at)
    }
    return shown
  }

  async #compare(target: Target, head: number, shown: number[]): Promise<void> {
    const held = newestVersion(await new VersionLog(target).listFiles())
    if (held !== head) throw new Error(`${target.url} ends with version ${held} instead of ${head}`)
    for (let version = 1; version <= head; version++) {
      const bytes = await this.#restored(target, version)
      const wanted = this.#images[shown[version - 1] as number] as Buffer
      if (!bytes.equals(wanted))
        throw new Error(`version ${version} on ${target.url}: ${difference(bytes, wanted)}`)
    }
  }

  /** Ranges and snapshots take the place of what they repeat, and no version is given up. */
  async #compact(target: Target, head: number): Promise<void> {
    const keep = { all: 'forever', hourly: 'forever', daily: 'forever', monthly: 'forever' }
    const log = new VersionLog(target)
    const scratchPath = join(this.#folder, 'scratch')
    const retention = new Retention({ log, keep, platform: unsynced, scratchPath })
    while (await retention.compactNext(head)) this.#counts.ranges += 1
    await retention.removeDue(head, { graceMs: 0 })
  }

  #restored(target: Target, version: number): Promise<Buffer> {
    this.#counts.restores += 1
    return restoredBytes(target, version, this.#folder)
  }

  async end(): Promise<undefined> {
    try {
      this.#app?.close()
    } catch {
      // It was closed before the comparison.
    }
    await this.#keeper?.close(0)
    fs.rmSync(this.#folder, { recursive: true, force: true })
    return undefined
  }
}

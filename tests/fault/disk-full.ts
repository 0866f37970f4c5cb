import * as fs from 'node:fs'
import type { DatabaseSync } from 'node:sqlite'
import { type FileCall, type FileTap, systemError } from '../support/crash-files.ts'
import { Life } from '../support/crash-files-life.ts'
import { add, makeTable, type Rows, row, rowsOf, TestMachine } from '../support/start-machine.ts'
import { CaseLoop, type CaseResult } from './io-fault-cases.ts'
import { assertAfterHealthyStart, assertContains, assertCopiesWhole, assertHeld } from './io-fault-checks.ts'
import type { LoopOptions } from './proof-loop.ts'
import { Choices } from './proof-random.ts'

/*
 * A full disk (PROOF 16): under the app, under the ledger, under a follower, or only while the log is
 * tidied; noticed when a file is opened, written, forced or closed; and a real small one. The app works
 * on as far as its own disk lets it, what is durable stays so, copies are never half, and when there is
 * room again everything is made up for without a restart.
 */

const PLACES = ['state', 'ledger', 'follower', 'tidying', 'everywhere'] as const
type Place = (typeof PLACES)[number]
const WAYS = ['open', 'write', 'sync', 'close'] as const
type Way = (typeof WAYS)[number]

const VERBS: Record<Way, string[]> = {
  open: ['openSync', 'writeFile', 'makeFolder', 'rename', 'link', 'copyFile'],
  write: ['writeSync', 'writeFile', 'truncateSync'],
  sync: ['sync', 'syncSync', 'syncFolder'],
  close: ['closeSync'],
}
/** On a clock that skips waiting: longer than the longest pause between two tries. */
const RECOVERY_MS = 700_000
const WHILE_FULL_MS = 40_000
/** The log is tidied after so long without a change. */
const QUIET_MS = 30_000
const VERSIONS_TO_TIDY = 5

/** @param options.rounds one for each place and way and journal mode, again and again */
export async function diskFullLoop(options: LoopOptions): Promise<CaseResult> {
  const loop = new CaseLoop('disk-full', options)
  const cases = PLACES.flatMap((place) => waysAt(place).map((way) => ({ place, way })))
  for (let round = 0; round < options.rounds && !loop.isOver; round++) {
    const { place, way } = cases[round % cases.length] as (typeof cases)[number]
    const choices = new Choices(options.seed, 'disk-full', round)
    const journal = choices.pick(['WAL', 'DELETE'] as const)
    await loop.run(`round ${round}: ${place} full at ${way}, ${journal}`, async () => {
      const disk = new FillingDisk(place, way)
      const site = await FullSite.create(journal, choices, disk)
      try {
        await site.live()
      } finally {
        await site.end()
      }
    })
  }
  return loop.end()
}

/** Unfinished objects of every kind lie in one folder of a target; only their names tell what they are. */
function waysAt(place: Place): readonly Way[] {
  return place === 'tidying' ? ['open'] : WAYS
}

/** Fails calls for lack of room as long as it is full. */
class FillingDisk implements FileTap {
  isFull = false
  refused = 0
  readonly place: Place
  readonly #verbs: Set<string>
  #isThere: (path: string) => boolean = () => false

  constructor(place: Place, way: Way) {
    this.place = place
    this.#verbs = new Set(VERBS[way])
  }

  lieIn(machine: TestMachine): void {
    const under = (root: string) => (path: string) => path.startsWith(`${root}/`) || path === root
    const isTidying = (path: string) => /\/ltx\/[1-9]/.test(path)
    const tests: Record<Place, (path: string) => boolean> = {
      state: under(machine.appFolder),
      ledger: under(machine.ledgerPath),
      follower: under(machine.followerPath),
      tidying: isTidying,
      everywhere: () => true,
    }
    this.#isThere = tests[this.place]
  }

  readonly before = (call: FileCall): void => {
    const { verb, path, to } = call
    if (!this.isFull || !this.#verbs.has(verb)) return
    if (verb === 'openSync' && !call.changes) return
    if (!this.#isThere(path) && !(to !== undefined && this.#isThere(to))) return
    this.refused += 1
    call.half?.()
    throw systemError('ENOSPC', call)
  }
}

/** An app and its keeper beside a disk that fills up and is emptied again. */
class FullSite {
  readonly machine: TestMachine
  readonly #choices: Choices
  readonly #journal: 'WAL' | 'DELETE'
  readonly #disk: FillingDisk
  readonly #committed: Rows = []
  #acknowledged: Rows = []
  #life: Life | undefined
  #app: DatabaseSync | undefined

  private constructor(machine: TestMachine, journal: 'WAL' | 'DELETE', choices: Choices, disk: FillingDisk) {
    this.machine = machine
    this.#journal = journal
    this.#choices = choices
    this.#disk = disk
  }

  static async create(journal: 'WAL' | 'DELETE', choices: Choices, disk: FillingDisk): Promise<FullSite> {
    const machine = await TestMachine.create({ copies: ['json', 'backup'] }, { oneDisk: true })
    machine.overrides.targets = machine.bothTargets()
    disk.lieIn(machine)
    return new FullSite(machine, journal, choices, disk)
  }

  async live(): Promise<void> {
    const life = new Life(this.machine, { tap: this.#disk })
    this.#life = life
    await life.clock.within(RECOVERY_MS, 'a start', life.keeper.start(false))
    this.#app = makeTable(this.machine.openApp(), this.#journal)
    for (let commits = this.#choices.between(1, 4); commits > 0; commits--) {
      this.#commit()
      await this.#flush(life)
    }
    await life.clock.within(RECOVERY_MS, 'first copies', life.keeper.backupDatabase())
    if (this.#choices.chance(0.5)) await life.clock.pass(this.#choices.pick([100, QUIET_MS]))
    this.#disk.isFull = true
    const waiting = await this.#workOnFullDisk(life)
    this.#disk.isFull = false
    await this.#makeUp(life, waiting)
    this.machine.closeApp(this.#app)
    this.#app = undefined
    const left = await life.close(RECOVERY_MS)
    if (left !== undefined) throw new Error(`the keeper left: ${left}`)
    await assertHeld(this.machine, this.#committed)
    await assertAfterHealthyStart(this.machine, {
      committed: this.#committed,
      acknowledged: this.#acknowledged,
    })
  }

  /** The app commits as before. @returns flushes that wait for room */
  async #workOnFullDisk(life: Life): Promise<Promise<unknown>[]> {
    const waiting: Promise<unknown>[] = []
    const least = this.#disk.place === 'tidying' ? VERSIONS_TO_TIDY : 1
    for (let commits = least + this.#choices.between(0, 4); commits > 0; commits--) {
      this.#commit()
      const flushed = this.#flush(life)
      flushed.catch(() => undefined)
      waiting.push(flushed)
      if (this.#choices.chance(0.5)) await life.clock.pass(this.#choices.pick([100, 3000, QUIET_MS]))
    }
    await life.clock.pass(WHILE_FULL_MS)
    if (this.#disk.refused === 0) throw new Error('nothing was refused, so nothing is shown')
    this.#assertTold(life)
    await assertHeld(this.machine, this.#acknowledged)
    await this.#assertCopies()
    // State is a cache, copies are for people, followers follow: none of them holds the log up.
    if (this.#disk.place !== 'ledger' && this.#disk.place !== 'everywhere')
      assertContains(this.#acknowledged, this.#committed, 'what was acknowledged on a disk with room')
    return waiting
  }

  /** Whoever looks at the status sees what is wrong. */
  #assertTold(life: Life): void {
    const told = JSON.stringify(life.keeper.status())
    if (!/is full/.test(told)) throw new Error(`the status does not say that the disk is full: ${told}`)
  }

  /** There is room again: nobody restarts anything. */
  async #makeUp(life: Life, waiting: Promise<unknown>[]): Promise<void> {
    await life.clock.within(RECOVERY_MS, 'what waited for room', Promise.all(waiting))
    await life.clock.pass(RECOVERY_MS)
    await this.#assertCopies()
    assertContains(rowsOf(`${this.machine.databasePath}.backup`), this.#committed, 'the .backup')
    this.#commit()
    await life.clock.within(RECOVERY_MS, 'a flush with room', this.#flush(life))
    const { safety, problem, targets } = life.keeper.status()
    const [, follower] = targets
    if (problem !== null || safety === 'not-safe')
      throw new Error(`still told: ${problem?.message ?? safety}`)
    if (follower?.problem !== null) throw new Error(`a follower still says ${follower?.problem?.message}`)
    const { notes } = life.keeper.status()
    if (notes.length > 0) throw new Error(`still noted: ${notes.join(' ')}`)
  }

  /** Older than the database they may be, but they are there and whole. */
  async #assertCopies(): Promise<void> {
    for (const end of ['.json', '.backup'])
      if (!fs.existsSync(this.machine.databasePath + end)) throw new Error(`the ${end} is gone`)
    await assertCopiesWhole(this.machine, this.#committed)
  }

  #commit(): void {
    const added = row(this.#committed.length + 1, 'x'.repeat(this.#choices.between(1, 5000)))
    add(this.#app as DatabaseSync, added)
    this.#committed.push(added)
  }

  async #flush(life: Life): Promise<void> {
    const held = [...this.#committed]
    await life.keeper.flush()
    if (held.length > this.#acknowledged.length) this.#acknowledged = held
  }

  async end(): Promise<void> {
    if (this.#app !== undefined) this.machine.closeApp(this.#app)
    await this.#life?.kill()
    await this.machine.destroy()
  }
}

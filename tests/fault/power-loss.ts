import * as fs from 'node:fs'
import { join } from 'node:path'
import type { DatabaseSync } from 'node:sqlite'
import type { FileCall } from '../support/crash-files.ts'
import { SqliteFiles } from '../support/crash-files-image.ts'
import { Life, PowerOff } from '../support/crash-files-life.ts'
import { PowerBook } from '../support/power-files.ts'
import { add, makeTable, type Rows, row, rowsOf, TestMachine } from '../support/start-machine.ts'
import { elsewhere, past } from '../support/start-scenarios.ts'
import { CaseLoop, type CaseResult } from './io-fault-cases.ts'
import { assertContains, rowsInBranches, rowsOnTarget } from './io-fault-checks.ts'
import type { LoopOptions } from './proof-loop.ts'
import { Choices } from './proof-random.ts'

/*
 * The power-loss loop (PROOF 2): a keeper starts, restores, stores and copies for an app that commits;
 * before a random change that it makes to the disk the power goes. Of what was not forced to the disk,
 * content and names are kept, dropped or garbled (tests/support/power-files.ts). On what is left:
 * every version acknowledged by a flush is on the ledger, copies are whole, the next start succeeds with
 * a sound database, and nothing that was committed is nowhere.
 */

export interface PowerPlan {
  name: string
  /** How often the power goes before a life that ends well. */
  cuts: (choices: Choices) => number
  /** Before which change of a life. */
  at: (choices: Choices) => number
  /** The process dies, and the disk keeps all it was given: in one cut of so many. */
  killChance: number
}

const LATEST_CHANGE = 300
const START_CHANGES = 90

export const POWER_LOSS: PowerPlan = {
  name: 'power-loss',
  cuts: () => 1,
  at: (choices) => choices.between(1, choices.chance(0.5) ? START_CHANGES : LATEST_CHANGE),
  killChance: 0,
}

export function powerLossLoop(options: LoopOptions): Promise<CaseResult> {
  return cutLoop(POWER_LOSS, options)
}

export async function cutLoop(plan: PowerPlan, options: LoopOptions): Promise<CaseResult> {
  const loop = new CaseLoop(plan.name, options)
  for (let round = 0; round < options.rounds && !loop.isOver; round++) {
    const choices = new Choices(options.seed, plan.name, round)
    await loop.run(`round ${round}`, async () => {
      const site = await CutSite.create(choices)
      try {
        for (let cuts = plan.cuts(choices); cuts > 0; cuts--) await site.live(plan)
        await site.finish()
        loop.count('cuts', site.cuts)
        loop.count('flushes', site.flushes)
        loop.count('restores', site.restores)
      } catch (thrown) {
        const error = thrown as Error
        throw new Error(`${error.message}\n  ${site.story.join('\n  ')}`, { cause: error })
      } finally {
        await site.end()
      }
    })
  }
  return loop.end()
}

/** What the disk and the ledger hold before the first life. */
const PASTS: Array<(machine: TestMachine) => Promise<Rows>> = [
  async () => [],
  (machine) => lived(machine, 'WAL'),
  (machine) => lived(machine, 'DELETE'),
  async (machine) => {
    const rows = await lived(machine, 'DELETE')
    machine.wipeDatabase()
    return rows
  },
  async (machine) => {
    await lived(machine, 'WAL')
    await elsewhere(machine)
    return (await machine.headRows())?.rows ?? []
  },
]

async function lived(machine: TestMachine, journal: 'WAL' | 'DELETE'): Promise<Rows> {
  await past(machine, journal)
  return machine.rows()
}

class CutSite {
  readonly story: string[] = []
  cuts = 0
  flushes = 0
  restores = 0
  readonly #machine: TestMachine
  readonly #choices: Choices
  readonly #journal: 'WAL' | 'DELETE'
  /** Everything that some app ever committed, and what of it was acknowledged. */
  readonly #committed: Rows = []
  readonly #acknowledged: Rows = []
  /** What the app sees in its database. */
  #here: Rows = []
  #life: Life | undefined
  #app: DatabaseSync | undefined
  #nextId = 100
  #lives = 0

  private constructor(machine: TestMachine, choices: Choices) {
    this.#machine = machine
    this.#choices = choices
    this.#journal = choices.pick(['WAL', 'DELETE'])
  }

  static async create(choices: Choices): Promise<CutSite> {
    const machine = await TestMachine.create({}, { oneDisk: true })
    if (choices.chance(0.5)) machine.overrides.targets = machine.bothTargets()
    const site = new CutSite(machine, choices)
    const rows = await choices.pick(PASTS)(machine)
    site.#committed.push(...rows)
    site.#acknowledged.push(...rows)
    machine.overrides.copies = choices.pick([[], ['json', 'backup'], ['backup']])
    return site
  }

  /** A life that ends in the middle of something, and what is left on the disk. */
  async live(plan: PowerPlan): Promise<void> {
    const choices = this.#choices
    const book = new PowerBook(join(this.#machine.home, `graveyard-${this.#lives++}`))
    const at = plan.at(choices)
    let changes = 0
    let tell: () => void = () => undefined
    const off = new Promise<'off'>((resolve) => {
      tell = () => resolve('off')
    })
    let isOff = false
    const before = (call: FileCall) => {
      if (call.changes && !isOff && ++changes === at) {
        isOff = true
        this.#note(`power off before ${call.verb} ${call.path}`)
        tell()
      }
      if (isOff) throw new PowerOff(`off before ${call.verb}`)
      book.before(call)
    }
    this.#life = new Life(this.#machine, { tap: { before, after: book.after } })
    const worked = this.#work(this.#life, () => isOff)
    worked.catch(() => undefined)
    await Promise.race([worked, off])
    if (isOff) this.cuts += 1
    else await worked
    // A life that came to its end without a cut loses its power then.
    isOff = true
    await this.#die()
    if (!choices.chance(plan.killChance)) for (const line of book.cut(choices)) this.#note(line)
    await this.#assertLeft()
  }

  async #work(life: Life, isOff: () => boolean): Promise<void> {
    const choices = this.#choices
    const report = await life.clock.within(600_000, 'a start', life.keeper.start(false))
    if (isOff()) return
    this.#note(`${report.action} ${report.version}`)
    if (report.restored) this.restores += 1
    this.#openApp()
    for (let turns = choices.between(4, 14); turns > 0 && !isOff(); turns--) {
      for (let rows = choices.between(1, 3); rows > 0; rows--) this.#commit()
      const next = choices.pick(['flush', 'flush', 'copies', 'wait', 'on'])
      if (next === 'flush' || next === 'copies') await this.#flush(life, next, isOff)
      if (next === 'wait') await life.clock.pass(choices.pick([5, 300, 15_000]))
    }
    if (!isOff() && choices.chance(0.5)) await life.clock.within(60_000, 'an end', life.keeper.close(8000))
  }

  #openApp(): void {
    const isNew = !fs.existsSync(this.#machine.databasePath)
    this.#app = this.#machine.openApp()
    // A journal mode is not changed under a keeper's eyes.
    if (isNew) makeTable(this.#app, this.#journal)
    this.#here = this.#app.prepare('SELECT id, text FROM notes').all() as Rows
  }

  #closeApp(): void {
    if (this.#app !== undefined) this.#machine.closeApp(this.#app)
    this.#app = undefined
  }

  #commit(): void {
    const added = row(this.#nextId++, 'x'.repeat(this.#choices.between(1, 900)))
    add(this.#app as DatabaseSync, added)
    this.#committed.push(added)
    this.#here.push(added)
  }

  async #flush(life: Life, how: 'flush' | 'copies', isOff: () => boolean): Promise<void> {
    const held = [...this.#here]
    await (how === 'flush' ? life.keeper.flush() : life.keeper.backupDatabase())
    if (isOff()) return
    this.flushes += 1
    this.#acknowledged.splice(0, this.#acknowledged.length, ...held)
  }

  /** Connections of this process would clean up after themselves: SQLite's files stay as they are now. */
  async #die(): Promise<void> {
    const files = new SqliteFiles(this.#machine.databasePath)
    this.#closeApp()
    await this.#life?.kill()
    this.#life = undefined
    files.putBack()
  }

  /** What holds before anything is started. */
  async #assertLeft(): Promise<void> {
    assertContains(
      (await rowsOnTarget(this.#machine, this.#machine.ledgerPath)) ?? [],
      this.#acknowledged,
      'the ledger',
    )
    this.#assertCopies()
  }

  #assertCopies(): void {
    const backup = `${this.#machine.databasePath}.backup`
    if (fs.existsSync(backup)) this.#assertKnown(rowsOf(backup), 'the .backup')
    const json = `${this.#machine.databasePath}.json`
    if (!fs.existsSync(json)) return
    const { notes = [] } = JSON.parse(fs.readFileSync(json, 'utf8')) as { notes?: Rows }
    this.#assertKnown(notes, 'the JSON')
  }

  #assertKnown(rows: Rows, where: string): void {
    assertContains(this.#committed, rows, `what was committed, and ${where} shows,`)
  }

  /** The machine is in order again: all is in the database, or kept aside where it could not be told apart. */
  async finish(): Promise<void> {
    const life = new Life(this.#machine)
    this.#life = life
    const report = await life.clock.within(600_000, 'the start after it', life.keeper.start(false))
    for (const sentence of life.said) this.#note(sentence)
    this.#note(`at last ${report.action} ${report.version} ${report.branch ?? ''}`)
    this.#openApp()
    this.#commit()
    await this.#flush(life, 'flush', () => false)
    this.#closeApp()
    const left = await life.close(600_000)
    if (left !== undefined) throw new Error(`the last keeper left: ${left}`)
    await this.#assertAtLast()
  }

  async #assertAtLast(): Promise<void> {
    const machine = this.#machine
    const shown = machine.rows()
    assertContains(shown, this.#acknowledged, 'the database')
    const branches = (await rowsInBranches(machine)).flat()
    assertContains(
      [...shown, ...branches, ...machine.setAside().flat()],
      this.#committed,
      'all places together',
    )
    this.#assertKnown(shown, 'the database')
    for (const { path } of machine.settings().targets) {
      const stored = await rowsOnTarget(machine, path as string)
      if (JSON.stringify(stored) !== JSON.stringify(shown))
        throw new Error(`${path} does not show the database`)
    }
    this.#assertCopies()
  }

  #note(line: string): void {
    this.story.push(line.replaceAll(this.#machine.home, '').replaceAll(this.#machine.away, ''))
  }

  async end(): Promise<void> {
    this.#closeApp()
    await this.#life?.kill()
    await this.#machine.destroy()
  }
}

import type { Content } from './model-database.ts'
import { readContent, transaction } from './model-sqlite.ts'
import type { SimMachine } from './sim-machine.ts'
import { DATABASE_PATH } from './sim-machine.ts'
import { Life } from './timeline.ts'

const PADDING_LIMIT = 6

/** An app that commits now and then, and sometimes waits until its changes are safe. */
export class SimApp {
  readonly #machine: SimMachine
  readonly #life: Life
  #isBusy = false
  #isStopped = false
  /** Milliseconds between commits at most; long ones let the keeper rest. */
  pauseMs: number

  constructor(machine: SimMachine) {
    this.#machine = machine
    this.#life = new Life(`${machine.name}.app`)
    this.pauseMs = machine.options.dice.pick([60, 600, 600, 3000])
  }

  start(): void {
    this.#later(this.#dice.between(0, this.pauseMs), 'works', () => {
      if (this.#isStopped) return
      this.commit(this.#dice.between(0, 3))
      this.start()
    })
  }

  /** No new transactions; one that has begun is finished. */
  stop(): void {
    this.#isStopped = true
  }

  end(): void {
    this.#life.alive = false
  }

  /** One transaction, in steps between which anything may happen. */
  commit(rowCount: number, done: () => void = () => undefined): void {
    const { disk, options } = this.#machine
    const before = readContent(disk, DATABASE_PATH)
    if (this.#isBusy || before === undefined) return
    this.#isBusy = true
    const rows = before.hasTable ? Array.from({ length: rowCount }, () => options.truth.newRow()) : []
    const next = this.#next(before, rows)
    const { begin, write, commit, pages } = transaction(disk, DATABASE_PATH, next)
    const steps = [
      begin,
      ...pages.map((page) => () => write(page)),
      () => this.#commit(commit, next, rows, done),
    ]
    this.#step(steps)
  }

  #next(before: Content, rows: number[]): Content {
    const paddingPages = this.#dice.chance(0.2) ? this.#dice.between(0, PADDING_LIMIT) : before.paddingPages
    const changeCounter = before.changeCounter + 1
    return { hasTable: true, rows: [...before.rows, ...rows], paddingPages, changeCounter }
  }

  #step(steps: Array<() => void>): void {
    const [first, ...rest] = steps
    if (first === undefined) return
    // Some transactions think for a while between their first change and their commit.
    const thinks = rest.length > 0 && this.#dice.chance(0.03)
    this.#later(thinks ? this.#dice.between(50, 1500) : this.#dice.delayMs(0.3, 5), 'writes', () => {
      first()
      this.#step(rest)
    })
  }

  #commit(commit: () => void, next: Content, rows: number[], done: () => void): void {
    commit()
    this.#isBusy = false
    this.#machine.lastRows = rows
    const { truth, timeline } = this.#machine.options
    truth.commit(next)
    timeline.note(`${this.#machine.name} commits ${rows.join(' ')} as ${next.changeCounter}`)
    if (this.#dice.chance(0.4)) void this.#machine.flush(next.rows)
    done()
  }

  get #dice() {
    return this.#machine.options.dice
  }

  #later(delayMs: number, what: string, fire: () => void): void {
    this.#machine.options.timeline.at(delayMs, this.#life, `${this.#life.name} ${what}`, fire)
  }
}

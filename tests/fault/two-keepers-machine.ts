import * as fs from 'node:fs'
import { dirname, join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { type KvarError, toKvarError } from '../../packages/kvar/src/errors.ts'
import type { Keeper } from '../../packages/kvar/src/keeper/keeper.ts'
import { systemPlatform } from '../../packages/kvar/src/platform/system.ts'
import type { FaultPlan } from '../../packages/kvar/src/targets/wrappers/fault-plans.ts'
import { type FaultyTarget, withFaults } from '../../packages/kvar/src/targets/wrappers/faulty-target.ts'
import type { MemoryTarget } from '../support/memory-target.ts'
import { modelKeeper, unsynced } from './model-keeper.ts'
import type { Choices } from './proof-random.ts'

export interface MachineOptions {
  name: string
  folder: string
  stores: MemoryTarget[]
  choices: Choices
  truth: Truth
}

/** What everybody asked for and heard, outside of all machines. */
export class Truth {
  readonly committed = new Set<number>()
  readonly acknowledged = new Set<number>()
  nextToken = 1
}

/** How far clocks may be apart. */
const CLOCK_MS = 10 * 60_000
const TAKE_BACK_MS = 150
const START_TRIES = 10

/** A machine with a disk, an app, a keeper, a wrong clock, and ways of its own to the stores. */
export class Machine {
  readonly name: string
  readonly ways: FaultyTarget[]
  readonly #path: string
  readonly #truth: Truth
  readonly #choices: Choices
  readonly #clockMs: number
  keeper: Keeper | undefined
  fencedBy: KvarError | undefined
  #database: DatabaseSync | undefined

  constructor({ name, folder, stores, choices, truth }: MachineOptions) {
    this.name = name
    this.#truth = truth
    this.#choices = choices
    this.#clockMs = choices.between(-CLOCK_MS, CLOCK_MS)
    this.#path = join(folder, name, 'app.db')
    fs.mkdirSync(dirname(this.#path), { recursive: true })
    this.ways = stores.map((store) =>
      withFaults(store, { clock: systemPlatform.clock, plan: this.#weather(choices.chance(0.5)) }),
    )
  }

  /** Answers come late and out of step, and in bad weather some never come. */
  #weather(isBad: boolean): FaultPlan {
    const choices = this.#choices
    return () => {
      if (isBad && choices.chance(0.03)) return { kind: choices.pick(['fail-before', 'fail-after']) }
      return choices.chance(0.4) ? { kind: 'delay', delayMs: choices.between(0, 6) } : undefined
    }
  }

  /** A target that fails too often ends a start with a word; the host then tries again. */
  async start(): Promise<void> {
    for (let tries = 1; ; tries++) {
      try {
        await this.#startOnce()
        break
      } catch (thrown) {
        await this.keeper?.close(0)
        if (toKvarError(thrown).code !== 'TARGET_TEMPORARY' || tries === START_TRIES) throw thrown
      }
    }
    this.#database = new DatabaseSync(this.#path, { timeout: 0 })
    this.#database.exec('CREATE TABLE IF NOT EXISTS tokens(token INTEGER PRIMARY KEY, who TEXT)')
  }

  async #startOnce(): Promise<void> {
    this.fencedBy = undefined
    for (const way of this.ways) way.offline = false
    const clock = { ...unsynced.clock, nowMs: () => Date.now() + this.#clockMs }
    this.keeper = modelKeeper({
      databasePath: this.#path,
      targets: this.ways,
      platform: { ...unsynced, clock },
      limits: { takeBackMs: TAKE_BACK_MS, targetTries: 2, targetTimeoutMs: 5000 },
      onFenced: (error) => {
        this.fencedBy = error
      },
    })
    await this.keeper.start(false)
  }

  /** One commit; the number that stands for it. */
  write(): number {
    const token = this.#truth.nextToken++
    this.#database?.exec(`INSERT INTO tokens VALUES (${token}, '${this.name}')`)
    this.#truth.committed.add(token)
    return token
  }

  /** Commits, and hears whether it is stored. */
  async store(): Promise<'stored' | 'fenced'> {
    const token = this.write()
    try {
      await this.keeper?.flush()
      this.#truth.acknowledged.add(token)
      return 'stored'
    } catch (thrown) {
      if (toKvarError(thrown).code !== 'FENCED') throw thrown
      return 'fenced'
    }
  }

  async stop(): Promise<void> {
    this.#database?.close()
    this.#database = undefined
    await this.keeper?.close(60_000)
    this.keeper = undefined
  }

  /** To everybody else as if it had died: nothing of it arrives any more. */
  async crash(): Promise<void> {
    for (const way of this.ways) way.offline = true
    this.#database?.close()
    this.#database = undefined
    await this.keeper?.close(0)
    this.keeper = undefined
  }
}

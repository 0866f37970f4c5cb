import * as fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { MemoryTarget } from '../support/memory-target.ts'
import { runRounds } from './model-rounds.ts'
import type { LoopOptions, LoopResult } from './proof-loop.ts'
import type { Choices } from './proof-random.ts'
import { auditLogs } from './two-keepers-audit.ts'
import { Machine, Truth } from './two-keepers-machine.ts'

/*
 * Two keepers on one log (PROOF 14): deploys, deploys rolled back, two that both believe themselves the
 * owner, one that is cut off, claims at the same moment, clocks ten minutes apart, answers out of step.
 * Nothing acknowledged is lost, every version holds all of the one before, what did not get onto the log
 * is a branch, and the follower ends as the ledger does.
 */

export async function twoKeepersLoop(options: LoopOptions): Promise<LoopResult> {
  const counts = { acknowledged: 0, fenced: 0, versions: 0, branches: 0 }
  const stories = Object.values(STORIES)
  return runRounds(
    {
      name: 'two-keepers',
      counts,
      async round(choices, round) {
        const scene = new Scene(choices)
        try {
          await scene.begin()
          await (stories[round % stories.length] as Story)(scene)
          await scene.finish(counts)
        } catch (thrown) {
          const story = Object.keys(STORIES)[round % stories.length]
          throw new Error(`${story}: ${(thrown as Error).message}`, { cause: thrown })
        } finally {
          await scene.end()
        }
      },
    },
    options,
  )
}

type Counts = Record<'acknowledged' | 'fenced' | 'versions' | 'branches', number>

class Scene {
  readonly choices: Choices
  readonly truth = new Truth()
  readonly stores = [new MemoryTarget('ledger'), new MemoryTarget('follower')]
  readonly left: Machine
  readonly right: Machine
  readonly #folder = fs.mkdtempSync(join(tmpdir(), 'kvar-two-'))
  #fenced = 0

  constructor(choices: Choices) {
    this.choices = choices
    const common = { folder: this.#folder, stores: this.stores, choices, truth: this.truth }
    this.left = new Machine({ name: 'left', ...common })
    this.right = new Machine({ name: 'right', ...common })
  }

  /** A past that both share. */
  async begin(): Promise<void> {
    await this.left.start()
    await this.some(this.left)
  }

  /** Stores a few times, unless another one has taken over. */
  async some(machine: Machine): Promise<void> {
    for (let times = this.choices.between(1, 4); times > 0; times--) {
      if (this.choices.chance(0.3)) machine.write()
      if (this.choices.chance(0.4)) await pause(this.choices.between(0, 30))
      if ((await machine.store()) === 'fenced') {
        this.#fenced += 1
        return
      }
    }
  }

  /** Everybody starts once more and leaves what it has; then all of it must be somewhere. */
  async finish(counts: Counts): Promise<void> {
    for (const machine of [this.left, this.right]) {
      await machine.stop()
      await machine.start()
      await machine.store()
      await machine.stop()
    }
    const { versions, branches } = await auditLogs(this.stores, this.truth, this.#folder)
    counts.acknowledged += this.truth.acknowledged.size
    counts.fenced += this.#fenced
    counts.versions += versions
    counts.branches += branches
  }

  async end(): Promise<void> {
    for (const machine of [this.left, this.right]) await machine.crash()
    fs.rmSync(this.#folder, { recursive: true, force: true })
  }
}

type Story = (scene: Scene) => Promise<void>

const STORIES: Record<string, Story> = {
  /** The next instance starts beside the running one, which leaves soon after. */
  'rolling deploy': async (scene) => {
    const { left, right, choices } = scene
    const working = scene.some(left)
    await pause(choices.between(0, 20))
    await right.start()
    await working
    if (choices.chance(0.5)) await scene.some(left)
    await (choices.chance(0.5) ? left.stop() : left.crash())
    await scene.some(right)
  },
  /** The next instance only claims the log; the former owner takes it back. */
  'rolled-back deploy': async (scene) => {
    const { left, right, choices } = scene
    await right.start()
    await pause(choices.between(0, 40))
    const working = choices.chance(0.5) ? scene.some(left) : undefined
    await right.crash()
    await working
    if ((await left.store()) === 'fenced') throw new Error('the former owner did not get its log back')
  },
  /** Both go on as if they were alone. */
  'split brain': async (scene) => {
    const { left, right } = scene
    await right.start()
    await Promise.all([scene.some(left), scene.some(right)])
    await Promise.all([scene.some(right), scene.some(left)])
  },
  /** One cannot reach the ledger while the other takes over, and comes back later. */
  'cut off from the ledger': async (scene) => {
    const { left, right, choices } = scene
    const [way] = left.ways
    if (way === undefined) return
    way.offline = true
    const working = scene.some(left)
    await right.start()
    await scene.some(right)
    await pause(choices.between(0, 50))
    way.offline = false
    await working
    await scene.some(right)
  },
  /** The follower alone is away from one of them, and gets everything later. */
  'cut off from the follower': async (scene) => {
    const { left, right, choices } = scene
    const way = choices.pick([left, right]).ways[1]
    if (way === undefined) return
    way.offline = true
    await scene.some(left)
    await right.start()
    way.offline = choices.chance(0.5)
    await Promise.all([scene.some(left), scene.some(right)])
    way.offline = false
    await scene.some(right)
  },
  /** Both claim the same version. */
  'equal claims': async (scene) => {
    const { left, right } = scene
    await left.stop()
    await Promise.all([left.start(), right.start()])
    await Promise.all([scene.some(left), scene.some(right)])
  },
}

import * as fs from 'node:fs'
import { type KvarError, toKvarError } from '../../packages/kvar/src/errors.ts'
import { Keeper } from '../../packages/kvar/src/keeper/keeper.ts'
import type { Platform } from '../../packages/kvar/src/platform/platform.ts'
import { systemPlatform } from '../../packages/kvar/src/platform/system.ts'
import { openTarget } from '../../packages/kvar/src/targets/open-target.ts'
import type { Target } from '../../packages/kvar/src/targets/target.ts'
import { type FileTap, FileTraffic, tapFiles } from './crash-files.ts'
import { SkippingClock } from './crash-files-clock.ts'
import { promptFiles } from './crash-files-prompt.ts'
import type { TestMachine } from './start-machine.ts'

export interface LifeOptions {
  /** Sees every call of the file system, the targets' folders included. */
  tap?: FileTap
  /** What stands between the keeper and a target. */
  wrap?: (target: Target) => Target
}

/**
 * One life of the product's keeper on a test machine, with the real SQLite and real files, but with a
 * clock that skips all waiting. Nothing is watched and no thread helps, so that the calls of a life
 * come in the same order again.
 */
export class Life {
  readonly keeper: Keeper
  readonly clock: SkippingClock
  readonly traffic = new FileTraffic()
  readonly platform: Platform
  readonly said: string[] = []
  #killed = false

  constructor(machine: TestMachine, options: LifeOptions = {}) {
    const { crews: _, checkIntegrity: _2, freeBytes: _3, ...bare } = systemPlatform
    this.clock = new SkippingClock(this.traffic)
    const { before, after } = options.tap ?? {}
    const tap: FileTap = {
      before: (call) => {
        if (this.#killed && call.verb !== 'closeSync') throw new PowerOff(`dead before ${call.verb}`)
        before?.(call)
      },
      ...(after === undefined ? {} : { after }),
    }
    const files = tapFiles(promptFiles, tap, this.traffic)
    this.platform = { ...bare, files, clock: this.clock }
    // The keeper's process makes it, for its lock.
    fs.mkdirSync(machine.statePath, { recursive: true, mode: 0o700 })
    const events = {
      changed: () => undefined,
      fenced: () => void this.said.push('fenced'),
      tell: (sentence: string) => void this.said.push(sentence),
    }
    this.keeper = new Keeper(machine.settings(), this.platform, events, async (setting, platform) => {
      const target = await openTarget(setting, platform)
      return options.wrap?.(target) ?? target
    })
  }

  /** Ends the keeper; answers what it could not finish. */
  async close(deadlineMs: number): Promise<string | undefined> {
    const left = await this.clock.within(deadlineMs + 120_000, 'closing', this.keeper.close(deadlineMs))
    // What was cut off needs a moment to let go of its files.
    await this.clock.pass(1000)
    this.#killed = true
    this.clock.stop()
    return left
  }

  /** Nothing of it happens any more, wherever it stood. Resolves when SQLite has let go of the database. */
  async kill(): Promise<void> {
    if (this.#killed) return
    this.#killed = true
    await this.clock.within(60_000, 'a dead keeper', this.keeper.close(0)).catch(() => undefined)
    this.clock.stop()
  }
}

/** What a dead life hears. It bears no system code, so nothing takes it for a full disk. */
export class PowerOff extends Error {}

/** Errors that leave the keeper are of its own kind, say what is wrong, and are no contradictions. */
export function assertWorded(thrown: unknown): KvarError {
  const error = toKvarError(thrown)
  const cause = error.cause instanceof Error ? error.cause : error
  if (error.code === 'ASSERTION') throw new Error(`taken for a mistake of the program: ${cause.stack}`)
  if (!/\w+ .*\w+/.test(error.message)) throw new Error(`no sentence: "${error.message}"`)
  return error
}

import * as fs from 'node:fs'
import { withFaults } from '../../packages/kvar/src/targets/wrappers/faulty-target.ts'
import { type FileCall, systemError } from '../support/crash-files.ts'
import { TooLate } from '../support/crash-files-clock.ts'
import { DiskImage } from '../support/crash-files-image.ts'
import { assertWorded, Life, type LifeOptions } from '../support/crash-files-life.ts'
import { add, makeTable, type Rows, row, TestMachine } from '../support/start-machine.ts'
import { ONE, past, TWO } from '../support/start-scenarios.ts'
import { CaseLoop, type CaseResult } from './io-fault-cases.ts'
import { assertAfterHealthyStart, assertCopiesWhole, assertHeld } from './io-fault-checks.ts'
import type { LoopOptions } from './proof-loop.ts'

/*
 * The Nth-operation fault loop (PROOF 1): a keeper's whole life, from its start over captured commits,
 * flush and copies to its close, in which the N-th call of the file system or of a target fails, once
 * or from then on for ever; for every N. Whatever fails, errors have a code and a sentence, nothing
 * acknowledged is missing from the ledger, no copy is half, no descriptor stays open, and the next
 * healthy start is right. The app's own SQLite is never in trouble, so it commits all the time.
 */

const SCENARIOS: Record<string, (machine: TestMachine) => Promise<void>> = {
  'goes on': (machine) => past(machine, 'WAL'),
  restores: async (machine) => {
    await past(machine)
    machine.wipeDatabase()
  },
  adopts: async (machine) => {
    const app = makeTable(machine.openApp(), 'WAL')
    add(app, ONE, TWO)
    machine.closeApp(app)
  },
}
const BEFORE: Rows = [ONE, TWO]

/** What a call meets; `no answer`: a target has done it, and an error denies it. */
type Way = 'EIO' | 'ENOSPC' | 'no answer' | 'refused'
interface Fault {
  way: Way
  lasting: boolean
  number: number
}

const FILE_WAYS = [
  { way: 'EIO', lasting: false },
  { way: 'EIO', lasting: true },
  { way: 'ENOSPC', lasting: false },
  { way: 'ENOSPC', lasting: true },
] as const
const TARGET_WAYS = [
  { way: 'no answer', lasting: false },
  { way: 'refused', lasting: true },
  { way: 'refused', lasting: false },
  { way: 'no answer', lasting: true },
] as const
/** A single fault is got over in this time, on a clock that skips waiting. */
const PATIENCE_MS = 600_000
/** With a lasting one nobody waits longer than this. */
const LASTING_MS = 20_000
const CLOSE_MS = 8000

/** @param options.rounds in how many of the four ways each call fails; the seed says which come first */
export async function ioFaultLoop(options: LoopOptions): Promise<CaseResult> {
  const loop = new CaseLoop('io-fault', options)
  for (const [name, arrange] of Object.entries(SCENARIOS)) {
    const machine = await TestMachine.create({ copies: ['json', 'backup'] }, { oneDisk: true })
    machine.overrides.targets = machine.bothTargets()
    try {
      await arrange(machine)
      const image = new DiskImage([machine.home, machine.away])
      for (const ways of [FILE_WAYS, TARGET_WAYS]) {
        image.bringBack()
        const calls = await countCalls(machine, ways[0].way, name !== 'goes on')
        loop.count(ways === FILE_WAYS ? 'file calls' : 'target calls', calls)
        for (let number = 1; number <= calls; number++) {
          for (let round = 0; round < Math.min(options.rounds, ways.length); round++) {
            const fault = { ...(ways[(options.seed + number + round) % ways.length] ?? ways[0]), number }
            await loop.run(
              `${name}, ${fault.way} at ${number}${fault.lasting ? ' and for ever' : ''}`,
              () => {
                image.bringBack()
                return oneLife(machine, fault)
              },
            )
          }
        }
      }
    } finally {
      await machine.destroy()
    }
  }
  return loop.end()
}

/** @param startOnly what follows the start is the same in another scenario */
async function countCalls(machine: TestMachine, way: Way, startOnly: boolean): Promise<number> {
  const trouble = new Trouble({ way, lasting: false, number: Number.POSITIVE_INFINITY })
  const story = new Story(machine, trouble.fault)
  try {
    await story.begin(trouble.options)
    if (!startOnly) await story.work()
    return trouble.calls
  } finally {
    await story.end()
  }
}

/** The fault of one life, wherever it strikes. */
class Trouble {
  readonly fault: Fault
  calls = 0
  /** Where it struck first. */
  at: string | undefined

  constructor(fault: Fault) {
    this.fault = fault
  }

  get options(): LifeOptions {
    const { way } = this.fault
    if (way === 'EIO' || way === 'ENOSPC') return { tap: { before: (call) => this.#beforeCall(way, call) } }
    const kind = way === 'refused' ? ('fail-before' as const) : ('fail-after' as const)
    return {
      wrap: (target) =>
        withFaults(target, {
          clock: { startTimer: () => ({ cancel: () => undefined }) } as never,
          plan: ({ verb, key }) => (this.#strikes(`${verb} ${key}`) ? { kind } : undefined),
        }),
    }
  }

  #beforeCall(way: 'EIO' | 'ENOSPC', call: FileCall): void {
    const takesRoom = (call.changes || call.verb === 'closeSync') && !call.verb.startsWith('remove')
    if (!this.#strikes(`${call.verb} ${call.path}`)) return
    // A full disk lets everything else pass, for ever; once, it would be no fault.
    if (way === 'ENOSPC' && !takesRoom && this.fault.lasting) return
    if (way === 'ENOSPC') call.half?.()
    throw systemError(way === 'ENOSPC' && takesRoom ? 'ENOSPC' : 'EIO', call)
  }

  #strikes(at: string): boolean {
    this.calls += 1
    const { lasting, number } = this.fault
    const strikes = lasting ? this.calls >= number : this.calls === number
    if (strikes) this.at ??= at
    return strikes
  }
}

/** A life with a fault, then a healthy one. @returns where the fault struck */
async function oneLife(machine: TestMachine, fault: Fault, trouble = new Trouble(fault)): Promise<string> {
  const story = new Story(machine, fault)
  try {
    // What failed once succeeds when it is tried again.
    for (const again of [false, true]) {
      const said = await story.begin(trouble.options)
      if (said === undefined) {
        await story.work()
        break
      }
      if (again && !fault.lasting) throw new Error(`a second start fails: ${said}`)
    }
    const { committed, acknowledged } = story
    await assertHeld(machine, acknowledged)
    await assertCopiesWhole(machine, committed)
    // A cache that could never be written cannot tell what is new from what another keeper left (R10).
    await assertAfterHealthyStart(machine, { committed, acknowledged, mayBranch: fault.lasting })
  } catch (thrown) {
    const error = thrown as Error
    throw new Error(`${trouble.at ?? 'no fault'}: ${error.message}`, { cause: error })
  } finally {
    await story.end()
  }
  return trouble.at ?? ''
}

/** The life with the fault: what the app did and heard. */
class Story {
  readonly #machine: TestMachine
  readonly #fault: Fault
  #life: Life | undefined
  readonly committed: Rows = [...BEFORE]
  acknowledged: Rows

  constructor(machine: TestMachine, fault: Fault) {
    this.#machine = machine
    this.#fault = fault
    this.acknowledged = fs.existsSync(machine.ledgerPath) ? [...BEFORE] : []
  }

  /** Starts a keeper; answers what it said when it could not. */
  async begin(options: LifeOptions): Promise<string | undefined> {
    await this.end()
    try {
      this.#life = new Life(this.#machine, options)
      await this.#life.clock.within(PATIENCE_MS, 'a start', this.#life.keeper.start(false))
      return undefined
    } catch (thrown) {
      if (thrown instanceof TooLate && !this.#fault.lasting) throw thrown
      if (this.#life !== undefined) await this.#close()
      return thrown instanceof TooLate ? thrown.message : assertWorded(thrown).message
    }
  }

  /** The app's work, from its opening the database to the keeper's end. */
  async work(): Promise<void> {
    const app = makeTable(this.#machine.openApp(), 'WAL')
    const commit = (id: number) => {
      add(app, row(id, 'written beside a fault'))
      this.committed.push(row(id, 'written beside a fault'))
    }
    try {
      commit(11)
      // A single fault may end one flush with an error, not two.
      if (!(await this.#answers('flush')) && !(await this.#answers('flush')) && !this.#fault.lasting)
        throw new Error('two flushes fail after a single fault')
      commit(12)
      await this.#answers('backupDatabase')
      commit(13)
      if ((await this.#close()) === undefined) this.acknowledged = [...this.committed]
    } finally {
      this.#machine.closeApp(app)
    }
  }

  async #answers(verb: 'flush' | 'backupDatabase'): Promise<boolean> {
    const { clock, keeper } = this.#life as Life
    const committed = [...this.committed]
    try {
      await clock.within(this.#fault.lasting ? LASTING_MS : PATIENCE_MS, verb, keeper[verb]())
      this.acknowledged = committed
      return true
    } catch (thrown) {
      if (!(thrown instanceof TooLate)) assertWorded(thrown)
      else if (!this.#fault.lasting) throw thrown
      return false
    }
  }

  async #close(): Promise<string | undefined> {
    const life = this.#life as Life
    const left = await life.close(CLOSE_MS)
    const { openPaths } = life.traffic
    if (openPaths.length > 0) throw new Error(`stays open: ${openPaths.join(', ')}`)
    return left
  }

  async end(): Promise<void> {
    await this.#life?.kill()
    this.#life = undefined
  }
}

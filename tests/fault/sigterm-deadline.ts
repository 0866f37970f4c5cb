import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import * as fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { DatabaseSync } from 'node:sqlite'
import { setTimeout as pause } from 'node:timers/promises'
import { CaseLoop, type CaseResult } from './io-fault-cases.ts'
import type { LoopOptions } from './proof-loop.ts'
import { childrenOf, keepersOf, kill, killKeepers, until } from './proof-processes.ts'
import { commandLine, compileProduct, hasCommandLine } from './proof-product.ts'
import { Choices } from './proof-random.ts'
import { restoredFile } from './proof-restored-file.ts'
import type { Order } from './sigterm-deadline-app.ts'

/*
 * SIGTERM with so long to live (PROOF 5): an app under load is asked to end as hosts do it, and what is
 * left after the deadline is killed. Everything acknowledged is stored always; everything committed
 * before the signal is stored if app and keeper left by themselves. Deadlines of 5, 10 and 30 s count
 * and are hardly ever waited for: who has stored everything leaves. Short ones cut the end off.
 */

/** Who is signalled: the app alone, every process at once (Heroku), the keeper before the app, `kvar run`. */
const RECIPIENTS = ['app', 'everyone', 'keeper first', 'run'] as const
type Recipient = (typeof RECIPIENTS)[number]
const DEADLINES_MS = [5000, 10_000, 30_000]
/** With so long to live everything must be stored, on the slowest machine. */
const AMPLE_MS = 30_000
const START_MS = 60_000
/** A target that does not answer uses the keeper's own time up; only large numbers of rounds wait for it. */
const PATIENT_ROUNDS = 50
const AT_ONCE = 2
const APP = join(import.meta.dirname, 'sigterm-deadline-app.ts')

export async function sigtermLoop(options: LoopOptions): Promise<CaseResult> {
  if (!hasCommandLine()) compileProduct()
  const loop = new CaseLoop('sigterm', options)
  let next = 0
  const worker = async () => {
    while (next < options.rounds && !loop.isOver) await oneRound(loop, options, next++)
  }
  await Promise.all(Array.from({ length: AT_ONCE }, worker))
  return loop.end()
}

async function oneRound(loop: CaseLoop, options: LoopOptions, round: number): Promise<void> {
  const choices = new Choices(options.seed, 'sigterm', round)
  const recipient = RECIPIENTS[round % RECIPIENTS.length] as Recipient
  const isShort = choices.chance(0.4)
  const deadlineMs = isShort ? choices.between(0, 150) : choices.pick(DEADLINES_MS)
  const isAway = options.rounds >= PATIENT_ROUNDS && choices.chance(0.05)
  await loop.run(`round ${round}: ${recipient}, ${deadlineMs} ms${isAway ? ', no target' : ''}`, async () => {
    const end = new Ending(recipient, choices)
    try {
      await end.load(choices)
      if (isAway) end.takeTargetAway()
      const inTime = await end.signal(deadlineMs)
      if (isAway) end.bringTargetBack()
      if (!inTime && deadlineMs >= AMPLE_MS && !isAway) throw new Error('not everything ended in ample time')
      const stored = await end.assertStored(inTime && !isAway)
      loop.count(inTime ? 'in time' : 'killed')
      loop.count('commits', stored)
    } finally {
      await end.cleanUp()
    }
  })
}

class Ending {
  readonly #folder = fs.mkdtempSync(join(tmpdir(), 'kvar-sigterm-'))
  readonly #database = join(this.#folder, 'app', 'steps.db')
  readonly #target = join(this.#folder, 'target')
  readonly #recipient: Recipient
  readonly #child: ChildProcess
  readonly #closed: Promise<unknown>
  #done = 0
  #acknowledged = 0
  #doneAtSignal = 0

  constructor(recipient: Recipient, choices: Choices) {
    this.#recipient = recipient
    fs.mkdirSync(join(this.#folder, 'app'))
    const order: Order = {
      database: this.#database,
      settings:
        recipient === 'run'
          ? undefined
          : { targets: [`folder:${this.#target}`], interval: choices.pick(['50ms', '1s', '1h']) },
      journalMode: choices.pick(['wal', 'delete']),
      pauseMs: choices.between(2, 20),
      flushEvery: choices.pick([3, 20, 1_000_000]),
      rowBytes: choices.pick([50, 3000]),
    }
    const words = [APP, JSON.stringify(order)]
    const run = [commandLine, 'run', '--', process.execPath, ...words]
    this.#child = spawn(process.execPath, recipient === 'run' ? run : words, {
      stdio: ['ignore', 'pipe', 'ignore'],
      env: {
        ...process.env,
        KVAR_DB: this.#database,
        KVAR_TARGETS: `folder:${this.#target}`,
        KVAR_COPIES: 'none',
      },
    })
    const lines = createInterface({ input: this.#child.stdout as NodeJS.ReadableStream })
    lines.on('line', (line) => this.#onLine(line))
    // What was said is read to its end before anybody judges it.
    this.#closed = Promise.all([once(this.#child, 'close'), once(lines, 'close')])
  }

  #onLine(line: string): void {
    const [word, number] = line.split(' ')
    if (word === 'done') this.#done = Number(number)
    if (word === 'ack') this.#acknowledged = Math.max(this.#acknowledged, Number(number))
  }

  async load(choices: Choices): Promise<void> {
    const least = choices.between(1, 40)
    await until(
      () => this.#done >= least || this.#child.exitCode !== null,
      'the app does not commit',
      START_MS,
    )
    if (this.#child.exitCode !== null) throw new Error('the app ended before it was asked to')
    await pause(choices.between(0, 100))
  }

  takeTargetAway(): void {
    fs.renameSync(this.#target, `${this.#target}.away`)
  }

  bringTargetBack(): void {
    fs.rmSync(this.#target, { recursive: true, force: true })
    fs.renameSync(`${this.#target}.away`, this.#target)
  }

  /** @returns whether everything ended by itself */
  async signal(deadlineMs: number): Promise<boolean> {
    this.#doneAtSignal = this.#done
    for (const id of this.#signalled()) send(id)
    const isOver = () => this.#child.exitCode !== null || this.#child.signalCode !== null
    const everybodyLeft = () => isOver() && keepersOf(this.#database).length === 0
    const inTime = await until(everybodyLeft, 'late', deadlineMs).then(
      () => true,
      () => false,
    )
    await this.#killAll()
    await this.#closed
    return inTime
  }

  #signalled(): number[] {
    const app = this.#child.pid as number
    const keepers = keepersOf(this.#database)
    if (this.#recipient === 'everyone') return [app, ...keepers]
    if (this.#recipient === 'keeper first') return [...keepers, app]
    return [app]
  }

  async #killAll(): Promise<void> {
    const { pid } = this.#child
    const commands = pid === undefined || this.#recipient !== 'run' ? [] : childrenOf(pid)
    if (this.#child.exitCode === null && this.#child.signalCode === null) this.#child.kill('SIGKILL')
    for (const id of commands) kill(id)
    await killKeepers(this.#database)
  }

  /** The machine is gone; what the target holds is what there is. @returns how many commits it shows */
  async assertStored(allBeforeSignal: boolean): Promise<number> {
    const numbers = await this.#storedNumbers()
    const stored = numbers.length
    if (numbers.some((n, index) => n !== index + 1)) throw new Error(`a gap in ${numbers.join(' ')}`)
    const need = Math.max(this.#acknowledged, allBeforeSignal ? this.#doneAtSignal : 0)
    if (stored >= need) return stored
    const { length } = numbersIn(this.#database)
    throw new Error(
      `LOST: ${stored} stored, ${this.#acknowledged} acknowledged, ${this.#doneAtSignal} committed before the signal, ${length} here`,
    )
  }

  async #storedNumbers(): Promise<number[]> {
    if (!fs.existsSync(join(this.#target, 'ltx/0'))) return []
    return numbersIn(await restoredFile(this.#target, join(this.#folder, 'restored.db')))
  }

  async cleanUp(): Promise<void> {
    await this.#killAll()
    fs.rmSync(this.#folder, { recursive: true, force: true })
  }
}

function send(id: number): void {
  try {
    process.kill(id, 'SIGTERM')
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code !== 'ESRCH') throw thrown
  }
}

function numbersIn(path: string): number[] {
  const database = new DatabaseSync(path)
  try {
    const check = database.prepare('PRAGMA integrity_check').get()
    if (check?.integrity_check !== 'ok') throw new Error(`${path}: ${check?.integrity_check}`)
    if (database.prepare("SELECT 1 FROM sqlite_schema WHERE name = 'steps'").get() === undefined) return []
    return database
      .prepare('SELECT n FROM steps ORDER BY n')
      .all()
      .map(({ n }) => Number(n))
  } finally {
    database.close()
  }
}

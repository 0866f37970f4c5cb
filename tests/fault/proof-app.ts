import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { type History, Violation } from './proof-model.ts'
import { kill } from './proof-processes.ts'

/** What an app is told at its start; see tests/support/proof-app.mjs. */
export interface AppOrder {
  /** URL of Kvar's entry; unused by apps under `kvar run`. */
  library: string
  database: string
  settings: { targets: string[]; durable: 'ledger' | 'all'; copies: string[]; interval: string }
  firstToken: number
  journalMode: 'wal' | 'delete' | 'truncate'
  pageSize: number
  cachePages: number
  busyMs: number
  /** A pause after so many transactions. */
  burst: number
  pauseMs: number
  /** One transaction in so many is followed by a flush, or by VACUUM. */
  flushEvery: number
  vacuumEvery: number
}

const ANSWER_MS = 45_000

/** A running app, and the pipe through which it says what it asked and what was stored. */
export class AppProcess {
  readonly process: ChildProcess
  readonly #history: History
  readonly #waiting = new Map<string, (rest: string) => void>()
  readonly #onDone: (token: number) => void
  #stderr = ''
  trouble: string | undefined
  ended = false
  readonly closed: Promise<void>

  constructor(input: {
    command: string[]
    environment?: Record<string, string>
    history: History
    onDone?: (token: number) => void
  }) {
    const [program = '', ...words] = input.command
    this.#history = input.history
    this.#onDone = input.onDone ?? (() => undefined)
    this.process = spawn(program, words, {
      stdio: ['pipe', 'pipe', 'pipe'],
      env: { ...process.env, ...input.environment },
    })
    this.process.stdin?.on('error', () => undefined)
    this.process.stderr?.on('data', (chunk: Buffer) => {
      this.#stderr = (this.#stderr + chunk).slice(-4000)
    })
    if (this.process.stdout === null) throw new Error('an app without a pipe')
    const lines = createInterface({ input: this.process.stdout })
    lines.on('line', (line) => this.#onLine(line))
    // What was said is read to its end before anybody judges it.
    this.closed = Promise.all([once(this.process, 'close'), once(lines, 'close')]).then(() => {
      this.ended = true
      for (const wake of this.#waiting.values()) wake('')
    })
  }

  #onLine(line: string): void {
    const [word = '', ...rest] = line.split(' ')
    const token = Number(rest[0])
    if (word === 'ask') this.#history.ask(token)
    else if (word === 'gone') this.#history.gone(token)
    else if (word === 'ack') this.#history.acknowledge(token)
    else if (word === 'trouble') this.trouble ??= rest.join(' ')
    else if (word === 'done') {
      this.#history.done(token)
      this.#onDone(token)
    } else {
      this.#waiting.get(word)?.(rest.join(' '))
      this.#waiting.delete(word)
    }
  }

  /** Gives a command and waits for the word that answers it. */
  async ask(command: string | undefined, answer: string): Promise<string> {
    const answered = new Promise<string>((resolve) => this.#waiting.set(answer, resolve))
    if (command !== undefined) this.tell(command)
    let timer: NodeJS.Timeout | undefined
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(this.#stuck(answer, 'in time')), ANSWER_MS)
    })
    const rest = await Promise.race([answered, late]).finally(() => clearTimeout(timer))
    if (rest === '' && this.ended && answer !== 'closed') throw this.#stuck(answer, 'before it ended')
    return rest
  }

  tell(command: string): void {
    this.process.stdin?.write(`${command}\n`)
  }

  /** What the app could not do although nothing stood in its way any more. */
  assertNoTrouble(): void {
    if (this.trouble !== undefined) throw new Violation('stuck', this.trouble)
  }

  #stuck(answer: string, when: string): Violation {
    const code = this.process.exitCode ?? this.process.signalCode
    const why = [this.trouble, this.#stderr.trim()].filter(Boolean).join(' · ')
    return new Violation('stuck', `no "${answer}" ${when} (exit ${code}): ${why}`)
  }

  async kill(): Promise<void> {
    if (this.process.pid !== undefined && !this.ended) kill(this.process.pid)
    await this.closed
  }
}

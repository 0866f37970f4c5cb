import type { LoopOptions, LoopResult } from './proof-loop.ts'

/** A loop that fails again and again says nothing new. */
const VIOLATION_LIMIT = Number(process.env.KVAR_PROOF_VIOLATIONS ?? 10)

export interface CaseResult extends LoopResult {
  /** What each violated case says. */
  failures: string[]
}

/** Runs cases one after the other, and notes what was violated. */
export class CaseLoop {
  readonly failures: string[] = []
  readonly counts: Record<string, number> = {}
  readonly #name: string
  readonly #options: LoopOptions
  readonly #begunMs = performance.now()
  readonly #uncaught: unknown[] = []
  readonly #onUncaught = (thrown: unknown) => void this.#uncaught.push(thrown)
  #rounds = 0

  constructor(name: string, options: LoopOptions) {
    this.#name = name
    this.#options = options
    process.on('unhandledRejection', this.#onUncaught)
  }

  get isOver(): boolean {
    return this.failures.length >= VIOLATION_LIMIT
  }

  count(what: string, by = 1): void {
    this.counts[what] = (this.counts[what] ?? 0) + by
  }

  /** @param work throws when something was violated */
  async run(name: string, work: () => Promise<unknown>): Promise<void> {
    const { seed, only } = this.#options
    if (this.isOver || (only !== undefined && !name.includes(only))) return
    this.#rounds += 1
    try {
      await work()
      // A promise that nobody caught is heard of one turn later.
      await new Promise((resolve) => setImmediate(resolve))
      if (this.#uncaught.length > 0) throw this.#uncaught[0]
    } catch (thrown) {
      this.#uncaught.length = 0
      const error = thrown as Error
      const failure = `${this.#name}: ${name} (seed ${seed}): ${error.stack}`
      this.failures.push(error.cause instanceof Error ? `${failure}\n${error.cause.stack}` : failure)
      tell(this.failures.at(-1) as string)
    }
  }

  end(): CaseResult {
    process.removeListener('unhandledRejection', this.#onUncaught)
    const seconds = Math.round((performance.now() - this.#begunMs) / 1000)
    const counts = { violations: this.failures.length, ...this.counts }
    const words = Object.entries(counts).map(([name, count]) => `${count} ${name}`)
    const { seed } = this.#options
    const sentence = `${this.#name}: ${this.#rounds} rounds, seed ${seed}, ${words.join(', ')}, ${seconds} s`
    tell(sentence)
    const { failures } = this
    return { name: this.#name, options: this.#options, violations: failures.length, failures, sentence }
  }
}

function tell(line: string): void {
  process.stdout.write(`${line}\n`)
}

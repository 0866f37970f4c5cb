import type { Clock } from '../../packages/kvar/src/platform/clock.ts'

interface PendingTimer {
  dueMs: number
  fire: () => void
}

/** A clock that stands still until `advance`, and remembers every delay that was asked for. */
export class ManualClock implements Clock {
  readonly delaysMs: number[] = []
  readonly #timers = new Set<PendingTimer>()
  #timeMs = 1_795_428_930_000

  nowMs(): number {
    return this.#timeMs
  }

  monotonicMs(): number {
    return this.#timeMs
  }

  startTimer(delayMs: number, fire: () => void) {
    this.delaysMs.push(delayMs)
    const timer = { dueMs: this.#timeMs + delayMs, fire }
    this.#timers.add(timer)
    return { cancel: () => this.#timers.delete(timer) }
  }

  turn(): Promise<void> {
    return new Promise((resolve) => setImmediate(() => setImmediate(resolve)))
  }

  get pending(): number {
    return this.#timers.size
  }

  /** Jumps to the next timer, if there is one. */
  fireNext(): void {
    const [next] = [...this.#timers].sort((a, b) => a.dueMs - b.dueMs)
    if (next === undefined) return
    this.#timers.delete(next)
    this.#timeMs = Math.max(this.#timeMs, next.dueMs)
    next.fire()
  }

  /** Runs work to its end, firing the next timer whenever nothing else moves. Only for work without real waits. */
  async run<T>(work: Promise<T>): Promise<T> {
    let isSettled = false
    const end = () => {
      isSettled = true
    }
    work.then(end, end)
    for (await this.turn(); !isSettled; await this.turn()) this.fireNext()
    return work
  }
}

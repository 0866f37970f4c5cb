import type { Clock, Timer } from '../../packages/kvar/src/platform/clock.ts'
import type { FileTraffic } from './crash-files.ts'

interface Waiting {
  atMs: number
  fire: () => void
}

/**
 * The kernel stamps files by ticks of up to 10 ms, and a life that skips all waiting does in between what
 * takes an app much longer: so the keeper's clock is a little slow, and what comes later bears a later time.
 */
const SLOW_MS = 20
/** Turns of the event loop in which nothing happens, before time goes on. */
const QUIET_TURNS = 3

/**
 * A clock that does not wait: as soon as nothing is under way, the next timer fires. Minutes of pauses
 * pass in milliseconds, and a busy machine changes nothing: no deadline is over before its work was done.
 */
export class SkippingClock implements Clock {
  readonly #traffic: FileTraffic
  readonly #timers = new Set<Waiting>()
  #nowMs = 0
  #quietTurns = 0
  #isTurning = false
  #stopped = false

  constructor(traffic: FileTraffic) {
    this.#traffic = traffic
  }

  /** The real time: it stands beside the times of files, which the kernel gives. */
  nowMs(): number {
    return Date.now() - SLOW_MS
  }

  monotonicMs(): number {
    return this.#nowMs
  }

  startTimer(delayMs: number, fire: () => void): Timer {
    const waiting = { atMs: this.#nowMs + Math.max(0, delayMs), fire }
    this.#timers.add(waiting)
    this.#turn()
    return { cancel: () => void this.#timers.delete(waiting) }
  }

  turn(): Promise<void> {
    this.#traffic.underWay += 1
    return new Promise((resolve) =>
      setImmediate(() => {
        this.#traffic.underWay -= 1
        resolve()
      }),
    )
  }

  /** What the work gives, or an error when so much time has passed before. */
  within<T>(limitMs: number, what: string, work: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const timer = this.startTimer(limitMs, () =>
        reject(new TooLate(`${what} takes more than ${limitMs} ms`)),
      )
      work.then(resolve, reject).finally(() => timer.cancel())
    })
  }

  /** Lets time pass. */
  pass(forMs: number): Promise<void> {
    return new Promise((resolve) => this.startTimer(forMs, resolve))
  }

  /** Nothing fires any more. */
  stop(): void {
    this.#stopped = true
    this.#timers.clear()
  }

  #turn(): void {
    if (this.#isTurning || this.#stopped || this.#timers.size === 0) return
    this.#isTurning = true
    setImmediate(() => {
      this.#isTurning = false
      this.#quietTurns = this.#traffic.underWay > 0 ? 0 : this.#quietTurns + 1
      if (this.#quietTurns > QUIET_TURNS) this.#fireNext()
      this.#turn()
    })
  }

  #fireNext(): void {
    this.#quietTurns = 0
    let next: Waiting | undefined
    for (const one of this.#timers) if (next === undefined || one.atMs < next.atMs) next = one
    if (next === undefined) return
    this.#timers.delete(next)
    this.#nowMs = Math.max(this.#nowMs, next.atMs)
    next.fire()
  }
}

/** Something did not come to its end in any sensible time. */
export class TooLate extends Error {}

import { createHash } from 'node:crypto'

/** One life of a process. What belongs to a life that has ended never happens. */
export class Life {
  readonly name: string
  alive = true

  constructor(name: string) {
    this.name = name
  }
}

export interface Scheduled {
  cancel(): void
}

interface Event {
  dueMs: number
  order: number
  life: Life | undefined
  what: string
  fire: (() => void) | undefined
}

/** How many of the last events a failure shows. */
const TAIL_LINES = 120
/** Many small pieces are hashed slower than one long one. */
const HASH_LENGTH = 16_384

/**
 * The only time there is: a queue of everything that will happen, in one order. Between two events
 * all promises settle, so a seed decides the whole course of the world.
 */
export class Timeline {
  nowMs = 0
  count = 0
  /** Hears every line of the trace, for looking into one seed. */
  listener: ((line: string) => void) | undefined
  /** What has to be undone for what will never be answered. */
  readonly leftOvers = new Set<() => void>()
  readonly #events: Event[] = []
  readonly #hash = createHash('sha256')
  readonly #tail: string[] = []
  #orders = 0
  #unhashed = ''
  #failure: { thrown: unknown } | undefined

  /** Lets something happen later, in a life (and only if that still lasts) or in the world at large. */
  at(delayMs: number, life: Life | undefined, what: string, fire: () => void): Scheduled {
    const event: Event = { dueMs: this.nowMs + Math.max(0, delayMs), order: this.#orders++, life, what, fire }
    this.#push(event)
    return {
      cancel: () => {
        event.fire = undefined
      },
    }
  }

  /** Nothing happens any more: what a finished world still meant to do would keep all of it in memory. */
  end(): void {
    this.#events.length = 0
    for (const remove of this.leftOvers) remove()
  }

  /** Adds a line to the trace: the same seed must give the same lines. */
  note(line: string): void {
    const text = `${this.nowMs.toFixed(2)} ${line}`
    this.#unhashed += text
    if (this.#unhashed.length > HASH_LENGTH) this.#hashNow()
    this.listener?.(text)
    this.#tail.push(text)
    if (this.#tail.length > TAIL_LINES * 2) this.#tail.splice(0, TAIL_LINES)
  }

  /** Runs until the condition holds or `limitMs` have passed; answers whether it holds. */
  async until(isMet: () => boolean, limitMs: number): Promise<boolean> {
    const endMs = this.nowMs + limitMs
    for (;;) {
      await settled()
      if (this.#failure !== undefined) throw this.#failure.thrown
      if (isMet()) return true
      const next = this.#pop(endMs)
      if (next === undefined) {
        this.nowMs = endMs
        return false
      }
      this.nowMs = Math.max(this.nowMs, next.dueMs)
      this.count += 1
      this.note(next.what)
      next.fire?.()
    }
  }

  async run(forMs: number): Promise<void> {
    await this.until(() => false, forMs)
  }

  /** What is still to happen in these lives. */
  waiting(isMeant: (life: Life) => boolean): string[] {
    const meant = this.#events.filter(
      ({ life, fire }) => fire !== undefined && life?.alive === true && isMeant(life),
    )
    return meant.map(({ dueMs, what }) => `${what} in ${(dueMs - this.nowMs).toFixed(0)} ms`)
  }

  /** Ends the world: something was thrown that nobody caught. */
  fail(thrown: unknown): void {
    this.#failure ??= { thrown }
  }

  tail(): string[] {
    return this.#tail.slice(-TAIL_LINES)
  }

  digest(): string {
    this.#hashNow()
    return this.#hash.copy().digest('hex')
  }

  #hashNow(): void {
    this.#hash.update(this.#unhashed)
    this.#unhashed = ''
  }

  /** The next event that is still wanted. */
  #pop(endMs: number): Event | undefined {
    for (;;) {
      const first = this.#events[0]
      if (first === undefined || first.dueMs > endMs) return undefined
      this.#removeFirst()
      if (first.fire !== undefined && first.life?.alive !== false) return first
    }
  }

  #push(event: Event): void {
    const heap = this.#events
    let index = heap.push(event) - 1
    while (index > 0) {
      const above = (index - 1) >> 1
      if (!isBefore(event, heap[above] as Event)) break
      heap[index] = heap[above] as Event
      index = above
    }
    heap[index] = event
  }

  #removeFirst(): void {
    const heap = this.#events
    const last = heap.pop() as Event
    if (heap.length === 0) return
    let index = 0
    for (;;) {
      let below = index * 2 + 1
      if (below >= heap.length) break
      if (below + 1 < heap.length && isBefore(heap[below + 1] as Event, heap[below] as Event)) below += 1
      if (!isBefore(heap[below] as Event, last)) break
      heap[index] = heap[below] as Event
      index = below
    }
    heap[index] = last
  }
}

function isBefore(a: Event, b: Event): boolean {
  return a.dueMs === b.dueMs ? a.order < b.order : a.dueMs < b.dueMs
}

/** Every promise that can settle has settled when Node comes to its next immediate. */
export function settled(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}

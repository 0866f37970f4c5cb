import type { Random } from '../../packages/kvar/src/platform/random.ts'

/** Every choice of a simulation. The same seed and name give the same sequence on every machine. */
export class Dice implements Random {
  readonly #name: string
  #state: number

  constructor(seed: number, name: string) {
    this.#name = `${seed}/${name}`
    this.#state = hash(this.#name)
  }

  /** Dice of their own for one part of the world: how often others are thrown does not matter to it. */
  fork(name: string): Dice {
    return new Dice(this.#state, `${this.#name}/${name}`)
  }

  /** mulberry32 (public domain, Tommy Ettinger). */
  fraction(): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }

  bytes(count: number): Uint8Array {
    return Uint8Array.from({ length: count }, () => Math.floor(this.fraction() * 256))
  }

  /** A whole number from `least` to `most`, both included. */
  between(least: number, most: number): number {
    return least + Math.floor(this.fraction() * (most - least + 1))
  }

  chance(probability: number): boolean {
    return this.fraction() < probability
  }

  pick<T>(values: readonly T[]): T {
    const value = values[this.between(0, values.length - 1)]
    if (value === undefined) throw new Error('nothing to choose from')
    return value
  }

  /** Mostly short, sometimes long: how machines and networks really answer. */
  delayMs(usualMs: number, longestMs: number): number {
    const stretched = this.chance(0.05) ? longestMs : usualMs
    return Math.round(this.fraction() * stretched * 100) / 100
  }
}

/** FNV-1a. */
function hash(text: string): number {
  let value = 0x811c9dc5
  for (let index = 0; index < text.length; index++)
    value = Math.imul(value ^ text.charCodeAt(index), 0x01000193)
  return value
}

/** Choices that a seed decides: the same seed and names give the same sequence on every machine. */
export class Choices {
  #state: number

  /** @param names what the choices are for, such as a round's number: one's sequence never depends on another's */
  constructor(seed: number, ...names: Array<string | number>) {
    this.#state = hash(`${seed}/${names.join('/')}`)
  }

  /** A whole number from `least` to `most`, both included. */
  between(least: number, most: number): number {
    return least + Math.floor(this.#next() * (most - least + 1))
  }

  chance(probability: number): boolean {
    return this.#next() < probability
  }

  pick<T>(values: readonly T[]): T {
    const value = values[this.between(0, values.length - 1)]
    if (value === undefined) throw new Error('nothing to choose from')
    return value
  }

  /** A random part of the values, possibly none or all. */
  some<T>(values: readonly T[]): T[] {
    return values.filter(() => this.chance(0.5))
  }

  /** mulberry32 (public domain, Tommy Ettinger). */
  #next(): number {
    this.#state = (this.#state + 0x6d2b79f5) | 0
    let mixed = Math.imul(this.#state ^ (this.#state >>> 15), 1 | this.#state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

/** FNV-1a. */
function hash(text: string): number {
  let value = 0x811c9dc5
  for (const byte of Buffer.from(text)) value = Math.imul(value ^ byte, 0x01000193)
  return value
}

/** One row of the app's table `items`. */
export interface Item {
  token: number
  text: string
}

/** What a database of the proof's apps holds. */
export interface Content {
  /** SQLite's own word: `ok`, or what is wrong. */
  integrity: string
  tokens: number[]
  items: Map<number, Item>
}

/** What must not be: something acknowledged is missing, something nobody asked for is there, or what is there is not whole. */
export type ViolationKind = 'lost' | 'foreign' | 'damaged' | 'stuck'

export class Violation extends Error {
  readonly kind: ViolationKind

  constructor(kind: ViolationKind, sentence: string) {
    super(sentence)
    this.kind = kind
  }
}

/** What a database has to hold at least. */
export interface Bound {
  least: 'stored' | 'committed'
  storedUpTo: number
}

/**
 * What the loop knows of one database, outside of all processes: the transactions in the order in
 * which they were asked, which of them were said to be committed, and which to be stored. As one
 * connection at a time writes them, every true state is the result of the first so many.
 */
export class History {
  /** In the database and stored when the present life of the app began. */
  #base: number[] = []
  #baseItems = new Map<number, Item>()
  /** Asked since then, without those that failed. */
  #asked: number[] = []
  #done = new Set<number>()
  #ackedUpTo = 0
  #nextToken = 1
  readonly counts = { asked: 0, acknowledged: 0, refused: 0 }

  get nextToken(): number {
    return this.#nextToken
  }

  ask(token: number): void {
    this.#asked.push(token)
    this.#nextToken = token + 1
    this.counts.asked += 1
  }

  done(token: number): void {
    this.#done.add(token)
  }

  /** The transaction failed, so it must never be seen. */
  gone(token: number): void {
    if (this.#asked.at(-1) === token) this.#asked.pop()
    this.counts.refused += 1
  }

  acknowledge(upTo: number): void {
    const fresh = this.#asked.filter((token) => token > this.#ackedUpTo && token <= upTo)
    this.counts.acknowledged += fresh.length
    this.#ackedUpTo = Math.max(this.#ackedUpTo, upTo)
  }

  /** The newest transaction that was said to be stored. */
  get storedUpTo(): number {
    return this.#ackedUpTo
  }

  get lastDone(): number {
    return this.#asked.findLast((token) => this.#done.has(token)) ?? 0
  }

  /**
   * Compares a database with what it may hold.
   *
   * @param bound.least `stored`: everything acknowledged must be there · `committed`: everything the app saw committed
   * @param bound.storedUpTo `storedUpTo` as it was before the content was read
   * @returns how many of the asked transactions it shows
   * @throws Violation
   */
  check(content: Content, bound: Bound, where: string): number {
    if (content.integrity !== 'ok') throw new Violation('damaged', `${where}: ${content.integrity}`)
    const expected = [...this.#base, ...this.#asked]
    const known = new Set(expected)
    const foreign = content.tokens.find((token) => !known.has(token))
    if (foreign !== undefined) throw new Violation('foreign', `${where}: ${foreign} was never asked`)
    const gap = content.tokens.findIndex((token, index) => token !== expected[index])
    if (gap !== -1)
      throw new Violation('lost', `${where}: ${expected[gap]} is missing before ${content.tokens[gap]}`)
    this.#assertHolds(content.tokens.length, expected, bound, where)
    this.#assertWhole(content, where)
    return content.tokens.length - this.#base.length
  }

  #assertHolds(count: number, expected: number[], bound: Bound, where: string): void {
    const { least, storedUpTo } = bound
    const isNeeded = (token: number) =>
      token <= storedUpTo || (least === 'committed' && this.#done.has(token))
    const missing = expected.find(
      (token, index) => index >= count && (index < this.#base.length || isNeeded(token)),
    )
    if (missing === undefined) return
    throw new Violation('lost', `${where}: ends before ${missing}, which was ${least}`)
  }

  /** Every transaction left all of its rows, and none left any of a transaction that is not there. */
  #assertWhole(content: Content, where: string): void {
    const items = this.itemsAfter(content.tokens.length - this.#base.length)
    for (const [id, item] of items) {
      const found = content.items.get(id)
      if (found?.token !== item.token || found.text !== item.text)
        throw new Violation(
          'damaged',
          `${where}: row ${id} of ${item.token} shows ${found?.token ?? 'nothing'}`,
        )
    }
    if (content.items.size !== items.size)
      throw new Violation('damaged', `${where}: ${content.items.size} rows instead of ${items.size}`)
  }

  itemsAfter(count: number): Map<number, Item> {
    const items = new Map(this.#baseItems)
    for (const token of this.#asked.slice(0, count)) carryOut(items, token)
    return items
  }

  /** From here on the database holds the first `count` asked transactions, and the others never happened. */
  goOnFrom(count: number): void {
    this.#asked = this.#asked.slice(0, count)
    for (const token of this.#asked) this.#done.add(token)
  }

  /** All of that is stored: a keeper that starts does not let the app in before. */
  allIsStored(): void {
    this.#baseItems = this.itemsAfter(this.#asked.length)
    this.#base = [...this.#base, ...this.#asked]
    this.#asked = []
    this.#done.clear()
  }

  /** For the evidence. */
  toJSON(): unknown {
    return {
      base: this.#base.length,
      baseEnds: this.#base.at(-1),
      asked: this.#asked,
      lastDone: this.lastDone,
      acknowledgedUpTo: this.#ackedUpTo,
    }
  }
}

/** What tests/support/proof-app.mjs and .py do in the database. */
function carryOut(items: Map<number, Item>, token: number): void {
  const drawn = mix(token)
  const choice = drawn >>> 4
  const item = { token, text: textOf(token) }
  const insert = (count: number) => {
    for (let index = 0; index < count; index++) items.set(token * 64 + index, item)
  }
  const update = (divisor: number) => {
    for (const id of items.keys()) if (id % divisor === choice % divisor) items.set(id, item)
  }
  const remove = (isGone: (id: number) => boolean) => {
    for (const id of items.keys()) if (isGone(id)) items.delete(id)
  }
  const kind = drawn % 16
  if (kind < 8) insert(1)
  else if (kind < 11) update(13)
  else if (kind < 13) remove((id) => id % 7 === choice % 7)
  else if (kind < 15) {
    insert(5 + (choice % 30))
    update(5)
  } else {
    remove((id) => id < (token - 60) * 64)
    insert(20)
  }
}

function textOf(token: number): string {
  return mix(token)
    .toString(16)
    .padStart(8, '0')
    .repeat(1 + (token % 97))
}

function mix(number: number): number {
  let mixed = Math.imul(number ^ (number >>> 16), 0x45d9f3b)
  mixed = Math.imul(mixed ^ (mixed >>> 16), 0x45d9f3b)
  return (mixed ^ (mixed >>> 16)) >>> 0
}

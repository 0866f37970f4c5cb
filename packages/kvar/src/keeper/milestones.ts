/** More would only be kept while a target is away; then neighbours become one, on the side of caution. */
const MARKS_LIMIT = 64

interface Mark {
  number: number
  /** When the number was first seen, and when it was last seen to be still the newest. */
  firstMs: number
  lastMs: number
}

/**
 * Numbers that grow with time (captured states, confirmed versions) and somebody who follows them:
 * since when does the follower lack something, and up to which moment does it lack nothing?
 *
 * Times are monotonic milliseconds: a clock that is set must not make anything look late.
 *
 * @example
 * const seen = new Milestones()
 * seen.note(1, 1000)
 * seen.reach(1)
 * seen.note(1, 2000) // looked again, nothing new
 * seen.note(2, 3000)
 * seen.completeUpToMs // 2000
 * seen.lackingSinceMs // 3000
 */
export class Milestones {
  #marks: Mark[] = []
  #reached = 0

  get reached(): number {
    return this.#reached
  }

  /** The newest number is this, at this moment. Numbers and moments never go back. */
  note(number: number, atMs: number): void {
    const last = this.#marks.at(-1)
    if (last?.number === number) last.lastMs = atMs
    else this.#marks.push({ number, firstMs: atMs, lastMs: atMs })
    if (this.#marks.length > MARKS_LIMIT) this.#merge()
  }

  /** The follower has everything up to this number; a smaller one than before changes nothing. */
  reach(number: number): void {
    this.#reached = Math.max(this.#reached, number)
    const within = this.#marks.filter((mark) => mark.number <= this.#reached)
    this.#marks.splice(0, within.length - 1)
  }

  /** When the oldest number was first seen that the follower lacks; undefined when it lacks none. */
  get lackingSinceMs(): number | undefined {
    return this.#marks.find((mark) => mark.number > this.#reached)?.firstMs
  }

  /** Everything that was there at this moment has been reached; undefined when that is not known. */
  get completeUpToMs(): number | undefined {
    return this.#marks.findLast((mark) => mark.number <= this.#reached)?.lastMs
  }

  /** The two in the middle become one: lacking since the earlier time, reached only with the later number. */
  #merge(): void {
    const index = MARKS_LIMIT / 2
    const [earlier, later] = this.#marks.slice(index, index + 2) as [Mark, Mark]
    this.#marks.splice(index, 2, { ...later, firstMs: earlier.firstMs })
  }
}

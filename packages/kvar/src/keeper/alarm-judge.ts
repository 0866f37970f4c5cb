import type { KeeperStatus } from './status.ts'

/** *Not safe* for less than this, or good for less than this, is not worth waking anybody. */
const SETTLE_MS = 30_000
/** Late by less than this, and without trouble, is how versions travel. */
const USUAL_MS = 10_000

/** What there is to tell now, and when to look again even if nothing changes (monotonic). */
export interface AlarmVerdict {
  tell: 'bad' | 'good' | undefined
  lookAgainMs: number | undefined
}

/**
 * Decides when a person is told: once when things have been bad for long enough, once when they have
 * been good for long enough, and nothing in between. `only-here` is a choice, not an alarm.
 */
export class AlarmJudge {
  readonly #afterMs: number
  readonly #settleMs: number
  #told: 'bad' | 'good'
  #notSafeSinceMs: number | undefined
  #troubleSinceMs: number | undefined
  #goodSinceMs: number | undefined

  /**
   * @param afterMs how long things may be late
   * @param told what was told last, perhaps by a keeper before us
   */
  constructor(afterMs: number, told: 'bad' | 'good') {
    this.#afterMs = afterMs
    this.#settleMs = Math.min(SETTLE_MS, afterMs)
    this.#told = told
  }

  judge(status: KeeperStatus, nowMs: number): AlarmVerdict {
    const badAtMs = this.#badAt(status, nowMs)
    if (badAtMs !== undefined) {
      this.#goodSinceMs = undefined
      return this.#turn('bad', badAtMs, nowMs)
    }
    this.#goodSinceMs ??= nowMs
    return this.#turn('good', this.#goodSinceMs + this.#settleMs, nowMs)
  }

  /** It was told at once, without waiting: the keeper is about to leave. */
  tellNow(what: 'bad'): boolean {
    const isNews = this.#told !== what
    this.#told = what
    return isNews
  }

  #turn(what: 'bad' | 'good', atMs: number, nowMs: number): AlarmVerdict {
    if (this.#told === what) return { tell: undefined, lookAgainMs: undefined }
    if (nowMs < atMs) return { tell: undefined, lookAgainMs: atMs }
    this.#told = what
    return { tell: what, lookAgainMs: undefined }
  }

  /** When the present state becomes worth telling; undefined while all is well. */
  #badAt(status: KeeperStatus, nowMs: number): number | undefined {
    if (status.safety === 'not-safe') {
      this.#notSafeSinceMs ??= nowMs
      return this.#notSafeSinceMs + this.#settleMs
    }
    this.#notSafeSinceMs = undefined
    if (status.safety !== 'late') {
      this.#troubleSinceMs = undefined
      return undefined
    }
    return this.#lateAt(status, nowMs)
  }

  /**
   * Counted by what waits, not by the word: under an app that writes without pause a follower is always
   * a moment behind, and that is no trouble for however long it lasts.
   */
  #lateAt(status: KeeperStatus, nowMs: number): number | undefined {
    const ageMs = Math.max(status.waitingMs, ...status.targets.map((target) => target.behindMs))
    const isTrouble =
      status.state === 'starting' ||
      status.problem !== null ||
      status.targets.some((target) => target.problem !== null)
    if (isTrouble) this.#troubleSinceMs ??= nowMs
    else this.#troubleSinceMs = undefined
    if (!isTrouble && ageMs < Math.min(USUAL_MS, this.#afterMs)) return undefined
    return Math.min(nowMs - ageMs, this.#troubleSinceMs ?? nowMs) + this.#afterMs
  }
}

import { createHash } from 'node:crypto'
import { sleep } from '../../platform/clock.ts'
import type { Platform } from '../../platform/platform.ts'
import { TargetError, throwIfCancelled } from '../target.ts'
import type { WebdavFolders } from './webdav-folders.ts'
import type { WebdavRequests } from './webdav-requests.ts'

/** How long a guard must have been seen, without its object appearing, before its maker counts as dead. */
const DEAD_AFTER_MS = 60_000
/** A holder that comes this late does not go on: others may soon take it for dead. */
const HOLD_LIMIT_MS = 20_000
/** How long one call waits for somebody else's guard before it says so. */
const WAIT_LIMIT_MS = 15_000
/** Refusals in a row, without a guard that explains them, until they are believed. */
const REFUSALS_LIMIT = 8
const FIRST_PAUSE_MS = 10
const LONGEST_PAUSE_MS = 500

export interface GuardedCall {
  signal: AbortSignal | undefined
  doing: string
}

/**
 * Lets one creator of a key at a time come to its MOVE. `Overwrite: F` alone does not decide a race:
 * Apache, nginx and sabre look first and rename then, and of 20 that came at once up to four were told
 * "created". MKCOL does decide it, because a folder is made in one step of the file system.
 *
 * A guard whose maker died is broken after a minute. If that maker only stood still and comes back, it
 * finds its time over, or its MOVE finds the object there; both would have to happen in the same
 * millisecond as another's MOVE to go wrong.
 */
export class WebdavGuards {
  readonly #requests: WebdavRequests
  readonly #folders: WebdavFolders
  readonly #platform: Pick<Platform, 'clock' | 'random'>
  /** When each foreign guard was first seen, by its path: no clock of another machine is asked. */
  readonly #seenAtMs = new Map<string, number>()

  constructor(
    requests: WebdavRequests,
    folders: WebdavFolders,
    platform: Pick<Platform, 'clock' | 'random'>,
  ) {
    this.#requests = requests
    this.#folders = folders
    this.#platform = platform
  }

  /** Does `work` as the only creator of `key`, or answers `exists` when another one has created it. */
  async hold(
    key: string,
    call: GuardedCall,
    work: () => Promise<'created' | 'exists'>,
  ): Promise<'created' | 'exists'> {
    const { clock, random } = this.#platform
    const path = guardPath(key)
    const begunAtMs = clock.monotonicMs()
    let refusals = 0
    for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(LONGEST_PAUSE_MS, pauseMs * 2)) {
      throwIfCancelled(call.signal)
      const outcome = await this.#take(path, call)
      if (outcome === 'made') return this.#workAlone(path, call, work)
      if (await this.#isThere(key, call)) return 'exists'
      // Refused, and no guard to be seen: its holder may just have gone, or we may never write here.
      if (outcome === 'there') await this.#breakIfDead(path, call)
      else if (++refusals === REFUSALS_LIMIT) throw outcome
      if (clock.monotonicMs() - begunAtMs > WAIT_LIMIT_MS) throw this.#taken(call)
      await sleep(clock, pauseMs * (0.5 + random.fraction()), call.signal)
    }
  }

  async #workAlone(
    path: string,
    call: GuardedCall,
    work: () => Promise<'created' | 'exists'>,
  ): Promise<'created' | 'exists'> {
    this.#seenAtMs.delete(path)
    try {
      return await work()
    } finally {
      await this.#release(path, call)
    }
  }

  /** `made`: the guard is ours now; a refusal that does not come from somebody else's guard is answered as it is. */
  async #take(path: string, { signal, doing }: GuardedCall): Promise<'made' | 'there' | TargetError> {
    const { clock } = this.#platform
    const askedAtMs = clock.monotonicMs()
    try {
      const outcome = await this.#folders.makeAnew(path, { signal, doing })
      // See `HOLD_LIMIT_MS`.
      const isLate = outcome === 'made' && clock.monotonicMs() - askedAtMs > HOLD_LIMIT_MS
      if (isLate) throw this.#taken({ signal, doing })
      return outcome
    } catch (thrown) {
      if (thrown instanceof TargetError && thrown.failure === 'denied') return thrown
      throw thrown
    }
  }

  async #isThere(key: string, { signal, doing }: GuardedCall): Promise<boolean> {
    const headers = { depth: '0' }
    const answer = await this.#requests.status({ method: 'PROPFIND', path: key, headers, signal, doing })
    if (answer.status === 207) return true
    if (answer.status === 404) return false
    throw this.#requests.failure(answer, doing)
  }

  async #breakIfDead(path: string, call: GuardedCall): Promise<void> {
    const nowMs = this.#platform.clock.monotonicMs()
    const seenAtMs = this.#seenAtMs.get(path) ?? nowMs
    this.#seenAtMs.set(path, seenAtMs)
    if (nowMs - seenAtMs < DEAD_AFTER_MS) return
    this.#seenAtMs.delete(path)
    await this.#release(path, call)
  }

  /** Not part of the outcome: a guard that stays is broken a minute later. */
  async #release(path: string, { doing }: GuardedCall): Promise<void> {
    await this.#requests.status({ method: 'DELETE', path, doing }).catch(() => undefined)
  }

  #taken({ doing }: GuardedCall): TargetError {
    const { url } = this.#requests.settings
    return new TargetError(
      'temporary',
      `Cannot ${doing} on ${url}: somebody else is storing the same object`,
      {
        hint: 'nothing is lost; it is tried again',
        data: { url },
      },
    )
  }
}

/** Among the unfinished uploads, which no listing shows. */
function guardPath(key: string): string {
  return `.kvar-tmp/guard-${createHash('sha256').update(key).digest('hex').slice(0, 32)}/`
}

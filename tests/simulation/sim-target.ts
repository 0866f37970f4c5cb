import { KvarError } from '../../packages/kvar/src/errors.ts'
import {
  assertKey,
  assertPrefix,
  type CreateOptions,
  type ListOptions,
  type ObjectBody,
  type ObjectEntry,
  openBody,
  type ReadOptions,
  type Target,
  type TargetCapabilities,
  TargetError,
  throwIfCancelled,
} from '../../packages/kvar/src/targets/target.ts'
import type { Dice } from './dice.ts'
import type { SimStore } from './sim-store.ts'
import type { Life, Timeline } from './timeline.ts'

/** How a network treats requests at the moment; all rates from 0 to 1. */
export interface NetworkWeather {
  /** The request never arrives and nobody says so. */
  lostRequests: number
  /** It is done, and the answer never comes. */
  lostAnswers: number
  /** An error, and nothing was done. */
  failBefore: number
  /** An error, and it was done. */
  failAfter: number
  /** Listings that name objects twice. */
  repeatedListings: number
  /** Reads that break off in the middle. */
  brokenReads: number
  usualMs: number
  longestMs: number
}

export const FAIR_WEATHER: NetworkWeather = {
  lostRequests: 0,
  lostAnswers: 0,
  failBefore: 0,
  failAfter: 0,
  repeatedListings: 0,
  brokenReads: 0,
  usualMs: 15,
  longestMs: 120,
}

/** The way between one machine and one provider. */
export interface Route {
  weather: NetworkWeather
  /** Cut: requests are refused at once, or vanish. */
  cut: 'no' | 'refused' | 'silent'
}

/**
 * A target as one life of a keeper sees it: each call is a request that travels, is carried out at the
 * provider whether or not its sender still lives, and an answer that travels back.
 */
export class SimTarget implements Target {
  readonly kind = 'sim'
  readonly #store: SimStore
  readonly #route: Route
  readonly #life: Life
  readonly #timeline: Timeline
  readonly #dice: Dice
  #isClosed = false

  constructor(options: { store: SimStore; route: Route; life: Life; timeline: Timeline; dice: Dice }) {
    this.#store = options.store
    this.#route = options.route
    this.#life = options.life
    this.#timeline = options.timeline
    this.#dice = options.dice
  }

  get url(): string {
    return this.#store.url
  }

  get capabilities(): TargetCapabilities {
    return this.#store.capabilities
  }

  levelFolder(level: number): string {
    return `ltx/${level}`
  }

  async create(key: string, body: ObjectBody, options: CreateOptions): Promise<'created' | 'exists'> {
    assertKey(key)
    const bytes = await gathered(body)
    const { modifiedAtMs, signal } = options
    return this.#request('create', key, signal, () =>
      this.#store.create(key, { bytes, modifiedAtMs, storedAtMs: this.#timeline.nowMs }),
    )
  }

  async replace(key: string, body: ObjectBody, options: { signal?: AbortSignal } = {}): Promise<void> {
    assertKey(key)
    const bytes = await gathered(body)
    const nowMs = this.#timeline.nowMs
    return this.#request('replace', key, options.signal, () =>
      this.#store.put(key, { bytes, modifiedAtMs: nowMs, storedAtMs: nowMs }),
    )
  }

  async read(key: string, options: ReadOptions = {}): Promise<AsyncIterable<Uint8Array> | undefined> {
    assertKey(key)
    const bytes = await this.#request('read', key, options.signal, () => {
      const stored = this.#store.objects.get(key)
      const { offset = 0, length = stored?.bytes.length ?? 0 } = options.range ?? {}
      return stored?.bytes.slice(offset, offset + length)
    })
    return bytes === undefined ? undefined : this.#stream(bytes)
  }

  async *list(prefix: string, options: ListOptions = {}): AsyncGenerator<ObjectEntry> {
    assertPrefix(prefix)
    const entries = await this.#request('list', prefix, options.signal, () => this.#entries(prefix, options))
    for (const entry of entries) {
      throwIfCancelled(options.signal)
      yield entry
    }
  }

  remove(keys: string[], options: { signal?: AbortSignal } = {}): Promise<void> {
    for (const key of keys) assertKey(key)
    return this.#request('remove', keys.join(' '), options.signal, () => {
      for (const key of keys) this.#store.remove(key)
    })
  }

  async close(): Promise<void> {
    this.#isClosed = true
  }

  #entries(prefix: string, options: ListOptions): ObjectEntry[] {
    const keys = this.#store
      .keys(prefix, this.#timeline.nowMs)
      .filter((key) => key > (options.startAfter ?? ''))
    const twice = this.#dice.chance(this.#route.weather.repeatedListings)
    return keys.flatMap((key) => {
      const { bytes, modifiedAtMs } = this.#store.objects.get(key) as {
        bytes: Uint8Array
        modifiedAtMs: number
      }
      const entry = { key, sizeBytes: bytes.length, modifiedAtMs }
      return twice ? [entry, entry] : [entry]
    })
  }

  async *#stream(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
    const half = Math.ceil(bytes.length / 2)
    yield bytes.slice(0, half)
    if (this.#dice.chance(this.#route.weather.brokenReads)) throw temporary(this.url, 'the connection broke')
    if (half < bytes.length) yield bytes.slice(half)
  }

  /** There, done, and back. `work` runs at the provider, in one moment. */
  #request<T>(verb: string, key: string, signal: AbortSignal | undefined, work: () => T): Promise<T> {
    if (this.#isClosed) return Promise.reject(new TargetError('permanent', `${this.url} is closed`))
    if (signal?.aborted) return Promise.reject(cancelled(signal))
    const { weather } = this.#route
    const what = `${this.#life.name} → ${this.#store.name} ${verb} ${key}`
    const dice = this.#dice
    this.#store.requests += 1
    this.#timeline.note(what)
    const { promise, resolve, reject } = Promise.withResolvers<T>()
    const abort = () => reject(cancelled(signal as AbortSignal))
    signal?.addEventListener('abort', abort, { once: true })
    const travelMs = () => dice.delayMs(weather.usualMs, weather.longestMs)
    const answer = (text: string, deliver: () => void) => {
      this.#timeline.at(travelMs(), this.#life, `${what} ${text}`, deliver)
    }
    const fail = (why: string) => answer(why, () => reject(temporary(this.url, why)))
    const arrive = () => {
      const { cut } = this.#route
      if (cut === 'silent') return
      if (cut === 'refused' || this.#store.isDown) return fail('cannot be reached')
      if (dice.chance(weather.failBefore)) return fail('fails before')
      const result = work()
      if (dice.chance(weather.lostAnswers)) return
      if (dice.chance(weather.failAfter)) return fail('fails after')
      answer(typeof result === 'string' ? result : 'done', () => resolve(result))
    }
    if (!dice.chance(weather.lostRequests))
      this.#timeline.at(travelMs(), undefined, `${what} arrives`, arrive)
    // Node keeps a combined signal alive, with all it can reach, as long as somebody listens to it.
    const unlisten = () => signal?.removeEventListener('abort', abort)
    this.#timeline.leftOvers.add(unlisten)
    return promise.finally(() => {
      unlisten()
      this.#timeline.leftOvers.delete(unlisten)
    })
  }
}

function temporary(url: string, why: string): TargetError {
  return new TargetError('temporary', `${url}: ${why}`)
}

function cancelled(signal: AbortSignal): KvarError {
  return new KvarError('CANCELLED', 'Stopped by the caller', { cause: signal.reason })
}

async function gathered(body: ObjectBody): Promise<Uint8Array> {
  const chunks: Uint8Array[] = []
  for await (const chunk of openBody(body)) chunks.push(chunk.slice())
  return new Uint8Array(Buffer.concat(chunks))
}

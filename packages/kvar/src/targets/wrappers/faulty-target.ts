import { type Clock, sleep } from '../../platform/clock.ts'
import {
  type CreateOptions,
  type ListOptions,
  type ObjectBody,
  type ObjectEntry,
  type ReadOptions,
  type Target,
  TargetError,
  type TargetFailure,
  throwIfCancelled,
} from '../target.ts'
import { type Fault, type FaultCall, type FaultPlan, NO_FAULTS } from './fault-plans.ts'
import type { TargetVerb } from './metering-target.ts'
import { WrappedTarget } from './wrapped-target.ts'

export interface FaultyOptions {
  clock: Clock
  /** Decides for each call; without one all goes well until `offline` is set. */
  plan?: FaultPlan
}

/**
 * A target that fails by plan: for tests, proofs and the simulator. It lies only as the real ones
 * were seen to lie, and the same plan over the same calls fails in the same way.
 *
 * @example
 * const faulty = withFaults(target, { clock, plan: faultOnce(2, { kind: 'fail-after' }) })
 * faulty.offline = true // from now on every call and every open stream fails
 */
export function withFaults(target: Target, options: FaultyOptions): FaultyTarget {
  return new FaultyTarget(target, options)
}

export class FaultyTarget extends WrappedTarget {
  /** Cuts the target off: calls fail, and streams break off at their next step. */
  offline = false
  /** Decides about the calls from now on. */
  plan: FaultPlan
  readonly calls: FaultCall[] = []
  readonly #clock: Clock
  #released = Promise.withResolvers<void>()
  #hanging = 0

  constructor(inner: Target, { clock, plan }: FaultyOptions) {
    super(inner)
    this.#clock = clock
    this.plan = plan ?? NO_FAULTS
  }

  /** How many calls hang at this moment. */
  get hanging(): number {
    return this.#hanging
  }

  /** Lets all hanging calls go on. */
  release(): void {
    this.#released.resolve()
    this.#released = Promise.withResolvers<void>()
  }

  override create(key: string, body: ObjectBody, options: CreateOptions): Promise<'created' | 'exists'> {
    return this.#call('create', key, options.signal, () => this.inner.create(key, body, options))
  }

  override replace(key: string, body: ObjectBody, options: { signal?: AbortSignal } = {}): Promise<void> {
    return this.#call('replace', key, options.signal, () => this.inner.replace(key, body, options))
  }

  override remove(keys: string[], options: { signal?: AbortSignal } = {}): Promise<void> {
    return this.#call('remove', keys[0] ?? '', options.signal, () => this.inner.remove(keys, options))
  }

  override async read(
    key: string,
    options: ReadOptions = {},
  ): Promise<AsyncIterable<Uint8Array> | undefined> {
    const fault = await this.#begin('read', key, options.signal)
    const stream = await this.inner.read(key, options)
    if (fault?.kind === 'fail-after') {
      await stream?.[Symbol.asyncIterator]().return?.()
      throw failureOf(fault, this.url)
    }
    return stream === undefined ? undefined : this.#damaged(stream, fault)
  }

  override async *list(prefix: string, options: ListOptions = {}): AsyncIterable<ObjectEntry> {
    const fault = await this.#begin('list', prefix, options.signal)
    const hidden: ObjectEntry[] = []
    const missing = fault?.kind === 'late-listing' ? fault.missing : 0
    for await (const entry of this.inner.list(prefix, options)) {
      if (this.offline) throw unreachableNow(this.url)
      hidden.push(entry)
      const shown = hidden.length > missing ? hidden.shift() : undefined
      if (shown !== undefined) yield shown
      if (shown !== undefined && fault?.kind === 'repeated-listing') yield shown
    }
    if (fault?.kind === 'fail-after') throw failureOf(fault, this.url)
  }

  async #call<T>(
    verb: TargetVerb,
    key: string,
    signal: AbortSignal | undefined,
    work: () => Promise<T>,
  ): Promise<T> {
    const fault = await this.#begin(verb, key, signal)
    const answer = await work()
    if (fault?.kind === 'fail-after') throw failureOf(fault, this.url)
    return answer
  }

  /** Notes the call, does what its fault does before the work, and answers the fault. */
  async #begin(verb: TargetVerb, key: string, signal: AbortSignal | undefined): Promise<Fault | undefined> {
    const call = { number: this.calls.length + 1, verb, key }
    this.calls.push(call)
    if (this.offline) throw unreachableNow(this.url)
    const fault = this.plan(call)
    if (fault?.kind === 'fail-before') throw failureOf(fault, this.url)
    if (fault?.kind === 'delay') await sleep(this.#clock, fault.delayMs, signal)
    if (fault?.kind === 'hang') await this.#hang(signal)
    throwIfCancelled(signal)
    if (this.offline) throw unreachableNow(this.url)
    return fault
  }

  async #hang(signal: AbortSignal | undefined): Promise<void> {
    if (signal?.aborted) return
    const aborted = Promise.withResolvers<void>()
    const abort = () => aborted.resolve()
    signal?.addEventListener('abort', abort, { once: true })
    this.#hanging += 1
    await Promise.race([this.#released.promise, aborted.promise])
    this.#hanging -= 1
    signal?.removeEventListener('abort', abort)
  }

  async *#damaged(stream: AsyncIterable<Uint8Array>, fault: Fault | undefined): AsyncIterable<Uint8Array> {
    const cut = fault?.kind === 'truncate' || fault?.kind === 'break-off' ? fault.keepBytes : undefined
    let doneBytes = 0
    for await (const chunk of stream) {
      if (this.offline) throw unreachableNow(this.url)
      const kept = cut === undefined ? chunk : chunk.subarray(0, Math.max(0, cut - doneBytes))
      if (kept.length > 0)
        yield fault?.kind === 'flip-bit' && doneBytes === 0 ? flipped(kept, fault.bit) : kept
      doneBytes += kept.length
      if (kept.length < chunk.length && fault?.kind === 'break-off') throw unreachableNow(this.url)
      if (kept.length < chunk.length) return
    }
  }
}

function flipped(chunk: Uint8Array, bit: number): Uint8Array {
  const wrong = chunk.slice()
  const index = Math.floor(bit / 8) % wrong.length
  wrong[index] = (wrong[index] as number) ^ (1 << (bit % 8))
  return wrong
}

function unreachableNow(url: string): TargetError {
  return new TargetError('temporary', `Cannot reach ${url}`, { data: { url } })
}

function failureOf(fault: { failure?: TargetFailure; retryAfterMs?: number }, url: string): TargetError {
  const options = fault.retryAfterMs === undefined ? {} : { retryAfterMs: fault.retryAfterMs }
  return new TargetError(fault.failure ?? 'temporary', `A planned failure of ${url}`, {
    ...options,
    data: { url },
  })
}

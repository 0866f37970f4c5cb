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

/** One call of a target's verb, as the hooks of a `MemoryTarget` see it. */
export interface TargetCall {
  verb: 'create' | 'replace' | 'read' | 'list' | 'remove'
  key: string
  /** Counts all calls of this target, from 1. */
  number: number
}

/** What a hook may do: nothing, wait, or throw. Before the call nothing happened yet; after it, it did. */
export type TargetHook = (call: TargetCall) => Promise<void> | void

interface StoredObject {
  bytes: Uint8Array
  modifiedAtMs: number
}

/**
 * A target in memory, strict to the contract: atomic creates, byte order of keys, ranges, refused
 * keys, aborts. Tests of the log run on it because each call can be delayed, failed before it was
 * done, or failed after it was done.
 *
 * @example
 * const target = new MemoryTarget('ledger')
 * target.before = (call) => { if (call.number === 7) throw cut() }
 */
export class MemoryTarget implements Target {
  readonly kind = 'memory'
  readonly url: string
  readonly capabilities: TargetCapabilities
  readonly objects = new Map<string, StoredObject>()
  readonly calls: TargetCall[] = []
  before: TargetHook | undefined
  after: TargetHook | undefined
  #isClosed = false

  constructor(name = 'memory', capabilities: Partial<TargetCapabilities> = {}) {
    this.url = `memory:/${name}`
    this.capabilities = {
      createIfAbsent: 'atomic',
      rangeRead: true,
      keepsModifiedAt: true,
      maxObjectBytes: Number.MAX_SAFE_INTEGER,
      listConsistency: 'strong',
      requestsPerSecond: Number.POSITIVE_INFINITY,
      ...capabilities,
    }
  }

  levelFolder(level: number): string {
    return `ltx/${level}`
  }

  async create(key: string, body: ObjectBody, options: CreateOptions): Promise<'created' | 'exists'> {
    assertKey(key)
    return this.#call('create', key, options.signal, async () => {
      if (this.objects.has(key)) return 'exists'
      const bytes = await gathered(body)
      throwIfCancelled(options.signal)
      if (this.objects.has(key)) return 'exists'
      this.objects.set(key, { bytes, modifiedAtMs: options.modifiedAtMs })
      return 'created'
    })
  }

  async replace(key: string, body: ObjectBody, options: { signal?: AbortSignal } = {}): Promise<void> {
    assertKey(key)
    await this.#call('replace', key, options.signal, async () => {
      this.objects.set(key, { bytes: await gathered(body), modifiedAtMs: 0 })
    })
  }

  async read(key: string, options: ReadOptions = {}): Promise<AsyncIterable<Uint8Array> | undefined> {
    assertKey(key)
    return this.#call('read', key, options.signal, async () => {
      const stored = this.objects.get(key)
      if (stored === undefined) return undefined
      const { offset = 0, length = stored.bytes.length } = options.range ?? {}
      return chunked(stored.bytes.slice(offset, offset + length), options.signal)
    })
  }

  async *list(prefix: string, options: ListOptions = {}): AsyncGenerator<ObjectEntry> {
    assertPrefix(prefix)
    const keys = await this.#call('list', prefix, options.signal, async () => [...this.objects.keys()].sort())
    for (const key of keys) {
      throwIfCancelled(options.signal)
      if (!key.startsWith(prefix) || key <= (options.startAfter ?? '')) continue
      const stored = this.objects.get(key)
      if (stored === undefined) continue
      yield { key, sizeBytes: stored.bytes.length, modifiedAtMs: this.#keptTime(stored) }
    }
  }

  async remove(keys: string[], options: { signal?: AbortSignal } = {}): Promise<void> {
    for (const key of keys) assertKey(key)
    await this.#call('remove', keys.join(' '), options.signal, async () => {
      for (const key of keys) this.objects.delete(key)
    })
  }

  async close(): Promise<void> {
    this.#isClosed = true
  }

  /** All keys in order, for assertions. */
  keys(prefix = ''): string[] {
    return [...this.objects.keys()].filter((key) => key.startsWith(prefix)).sort()
  }

  bytesOf(key: string): Uint8Array {
    const stored = this.objects.get(key)
    if (stored === undefined) throw new Error(`no object "${key}"`)
    return stored.bytes
  }

  /** The same objects in a target of their own, without the hooks. */
  clone(name: string): MemoryTarget {
    const copy = new MemoryTarget(name, this.capabilities)
    for (const [key, stored] of this.objects)
      copy.objects.set(key, { ...stored, bytes: stored.bytes.slice() })
    return copy
  }

  #keptTime(stored: StoredObject): number {
    return this.capabilities.keepsModifiedAt ? stored.modifiedAtMs : 0
  }

  async #call<T>(
    verb: TargetCall['verb'],
    key: string,
    signal: AbortSignal | undefined,
    work: () => Promise<T>,
  ): Promise<T> {
    if (this.#isClosed) throw new TargetError('permanent', `${this.url} is closed`)
    const call = { verb, key, number: this.calls.length + 1 }
    this.calls.push(call)
    throwIfCancelled(signal)
    await this.before?.(call)
    throwIfCancelled(signal)
    const result = await work()
    await this.after?.(call)
    return result
  }
}

/** Fails every call from number `first` on, as if the process or the connection had died there. */
export function dieAt(first: number, when: 'before' | 'after', target: MemoryTarget): void {
  const die: TargetHook = (call) => {
    if (call.number >= first)
      throw new TargetError('temporary', `${target.url} does not answer (call ${call.number})`)
  }
  // After the first failed call nothing else may happen: later calls fail before they do anything.
  target.before = when === 'before' ? die : (call) => (call.number > first ? die(call) : undefined)
  target.after = when === 'before' ? undefined : die
}

export function revive(target: MemoryTarget): void {
  target.before = undefined
  target.after = undefined
}

async function gathered(body: ObjectBody): Promise<Uint8Array> {
  const chunks: Uint8Array[] = []
  for await (const chunk of openBody(body)) chunks.push(chunk.slice())
  const bytes = new Uint8Array(Buffer.concat(chunks))
  if (!(body instanceof Uint8Array) && body.sizeBytes !== bytes.length) {
    throw new TargetError('permanent', `a source of ${body.sizeBytes} bytes yielded ${bytes.length}`)
  }
  return bytes
}

/** In pieces, so that readers cannot rely on whole objects. */
async function* chunked(bytes: Uint8Array, signal: AbortSignal | undefined): AsyncGenerator<Uint8Array> {
  const step = 1000
  for (let offset = 0; offset < bytes.length; offset += step) {
    throwIfCancelled(signal)
    yield bytes.slice(offset, offset + step)
  }
}

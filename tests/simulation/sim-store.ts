import type { TargetCapabilities } from '../../packages/kvar/src/targets/target.ts'

export interface StoredObject {
  bytes: Uint8Array
  modifiedAtMs: number
  /** When it came, in the world's time: a listing that lags does not know the newest. */
  storedAtMs: number
}

/** Whoever wants to know what a provider does, in the moment it does it. */
export interface StoreWitness {
  created(store: SimStore, key: string, bytes: Uint8Array): void
  removed(store: SimStore, key: string): void
}

/** A provider's side of a target: objects that are there or not, one operation after the other. */
export class SimStore {
  readonly name: string
  readonly capabilities: TargetCapabilities
  readonly objects = new Map<string, StoredObject>()
  readonly #witness: StoreWitness
  /** Nobody reaches it. */
  isDown = false
  /** How far behind listings are, where consistency is eventual. */
  listLagMs = 0
  requests = 0

  constructor(name: string, witness: StoreWitness, capabilities: Partial<TargetCapabilities>) {
    this.name = name
    this.#witness = witness
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

  get url(): string {
    return `sim:/${this.name}`
  }

  create(key: string, object: StoredObject): 'created' | 'exists' {
    if (this.objects.has(key)) return 'exists'
    this.put(key, object)
    return 'created'
  }

  put(key: string, object: StoredObject): void {
    this.objects.set(key, object)
    this.#witness.created(this, key, object.bytes)
  }

  remove(key: string): void {
    if (this.objects.delete(key)) this.#witness.removed(this, key)
  }

  /** The keys that a listing shows now. */
  keys(prefix: string, nowMs: number): string[] {
    const known = [...this.objects].filter(([, { storedAtMs }]) => storedAtMs <= nowMs - this.listLagMs)
    return known
      .map(([key]) => key)
      .filter((key) => key.startsWith(prefix))
      .sort()
  }
}

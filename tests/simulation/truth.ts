import { parseLtxHeader, parseLtxName } from '../../packages/kvar/src/formats/ltx.ts'
import type { LogFile } from '../../packages/kvar/src/log/log-layout.ts'
import { type Content, databaseChecksum, encode } from './model-database.ts'
import type { SimStore, StoreWitness } from './sim-store.ts'

/** A rule that was broken: what must never happen, happened. */
export class Violation extends Error {}

interface KnownVersion {
  rows: ReadonlySet<number>
  checksum: bigint
  nodeId: bigint
  bytes: Uint8Array
}

/**
 * What an all-knowing observer sees: every committed state, everything that was acknowledged, every
 * version in the moment it comes to exist. It breaks off the world when a safety rule is broken.
 */
export class Truth implements StoreWitness {
  ledger: SimStore | undefined
  readonly versions = new Map<number, KnownVersion>()
  /** Rows of every state that some app ever committed, by Kvar's own database checksum. */
  readonly #states = new Map<bigint, ReadonlySet<number>>()
  readonly acknowledged = new Set<number>()
  readonly committed = new Set<number>()
  /** Rows that nobody promised and whose only place was destroyed. */
  readonly forgiven = new Set<number>()
  head = 0
  acknowledgements = 0
  /** How often a former owner wrote again after another one. */
  takeBacks = 0
  #nextRow = 1

  /** The ledger is gone with all it held; what its followers hold is the log from now on. */
  ledgerLost(followers: SimStore[]): void {
    this.ledger?.objects.clear()
    // Branches lie on the ledger alone, and what was not promised may have been nowhere else.
    for (const row of this.committed) if (!this.acknowledged.has(row)) this.forgiven.add(row)
    this.head = Math.max(0, ...followers.map(headOf))
    for (const version of this.versions.keys()) if (version > this.head) this.versions.delete(version)
  }

  newRow(): number {
    return this.#nextRow++
  }

  /** An app committed: its content is a state that may be seen from now on. */
  commit(content: Content): void {
    const rows = new Set(content.rows)
    this.#states.set(databaseChecksum(encode(content)), rows)
    for (const row of rows) this.committed.add(row)
  }

  /** A flush answered: from now on these rows may never be missing again (R1). */
  acknowledge(rows: readonly number[], version: number, followers: SimStore[]): void {
    const known = this.versions.get(version)
    if (version > 0 && known === undefined)
      throw new Violation(`version ${version} was acknowledged and does not exist`)
    if (rows.length > 0 && known === undefined)
      throw new Violation('rows were acknowledged without a version')
    if (known !== undefined) assertHolds(known.rows, rows, `acknowledged version ${version}`)
    const newest = this.versions.get(this.head)
    if (newest !== undefined) assertHolds(newest.rows, rows, `the newest version ${this.head}`)
    for (const store of followers) {
      if (version > 0 && headOf(store) < version)
        throw new Violation(`version ${version} was acknowledged for all targets, but ${store.name} lacks it`)
    }
    this.acknowledgements += 1
    for (const row of rows) this.acknowledged.add(row)
  }

  /** The rows of a state; a violation when no app ever committed it. */
  rowsOf(checksum: bigint | undefined, where: string): ReadonlySet<number> {
    const rows = checksum === undefined ? undefined : this.#states.get(checksum)
    if (rows === undefined) throw new Violation(`${where} shows a state that no app ever committed`)
    return rows
  }

  created(store: SimStore, key: string, bytes: Uint8Array): void {
    const file = logFile(key)
    if (file === undefined) return
    if (file.level === 0 && store === this.ledger) this.#versionCreated(file.maxVersion, key, bytes)
    else if (file.level === 0) this.#versionCopied(store, file.maxVersion, bytes)
    else if (file.maxVersion > headOf(store))
      throw new Violation(`${key} on ${store.name} reaches beyond its newest version ${headOf(store)}`)
  }

  removed(store: SimStore, key: string): void {
    const file = logFile(key)
    if (file?.level === 0 && file.maxVersion > headOf(store))
      throw new Violation(`the newest version ${file.maxVersion} was removed from ${store.name}`)
  }

  #versionCreated(version: number, key: string, bytes: Uint8Array): void {
    const former = this.versions.get(version)
    // A lost ledger is filled again, in any order.
    if (former !== undefined && Buffer.compare(former.bytes, bytes) === 0) return
    if (version !== this.head + 1) throw new Violation(`version ${version} was created after ${this.head}`)
    const { databaseChecksum: checksum, nodeId } = parseLtxHeader(bytes, key)
    const rows = this.rowsOf(checksum, `version ${version}`)
    assertHolds(rows, this.acknowledged, `new version ${version}`)
    assertHolds(rows, this.versions.get(this.head)?.rows ?? [], `version ${version} after ${this.head}`)
    const writers = [...this.versions.values()].map((known) => known.nodeId)
    if (writers.at(-1) !== nodeId && writers.includes(nodeId)) this.takeBacks += 1
    this.versions.set(version, { rows, checksum: checksum as bigint, nodeId, bytes })
    this.head = version
  }

  #versionCopied(store: SimStore, version: number, bytes: Uint8Array): void {
    const known = this.versions.get(version)
    if (known === undefined)
      throw new Violation(`${store.name} received version ${version} before the ledger`)
    if (Buffer.compare(known.bytes, bytes) !== 0)
      throw new Violation(`version ${version} on ${store.name} is not the ledger’s`)
  }
}

/** Nothing of what has to be there is missing. */
export function assertHolds(held: ReadonlySet<number>, wanted: Iterable<number>, where: string): void {
  const missing = [...wanted].filter((row) => !held.has(row))
  if (missing.length > 0)
    throw new Violation(`${where} lacks rows ${missing.slice(0, 5).join(', ')} (${missing.length} in all)`)
}

/** The newest level-0 version that a store holds; 0 for none. */
export function headOf(store: SimStore): number {
  let newest = 0
  for (const key of store.objects.keys()) {
    const file = logFile(key)
    if (file?.level === 0) newest = Math.max(newest, file.maxVersion)
  }
  return newest
}

/** A key as the product's planner of restores knows its files; sizes and times do not matter here. */
export function logFile(key: string): LogFile | undefined {
  const match = /^ltx\/(\d)\/(.+)$/.exec(key)
  const range = match === null ? undefined : parseLtxName(match[2] as string)
  if (range === undefined) return undefined
  return { key, level: Number(match?.[1]), ...range, sizeBytes: 0, modifiedAtMs: 0 }
}

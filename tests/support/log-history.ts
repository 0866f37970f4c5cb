import { encodeLtx } from '../../packages/kvar/src/formats/ltx-encoder.ts'
import { addChecksum, pageChecksum } from '../../packages/kvar/src/formats/page-checksum.ts'
import type { CutVersion } from '../../packages/kvar/src/log/ledger.ts'
import type { PageSource } from '../../packages/kvar/src/log/page-source.ts'

/** A small generator of numbers with a seed: mulberry32, by Tommy Ettinger (public domain algorithm). */
export function seeded(seed: number): () => number {
  let state = seed | 0
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let t = Math.imul(state ^ (state >>> 15), 1 | state)
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296
  }
}

export const LINEAGE = 0xfee1600dn
export const START_MS = Date.UTC(2026, 10, 23, 10, 15, 30, 123)

export interface HistoryOptions {
  seed: number
  nodeId?: bigint
  pageSize?: number
  /** Continues a history that another writer began. */
  from?: History
}

/**
 * A database that changes at random, with every version's pages remembered: what any restore has to
 * give back, byte for byte.
 */
export class History {
  readonly pageSize: number
  readonly nodeId: bigint
  readonly cuts: CutVersion[] = []
  /** The whole database of each version; index: version - 1. */
  readonly images: Uint8Array[] = []
  readonly #random: () => number
  #pages: Uint8Array[] = []

  constructor(options: HistoryOptions) {
    this.#random = seeded(options.seed)
    this.pageSize = options.from?.pageSize ?? options.pageSize ?? 512
    this.nodeId = options.nodeId ?? BigInt(options.seed) + 1n
    if (options.from === undefined) return
    this.cuts = [...options.from.cuts]
    this.images = [...options.from.images]
    this.#pages = options.from.#pages.map((page) => page.slice())
  }

  get version(): number {
    return this.cuts.length
  }

  /** Cuts `count` more versions: pages change, the database grows and shrinks. */
  grow(count: number): this {
    for (let i = 0; i < count; i++) this.#cut(this.#change())
    return this
  }

  cut(version: number): CutVersion {
    return this.cuts[version - 1] as CutVersion
  }

  bytes(version: number): Uint8Array {
    return this.cut(version).bytes as Uint8Array
  }

  image(version: number): Uint8Array {
    return this.images[version - 1] as Uint8Array
  }

  /** All pages of a version, as snapshots and branches take them. */
  pages(version: number): PageSource {
    const { pageSize } = this
    const image = this.image(version)
    const pageCount = image.length / pageSize
    return {
      ...{ pageSize, pageCount, databaseChecksum: this.cut(version).databaseChecksum },
      async *open() {
        for (let n = 1; n <= pageCount; n++) yield [n, image.slice((n - 1) * pageSize, n * pageSize)] as const
      },
    }
  }

  #change(): Set<number> {
    const before = this.#pages.length
    const wanted = before === 0 ? 3 + this.#below(4) : Math.max(1, before - 2 + this.#below(5))
    const changed = new Set<number>()
    this.#pages.length = Math.min(before, wanted)
    for (let n = before + 1; n <= wanted; n++) changed.add(n)
    for (let i = 0; i <= this.#below(3); i++) changed.add(1 + this.#below(wanted))
    for (const n of changed) this.#pages[n - 1] = this.#randomPage()
    return changed
  }

  #cut(changed: Set<number>): void {
    const version = this.version + 1
    const databaseChecksum = this.#pages.reduce(
      (sum, page, i) => addChecksum(sum, pageChecksum(i + 1, page)),
      0n,
    )
    const timestampMs = START_MS + version * 1000
    const { pageSize, nodeId } = this
    const bytes = encodeLtx(
      {
        ...{ pageSize, nodeId, databaseChecksum, timestampMs, lineage: LINEAGE },
        ...{ pageCount: this.#pages.length, minVersion: version, maxVersion: version },
      },
      [...changed].sort((a, b) => a - b).map((n) => [n, this.#pages[n - 1] as Uint8Array] as const),
    )
    const sizeBytes = bytes.length
    this.cuts.push({ version, bytes, timestampMs, nodeId, databaseChecksum, claim: false, sizeBytes })
    this.images.push(new Uint8Array(Buffer.concat(this.#pages)))
  }

  #below(limit: number): number {
    return Math.floor(this.#random() * limit)
  }

  /** Half text-like, half noise, so that both ways of compression are met. */
  #randomPage(): Uint8Array {
    const page = new Uint8Array(this.pageSize)
    const step = this.#random() < 0.5 ? 1 : 16
    for (let i = 0; i < page.length; i += step) page[i] = this.#below(256)
    return page
  }
}

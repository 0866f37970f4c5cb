import { encodeLtx } from '../../packages/kvar/src/formats/ltx-encoder.ts'
import { addChecksum, pageChecksum } from '../../packages/kvar/src/formats/page-checksum.ts'
import { nextTimestampMs } from '../../packages/kvar/src/log/claim.ts'
import { createLineage, lineageText } from '../../packages/kvar/src/log/lineage.ts'
import { VersionLog } from '../../packages/kvar/src/log/version-log.ts'
import type { Target } from '../../packages/kvar/src/targets/target.ts'
import { LINEAGE, seeded } from './log-history.ts'

/**
 * A small database that changes at the moments it is told, with every version's pages remembered, and
 * appended to a target as a keeper would: times strictly increase, whatever the clock says.
 */
export class TimedHistory {
  readonly target: Target
  readonly log: VersionLog
  /** The whole database of each version, and when it was really made; index: version - 1. */
  readonly images: Uint8Array[] = []
  readonly madeAtMs: number[] = []
  readonly recordedMs: number[] = []
  readonly #random: () => number
  #pages: Uint8Array[] = []
  #pageSize = 512

  constructor(target: Target, seed: number) {
    this.target = target
    this.log = new VersionLog(target)
    this.#random = seeded(seed)
  }

  get head(): number {
    return this.images.length
  }

  /**
   * @param atMs the true time
   * @param clockMs what the machine's clock says
   */
  async append(atMs: number, clockMs = atMs): Promise<void> {
    if (this.head === 0)
      await createLineage(this.target, { lineage: lineageText(LINEAGE), createdAtMs: clockMs })
    const changed = this.#change()
    const version = this.head + 1
    const timestampMs = nextTimestampMs(this.recordedMs.at(-1) ?? 0, clockMs)
    const databaseChecksum = this.#pages.reduce(
      (sum, page, i) => addChecksum(sum, pageChecksum(i + 1, page)),
      0n,
    )
    const versions = { minVersion: version, maxVersion: version, pageCount: this.#pages.length }
    const bytes = encodeLtx(
      { ...versions, pageSize: this.#pageSize, nodeId: 5n, databaseChecksum, timestampMs, lineage: LINEAGE },
      [...changed].sort((a, b) => a - b).map((n) => [n, this.#pages[n - 1] as Uint8Array] as const),
    )
    await this.log.append(version, bytes, timestampMs)
    this.images.push(new Uint8Array(Buffer.concat(this.#pages)))
    this.madeAtMs.push(atMs)
    this.recordedMs.push(timestampMs)
  }

  /** As VACUUM does in rollback mode: the next version holds all pages, in another size. */
  changePageSize(pageSize: number): void {
    this.#pageSize = pageSize
    this.#pages = []
  }

  #change(): Set<number> {
    const before = this.#pages.length
    const wanted = before === 0 ? 3 : Math.max(1, Math.min(9, before - 1 + this.#below(3)))
    const changed = new Set<number>([1 + this.#below(wanted)])
    this.#pages.length = Math.min(before, wanted)
    for (let n = before + 1; n <= wanted; n++) changed.add(n)
    for (const n of changed) this.#pages[n - 1] = this.#randomPage()
    return changed
  }

  #below(limit: number): number {
    return Math.floor(this.#random() * limit)
  }

  #randomPage(): Uint8Array {
    const page = new Uint8Array(this.#pageSize)
    for (let i = 0; i < page.length; i += 16) page[i] = this.#below(256)
    return page
  }
}

import { assert } from '../errors.ts'
import { LTX_HEADER_BYTES, parseLtxHeader } from '../formats/ltx.ts'
import type { ObjectSource } from '../targets/target.ts'
import { versionKey } from './log-layout.ts'
import { passing } from './passing.ts'
import { holdsBytes } from './same-bytes.ts'
import type { VersionInfo, VersionLog } from './version-log.ts'

/** A version that was cut and is to be appended: its number, its file, and what the file's header says. */
export interface CutVersion {
  version: number
  bytes: Uint8Array | ObjectSource
  timestampMs: number
  nodeId: bigint
  databaseChecksum: bigint
  /** Changes nothing: see `buildClaim`. */
  claim: boolean
  sizeBytes: number
}

/** `fenced`: the number is taken by a version that is not this one; `by` says whose. */
export type AppendOutcome = { kind: 'stored' } | { kind: 'fenced'; by: VersionInfo }

/** Up to this size a version that seems to be our own retry is also compared byte by byte. */
const COMPARE_BYTES = 1024 * 1024

/**
 * The one target that decides which version is next (R3). Version N exists when the ledger has
 * created its file; a number that is taken is either our own earlier try, or we are fenced.
 *
 * One append at a time, each one above the confirmed head. After an error the outcome of an append is
 * open: it is settled by appending the same version again. If other bytes are appended instead, and
 * the earlier try did arrive, the answer is `fenced` by our own node id: that version is ours and has
 * to be taken over with `accept` first.
 *
 * @example
 * const ledger = new Ledger(log, await log.findHead())
 * const outcome = await ledger.append(cut, signal)
 */
export class Ledger {
  readonly log: VersionLog
  #confirmed: { version: number; timestampMs: number }
  #fenced = false
  #appending = false

  /** @param head the newest version of the log, read and applied; undefined for an empty log */
  constructor(log: VersionLog, head: VersionInfo | undefined) {
    this.log = log
    this.#confirmed = head ?? { version: 0, timestampMs: 0 }
  }

  /** The newest version that the ledger is known to hold and that we know the content of; 0 for none. */
  get confirmed(): number {
    return this.#confirmed.version
  }

  /** The time of the newest confirmed version: later ones must be later. */
  get confirmedTimestampMs(): number {
    return this.#confirmed.timestampMs
  }

  get fenced(): boolean {
    return this.#fenced
  }

  /**
   * Appends the version after the confirmed one. Once `stored` is answered it survives the loss of
   * this machine. Failures of the target are thrown; retrying belongs to the target's wrapper.
   */
  async append(cut: CutVersion, signal?: AbortSignal): Promise<AppendOutcome> {
    assert(!this.#appending, 'two appends at the same time')
    assert(!this.#fenced, 'an append although another keeper owns the log')
    assert(cut.version === this.confirmed + 1, `version ${cut.version} after ${this.confirmed}`)
    assert(cut.timestampMs > this.#confirmed.timestampMs, 'a version that is not later than the one before')
    assertHeader(cut)
    this.#appending = true
    try {
      return await this.#create(cut, signal)
    } finally {
      this.#appending = false
    }
  }

  /** What others wrote above our head, oldest first. */
  async readTail(after: number = this.confirmed, signal?: AbortSignal): Promise<VersionInfo[]> {
    const tail: VersionInfo[] = []
    const head = await this.log.findHead({ after, ...passing(signal) })
    for (let n = after + 1; n < (head?.version ?? 0); n++) {
      const info = await this.log.readVersionInfo(n, passing(signal))
      // Retention may have emptied the lower end; what is above it is still worth knowing.
      if (info === undefined) tail.length = 0
      else tail.push(info)
    }
    return head === undefined ? tail : [...tail, head]
  }

  /** Goes on above versions of others, after their content was applied here. Ends being fenced. */
  accept(head: VersionInfo): void {
    assert(!this.#appending, 'a head is accepted during an append')
    assert(head.version >= this.confirmed, 'the ledger goes backwards')
    this.#confirmed = { version: head.version, timestampMs: head.timestampMs }
    this.#fenced = false
  }

  async #create(cut: CutVersion, signal: AbortSignal | undefined): Promise<AppendOutcome> {
    const answer = await this.log.append(cut.version, cut.bytes, cut.timestampMs, signal)
    if (answer === 'created') return this.#stored(cut)
    const there = await this.log.readVersionInfo(cut.version, passing(signal))
    assert(there !== undefined, `version ${cut.version} exists and does not exist on ${this.log.name}`)
    if (await this.#isOurs(cut, there, signal)) return this.#stored(cut)
    this.#fenced = true
    return { kind: 'fenced', by: there }
  }

  #stored(cut: CutVersion): AppendOutcome {
    this.#confirmed = { version: cut.version, timestampMs: cut.timestampMs }
    return { kind: 'stored' }
  }

  async #isOurs(cut: CutVersion, there: VersionInfo, signal: AbortSignal | undefined): Promise<boolean> {
    if (there.nodeId !== cut.nodeId || there.databaseChecksum !== cut.databaseChecksum) return false
    if (there.timestampMs !== cut.timestampMs) return false
    if (cut.sizeBytes > COMPARE_BYTES) return true
    const key = versionKey(this.log.target, cut.version, this.log.prefix)
    return holdsBytes(this.log.target, key, cut.bytes, signal)
  }
}

/** Both sides of a pair: what the caller says of the version, and what its file will say for ever. */
function assertHeader(cut: CutVersion): void {
  if (!(cut.bytes instanceof Uint8Array)) return
  assert(
    cut.bytes.length === cut.sizeBytes && cut.sizeBytes >= LTX_HEADER_BYTES,
    'a version with the wrong size',
  )
  const header = parseLtxHeader(cut.bytes, `version ${cut.version}`)
  const agrees =
    header.minVersion === cut.version &&
    header.maxVersion === cut.version &&
    header.timestampMs === cut.timestampMs &&
    header.nodeId === cut.nodeId &&
    header.databaseChecksum === cut.databaseChecksum
  assert(agrees, `the file of version ${cut.version} says something else`)
}

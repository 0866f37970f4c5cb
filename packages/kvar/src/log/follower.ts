import { KvarError } from '../errors.ts'
import type { Platform } from '../platform/platform.ts'
import { throwIfCancelled } from '../targets/target.ts'
import type { BranchInfo } from './branches.ts'
import { completeLog, FOLLOWER_LIMITS, shareLineage } from './complete-log.ts'
import { copyVersion, differentVersion, isSameVersion, type VersionSource } from './copy-version.ts'
import { setTailAside, TAIL_REASON } from './follower-tail.ts'
import { lineageNumber, otherDatabase, readLineage } from './lineage.ts'
import { type LogFile, VERSION_LEVEL } from './log-layout.ts'
import { passing } from './passing.ts'
import { newestReachable, newestVersion } from './restore-plan.ts'
import type { VersionInfo, VersionLog } from './version-log.ts'

export interface FollowerOptions {
  log: VersionLog
  ledgerLog: VersionLog
  platform: Platform
  /** A path that is free for a database image, needed when the follower is far behind. */
  scratchPath: string
  /** Our own node id and machine, noted in a branch. */
  nodeId: bigint
  host?: string
  limits?: { catchUpVersions: number }
}

export interface FollowerProgress {
  /** The newest version that the follower holds, with everything before it that the ledger holds. */
  confirmed: number
  copiedVersions: number
  copiedBytes: number
  /** The follower was far behind and got all pages once. */
  snapshot: boolean
  /** What the follower held against the ledger, now kept aside. */
  branch: BranchInfo | undefined
}

/**
 * A target that receives what the ledger has confirmed, in order (R3): it always holds a prefix of
 * the ledger's log. What it holds against the ledger is kept as a branch, then replaced.
 *
 * @example
 * const follower = new Follower({ log, ledgerLog, platform, scratchPath, nodeId })
 * await follower.catchUp(ledger.confirmed, (n) => fromMemory(n) ?? ledgerLog.readVersion(n), signal)
 */
export class Follower {
  readonly log: VersionLog
  readonly #options: FollowerOptions
  readonly #limits: { catchUpVersions: number }
  #confirmed = 0
  /** What the follower holds was compared with the ledger since we know it. */
  #compared = false

  constructor(options: FollowerOptions) {
    this.log = options.log
    this.#options = options
    this.#limits = options.limits ?? FOLLOWER_LIMITS
  }

  /** The newest version known to be there; 0 before the first `catchUp`. */
  get confirmed(): number {
    return this.#confirmed
  }

  /**
   * Brings the follower up to a version that the ledger has confirmed, never beyond it. After an
   * error everything stored stays; the next call goes on from there.
   *
   * @throws KvarError `LINEAGE_MISMATCH` for the log of another database
   */
  async catchUp(ledgerHead: number, source: VersionSource, signal?: AbortSignal): Promise<FollowerProgress> {
    const progress = noProgress()
    let comparisons = 0
    while (this.#confirmed < ledgerHead || !this.#compared) {
      throwIfCancelled(signal)
      if (!this.#compared) {
        if (++comparisons > 2) throw differentVersion(this.log, this.#confirmed + 1, this.#options.ledgerLog)
        progress.branch = (await this.#compare(ledgerHead, source, signal)) ?? progress.branch
        continue
      }
      if (ledgerHead - this.#confirmed > this.#limits.catchUpVersions) {
        await this.#complete(ledgerHead, source, progress, signal)
      } else await this.#copyNext(source, progress, signal, ledgerHead)
    }
    return { ...progress, confirmed: this.#confirmed }
  }

  async #copyNext(
    source: VersionSource,
    progress: FollowerProgress,
    signal: AbortSignal | undefined,
    ledgerHead: number,
  ): Promise<void> {
    const next = this.#confirmed + 1
    const bytes = await source(next)
    if (bytes === undefined) return this.#complete(ledgerHead, source, progress, signal)
    const answer = await copyVersion(this.log, next, bytes, signal)
    if (answer === 'different') {
      this.#compared = false
      return
    }
    this.#confirmed = next
    if (answer === 'same') return
    progress.copiedVersions++
    progress.copiedBytes += bytes.length
  }

  async #complete(
    version: number,
    source: VersionSource,
    progress: FollowerProgress,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const { ledgerLog: from, platform, scratchPath } = this.#options
    const done = await completeLog({
      ...{
        from,
        to: this.log,
        version,
        order: 'rising',
        source,
        platform,
        scratchPath,
        limits: this.#limits,
      },
      ...passing(signal),
    })
    progress.copiedVersions += done.copiedVersions
    progress.copiedBytes += done.copiedBytes
    progress.snapshot ||= done.snapshot
    this.#confirmed = version
  }

  /** Finds what the follower shares with the ledger, and sets aside the rest. */
  async #compare(
    ledgerHead: number,
    source: VersionSource,
    signal?: AbortSignal,
  ): Promise<BranchInfo | undefined> {
    const { ledgerLog } = this.#options
    const files = await this.log.listFiles(passing(signal))
    const held = newestVersion(files)
    if (held > 0) await this.#assertOurs(held, signal)
    const lineage = await shareLineage(ledgerLog, this.log, signal)
    let shared = await this.#lastShared(files, ledgerHead, signal)
    let branch: BranchInfo | undefined
    if (held > shared.version) {
      // Somebody else may have moved the ledger on and told this follower: never judge by an old head.
      const newest = await ledgerLog.findHead({ after: ledgerHead, ...passing(signal) })
      shared = await this.#lastShared(files, newest?.version ?? ledgerHead, signal)
      if (held > shared.version) branch = await this.#setAside(files, shared.version, lineage, signal)
    } else await this.#assertRepeats(files, held, signal)
    if (shared.compared) await this.#mendHoles(shared.version, source, signal)
    else shared.version = await this.#bridge(ledgerHead, signal)
    this.#confirmed = shared.version
    this.#compared = true
    return branch
  }

  /** A log without a lineage (made by another program, or its file was lost) must be known by its newest version. */
  async #assertOurs(held: number, signal: AbortSignal | undefined): Promise<void> {
    const known = await readLineage(this.#options.ledgerLog.target, passing(signal))
    const found = await readLineage(this.log.target, passing(signal))
    if (known === undefined || found !== undefined) return
    const info = await this.#ownInfo(held, signal)
    if (info?.lineage === lineageNumber(known.lineage)) return
    if ((await this.#compareVersion(held, signal)) !== 'same') throw otherDatabase(this.log.target)
  }

  #setAside(
    files: LogFile[],
    shared: number,
    lineage: string | undefined,
    signal: AbortSignal | undefined,
  ): Promise<BranchInfo> {
    const { platform, nodeId, host } = this.#options
    const meta = {
      ...{ lineage: lineage ?? '', reason: TAIL_REASON, baseVersion: shared, nodeId },
      createdAtMs: platform.clock.nowMs(),
      ...(host === undefined ? {} : { host }),
    }
    return setTailAside({ log: this.log, files, shared, meta, ...passing(signal) })
  }

  /** Pieces of an interrupted fill, or a file that was lost: what the ledger still has is put back. */
  async #mendHoles(shared: number, source: VersionSource, signal?: AbortSignal): Promise<void> {
    if (shared === 0) return
    const files = await this.log.listFiles(passing(signal))
    if (newestReachable(files, shared) === shared) return
    await this.#complete(shared, source, noProgress(), signal)
  }

  /**
   * The ledger no longer keeps the files that this follower ends with. All pages of a newer version
   * are put above them, so that nothing is built on what could not be compared; the old files stay.
   */
  async #bridge(ledgerHead: number, signal?: AbortSignal): Promise<number> {
    const { ledgerLog: from, platform, scratchPath } = this.#options
    const limits = { catchUpVersions: 0 }
    await completeLog({
      ...{ from, to: this.log, version: ledgerHead, order: 'rising', platform, scratchPath, limits },
      ...passing(signal),
    })
    return ledgerHead
  }

  /**
   * The last version that both hold alike, found by halving: since a follower receives in order, what
   * is alike at one version is alike below it. `compared` is false where the ledger
   * no longer keeps what the follower ends with.
   */
  async #lastShared(
    files: LogFile[],
    ledgerHead: number,
    signal: AbortSignal | undefined,
  ): Promise<{ version: number; compared: boolean }> {
    const versions = files
      .filter((file) => file.level === VERSION_LEVEL && file.maxVersion <= ledgerHead)
      .map((file) => file.maxVersion)
      .sort((a, b) => a - b)
    const newest = versions.at(-1) ?? 0
    const answer = newest === 0 ? 'same' : await this.#compareVersion(newest, signal)
    if (answer !== 'different') return { version: newest, compared: answer === 'same' }
    let [low, high] = [0, versions.length - 1]
    while (low < high) {
      const middle = (low + high) >> 1
      if ((await this.#compareVersion(versions[middle] as number, signal)) !== 'different') low = middle + 1
      else high = middle
    }
    // What the ledger no longer keeps cannot be built on: then nothing is shared.
    const last = versions[low - 1] ?? 0
    const shared = last > 0 && (await this.#compareVersion(last, signal)) === 'same'
    return { version: shared ? last : 0, compared: true }
  }

  async #compareVersion(
    version: number,
    signal: AbortSignal | undefined,
  ): Promise<'same' | 'different' | 'not-kept'> {
    const theirs = await this.#options.ledgerLog.readVersionInfo(version, passing(signal))
    if (theirs === undefined) return 'not-kept'
    const ours = await this.#ownInfo(version, signal)
    return ours !== undefined && isSameVersion(ours, theirs) ? 'same' : 'different'
  }

  /** A damaged file of the follower's own is one that differs: it is set aside and replaced. */
  async #ownInfo(version: number, signal: AbortSignal | undefined): Promise<VersionInfo | undefined> {
    try {
      return await this.log.readVersionInfo(version, passing(signal))
    } catch (thrown) {
      if (thrown instanceof KvarError && thrown.code === 'DAMAGED') return undefined
      throw thrown
    }
  }

  /** A range or snapshot above level 0 tells of versions that were lost here: it must be the ledger's. */
  async #assertRepeats(files: LogFile[], held: number, signal: AbortSignal | undefined): Promise<void> {
    for (const file of files.filter((candidate) => candidate.maxVersion > held)) {
      const theirs = await this.#options.ledgerLog.readVersionInfo(file.maxVersion, passing(signal))
      const ours = await this.log.readHeader(file.key, passing(signal))
      const same =
        theirs !== undefined && ours !== undefined && ours.databaseChecksum === theirs.databaseChecksum
      if (!same) throw notOfTheLedger(file, this.log)
    }
  }
}

function noProgress(): FollowerProgress {
  return { confirmed: 0, copiedVersions: 0, copiedBytes: 0, snapshot: false, branch: undefined }
}

function notOfTheLedger(file: LogFile, log: VersionLog): KvarError {
  return new KvarError(
    'LOG_BROKEN',
    `"${file.key}" on ${log.name} holds versions that the ledger does not know`,
    {
      hint: 'move the file aside if it is not needed; nothing was changed',
      data: { key: file.key },
    },
  )
}

import { KvarError } from '../errors.ts'
import { LTX_HEADER_BYTES, type LtxHeader, parseLtxHeader } from '../formats/ltx.ts'
import { type ObjectBody, readAll, type Target } from '../targets/target.ts'
import {
  asLogFile,
  type LogFile,
  levelPrefix,
  REPEATING_LEVELS,
  SNAPSHOT_LEVEL,
  VERSION_LEVEL,
  versionKey,
} from './log-layout.ts'
import { passing } from './passing.ts'
import { planRestore, type RestorePlan, type RestoreWant } from './restore-plan.ts'

/** What the header of a version says of it. Checksum and lineage are absent in files of other programs. */
export interface VersionInfo {
  version: number
  timestampMs: number
  pageSize: number
  pageCount: number
  databaseChecksum?: bigint
  lineage?: bigint
  nodeId: bigint
  sizeBytes: number
}

interface Reading {
  signal?: AbortSignal
}

/**
 * The versions that one target holds: reading them, and adding one. It decides nothing: who may
 * append is the matter of `Ledger` and `Follower`.
 *
 * @example
 * const log = new VersionLog(target)
 * const head = await log.findHead()
 */
export class VersionLog {
  readonly target: Target
  readonly prefix: string

  /** @param options.prefix where the log lies inside the target; empty except for branches */
  constructor(target: Target, options: { prefix?: string } = {}) {
    this.target = target
    this.prefix = options.prefix ?? ''
  }

  /** The log's name in sentences. */
  get name(): string {
    return this.prefix === '' ? this.target.url : `${this.target.url} (${this.prefix})`
  }

  /** An object's name in sentences. */
  objectName(key: string): string {
    return `${this.target.url}: ${key}`
  }

  /**
   * The newest version above `after` with its header, or undefined when there is none. A damaged header or a
   * gap that nothing covers is an error (`DAMAGED`, `LOG_BROKEN`): an older version is never answered
   * in place of one that cannot be read.
   *
   * @param options.after a version known to be in the log; saves looking at older ones
   */
  async findHead(options: { after?: number } & Reading = {}): Promise<VersionInfo | undefined> {
    const reading = passing(options.signal)
    const floor = options.after ?? (await this.#newestSnapshot(reading)) - 1
    let [expected, whole] = [floor + 1, true]
    let newest: LogFile | undefined
    for await (const file of this.listVersions({ ...reading, after: floor })) {
      if (file.minVersion !== expected) whole = false
      expected = file.maxVersion + 1
      newest = file
    }
    if (newest === undefined) {
      if (options.after === undefined) await this.#assertEmpty(reading)
      return this.#probe(floor, reading)
    }
    // Retention empties level 0 from below; a hole is fine where a snapshot or range covers it.
    if (!whole) planRestore(await this.listFiles(reading), { kind: 'latest' }, this.name)
    return (await this.#probe(newest.maxVersion, reading)) ?? (await this.#infoOf(newest, reading))
  }

  /**
   * Whether there is a log: `empty`, or `unfinished` when objects lie there without a beginning
   * (a fill was interrupted, see `completeLog`), or a `log` that can be read from its beginning.
   */
  async state(options: Reading = {}): Promise<'empty' | 'unfinished' | 'log'> {
    const files = await this.listFiles(options)
    if (files.length === 0) return 'empty'
    return files.some((file) => file.minVersion === 1) && files.some((file) => file.level === VERSION_LEVEL)
      ? 'log'
      : 'unfinished'
  }

  /** Level 0 in ascending order, lazily. Objects with foreign names are passed over. */
  async *listVersions(options: { after?: number } & Reading = {}): AsyncGenerator<LogFile> {
    for await (const file of this.#listLevel(VERSION_LEVEL, options)) {
      if (file.minVersion !== file.maxVersion) {
        throw new KvarError(
          'LOG_BROKEN',
          `"${file.key}" on ${this.name} holds more than one version at level 0`,
        )
      }
      yield file
    }
  }

  /** Every file of every level. Level 0 is listed last, so that a snapshot stored meanwhile never seems to lie beyond it. */
  async listFiles(options: Reading = {}): Promise<LogFile[]> {
    const repeating = await Promise.all(REPEATING_LEVELS.map((level) => this.#collect(level, options)))
    return [...repeating.flat(), ...(await this.#collect(VERSION_LEVEL, options))]
  }

  /** The files to read for what is wanted. Times are taken from headers: a copied folder may have lost its own. */
  async plan(want: RestoreWant, options: Reading = {}): Promise<RestorePlan> {
    const files = await this.listFiles(options)
    if (want.kind !== 'before') return planRestore(files, want, this.name)
    return planRestore(await this.#withTimesAround(files, want.timeMs, options), want, this.name)
  }

  /** The facts of version `n`, or undefined when level 0 does not hold it (any more). */
  async readVersionInfo(n: number, options: Reading = {}): Promise<VersionInfo | undefined> {
    const key = versionKey(this.target, n, this.prefix)
    const header = await this.readHeader(key, options)
    if (header === undefined) return undefined
    return versionInfo(header, await this.#sizeOf(key, options))
  }

  /** The file of version `n`, whole: only its name has been checked. */
  readVersion(n: number, options: Reading = {}): Promise<Uint8Array | undefined> {
    return readAll(this.target, versionKey(this.target, n, this.prefix), options)
  }

  /** Creates version `n` if it is free. Whether the caller may is not asked here. */
  append(
    n: number,
    body: ObjectBody,
    timestampMs: number,
    signal?: AbortSignal,
  ): Promise<'created' | 'exists'> {
    const key = versionKey(this.target, n, this.prefix)
    return this.target.create(key, body, { modifiedAtMs: timestampMs, ...passing(signal) })
  }

  /** The header of one file, which must agree with the file's name; undefined when the file is not there. */
  async readHeader(key: string, options: Reading = {}): Promise<LtxHeader | undefined> {
    const bytes = await this.#firstBytes(key, LTX_HEADER_BYTES, options)
    if (bytes === undefined) return undefined
    // The name ends in the file's key: parsing holds the versions against it.
    return parseLtxHeader(bytes, this.objectName(key))
  }

  async #infoOf(file: LogFile, options: Reading): Promise<VersionInfo> {
    const header = await this.readHeader(file.key, options)
    if (header !== undefined) return versionInfo(header, file.sizeBytes)
    throw new KvarError('LOG_BROKEN', `"${file.key}" on ${this.target.url} was listed but cannot be found`, {
      data: { key: file.key },
    })
  }

  /** On targets whose listing may lag, the next versions are asked for by name. */
  async #probe(known: number, options: Reading): Promise<VersionInfo | undefined> {
    if (this.target.capabilities.listConsistency === 'strong') return undefined
    let newest: VersionInfo | undefined
    for (let n = known + 1; ; n++) {
      const next = await this.readVersionInfo(n, options)
      if (next === undefined) return newest
      newest = next
    }
  }

  /** Without any version at level 0 nothing else may be there: it would be a log that lost its newest part. */
  async #assertEmpty(options: Reading): Promise<void> {
    const files = await this.listFiles(options)
    if (files.length > 0) planRestore(files, { kind: 'latest' }, this.name)
  }

  async #newestSnapshot(options: Reading): Promise<number> {
    let newest = 1
    for await (const file of this.#listLevel(SNAPSHOT_LEVEL, options)) {
      if (file.minVersion === 1) newest = Math.max(newest, file.maxVersion)
    }
    return newest
  }

  async #collect(level: number, options: Reading): Promise<LogFile[]> {
    const files: LogFile[] = []
    for await (const file of this.#listLevel(level, options)) files.push(file)
    return files
  }

  async *#listLevel(level: number, options: { after?: number } & Reading): AsyncGenerator<LogFile> {
    const folder = levelPrefix(this.target, level, this.prefix)
    const after = options.after ?? 0
    const startAfter = after > 0 ? { startAfter: versionKey(this.target, after, this.prefix) } : {}
    for await (const entry of this.target.list(folder, { ...startAfter, ...passing(options.signal) })) {
      const file = asLogFile(entry, level, folder)
      if (file !== undefined) yield file
    }
  }

  /** Times of the versions on both sides of a moment, found by halving, since they strictly increase. */
  async #withTimesAround(files: LogFile[], timeMs: number, options: Reading): Promise<LogFile[]> {
    const byVersion = [...files].sort((a, b) => a.maxVersion - b.maxVersion)
    let [low, high] = [0, byVersion.length]
    while (low < high) {
      const middle = (low + high) >> 1
      const file = byVersion[middle] as LogFile
      const header = await this.#infoOf(file, options)
      if (header.timestampMs < timeMs) low = middle + 1
      else high = middle
    }
    return byVersion.map((file, index) => ({ ...file, modifiedAtMs: index < low ? timeMs - 1 : timeMs }))
  }

  async #firstBytes(key: string, count: number, options: Reading): Promise<Uint8Array | undefined> {
    const range = this.target.capabilities.rangeRead ? { range: { offset: 0, length: count } } : {}
    const stream = await this.target.read(key, { ...range, ...passing(options.signal) })
    if (stream === undefined) return undefined
    const bytes = new Uint8Array(count)
    let filled = 0
    for await (const chunk of stream) {
      const part = chunk.subarray(0, count - filled)
      bytes.set(part, filled)
      filled += part.length
      if (filled === count) break
    }
    return bytes.subarray(0, filled)
  }

  async #sizeOf(key: string, options: Reading): Promise<number> {
    for await (const entry of this.target.list(key, passing(options.signal))) {
      if (entry.key === key) return entry.sizeBytes
    }
    // The listing lags behind: the bytes themselves tell.
    return (await readAll(this.target, key, options))?.length ?? 0
  }
}

/** A header of a level-0 file or snapshot, as the facts of its newest version. */
export function versionInfo(header: LtxHeader, sizeBytes: number): VersionInfo {
  const info: VersionInfo = {
    version: header.maxVersion,
    timestampMs: header.timestampMs,
    pageSize: header.pageSize,
    pageCount: header.pageCount,
    nodeId: header.nodeId,
    sizeBytes,
  }
  if (header.databaseChecksum !== undefined) info.databaseChecksum = header.databaseChecksum
  if (header.lineage !== undefined) info.lineage = header.lineage
  return info
}

import { asLogFile, type LogFile, levelPrefix, SNAPSHOT_LEVEL } from './log-layout.ts'
import { passing } from './passing.ts'
import { RANGE_LEVEL } from './retain-plan.ts'
import type { VersionLog } from './version-log.ts'

/** Under this prefix, an object `<sixteen hexadecimal digits>…` keeps that version for ever. */
export const NAMED_PREFIX = 'kvar/named/'
/** Some disks keep times to two seconds only. */
const TOLERANCE_MS = 2000
const HEADERS_AT_ONCE = 8

/** What retention has to know of a log, taken by one listing. */
export interface Listed {
  files: LogFile[]
  named: Set<number>
}

/**
 * Lists logs with times that can be trusted. A log that was copied by hand may have lost the times of its
 * files, and then everything would seem to have happened at once: where a target does not keep times,
 * or a sample of them is not what the headers say, all times are taken from headers, each of them once.
 */
export class RetentionFiles {
  readonly #log: VersionLog
  readonly #times = new Map<string, number>()
  #isWrong: boolean
  #levels: Set<number> | undefined

  constructor(log: VersionLog) {
    this.#log = log
    this.#isWrong = !log.target.capabilities.keepsModifiedAt
  }

  async list(signal?: AbortSignal): Promise<Listed> {
    const files = await this.#listFiles(signal)
    const named = new Set<number>()
    if (this.#log.prefix === '') {
      for await (const { key } of this.#log.target.list(NAMED_PREFIX, passing(signal))) {
        const digits = /^[0-9a-f]{16}/.exec(key.slice(NAMED_PREFIX.length))?.[0]
        if (digits !== undefined) named.add(Number.parseInt(digits, 16))
      }
    }
    return { files: await this.#withTrueTimes(files, signal), named }
  }

  /** All levels once; afterwards those that are in use. What is not seen is only not counted on. */
  async #listFiles(signal?: AbortSignal): Promise<LogFile[]> {
    if (this.#levels === undefined) {
      const files = await this.#log.listFiles(passing(signal))
      this.#levels = new Set([SNAPSHOT_LEVEL, RANGE_LEVEL, ...files.map((file) => file.level)])
      return files
    }
    const files: LogFile[] = []
    for (const level of [...this.#levels].sort((a, b) => b - a)) {
      const folder = levelPrefix(this.#log.target, level, this.#log.prefix)
      for await (const entry of this.#log.target.list(folder, passing(signal))) {
        const file = asLogFile(entry, level, folder)
        if (file !== undefined) files.push(file)
      }
    }
    return files
  }

  /** The versions after one that is known. */
  async listAfter(version: number, signal?: AbortSignal): Promise<LogFile[]> {
    const files: LogFile[] = []
    for await (const file of this.#log.listVersions({ after: version, ...passing(signal) })) files.push(file)
    return this.#isWrong ? this.#fromHeaders(files, signal) : files
  }

  /** Compares a listed time with the header's. False: from now on headers are read; list again. */
  confirm(file: LogFile, timestampMs: number): boolean {
    this.#times.set(file.key, timestampMs)
    if (this.#isWrong || Math.abs(file.modifiedAtMs - timestampMs) <= TOLERANCE_MS) return true
    this.#isWrong = true
    return false
  }

  async #withTrueTimes(files: LogFile[], signal?: AbortSignal): Promise<LogFile[]> {
    if (!this.#isWrong) {
      for (const file of sampleOf(files)) {
        const timestampMs = await this.#timeOf(file, signal)
        if (timestampMs !== undefined) this.confirm(file, timestampMs)
      }
    }
    return this.#isWrong ? this.#fromHeaders(files, signal) : files
  }

  async #fromHeaders(files: LogFile[], signal?: AbortSignal): Promise<LogFile[]> {
    const timed: LogFile[] = []
    for (let start = 0; start < files.length; start += HEADERS_AT_ONCE) {
      const some = files.slice(start, start + HEADERS_AT_ONCE)
      const times = await Promise.all(some.map((file) => this.#timeOf(file, signal)))
      // A file that vanished since the listing is no part of the log any more.
      for (const [i, file] of some.entries()) {
        const modifiedAtMs = times[i]
        if (modifiedAtMs !== undefined) timed.push({ ...file, modifiedAtMs })
      }
    }
    return timed
  }

  async #timeOf(file: LogFile, signal?: AbortSignal): Promise<number | undefined> {
    const known = this.#times.get(file.key)
    if (known !== undefined) return known
    const header = await this.#log.readHeader(file.key, passing(signal))
    if (header !== undefined) this.#times.set(file.key, header.timestampMs)
    return header?.timestampMs
  }
}

/** The oldest file lost its time in any copy; two more for a log that was put together from pieces. */
function sampleOf(files: LogFile[]): LogFile[] {
  const sorted = [...files].sort((a, b) => a.maxVersion - b.maxVersion)
  const places = [0, Math.floor(sorted.length / 3), Math.floor((sorted.length * 2) / 3)]
  return [...new Set(places)].flatMap((place) => sorted[place] ?? [])
}

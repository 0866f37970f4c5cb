import { KvarError } from '../errors.ts'
import type { LtxHeader } from '../formats/ltx.ts'
import type { ObjectEntry, Target } from '../targets/target.ts'
import { type BranchInfo, branchLog, readBranch } from './branches.ts'
import { lineageText, readLineage } from './lineage.ts'
import {
  asLogFile,
  BRANCHES_PREFIX,
  branchMetaKey,
  LINEAGE_KEY,
  type LogFile,
  levelPrefix,
  REPEATING_LEVELS,
  VERSION_LEVEL,
} from './log-layout.ts'
import { passing } from './passing.ts'
import { newestVersion } from './restore-plan.ts'
import { gapsOf } from './verify-continuity.ts'
import { readThroughFile, readThroughLog } from './verify-data.ts'
import {
  type Finding,
  lostWithout,
  reachableVersions,
  spanText,
  type VersionSpan,
} from './verify-findings.ts'
import { lookAtFiles } from './verify-objects.ts'
import { VersionLog } from './version-log.ts'

export interface VerifyOptions {
  target: Target
  /** Read every object to its end instead of looking at both ends of each. */
  data: boolean
  onFinding?: (finding: Finding) => void
  onProgress?: (progress: { bytesDone: number; bytesTotal: number }) => void
  signal?: AbortSignal
}

/** What was found on one target. */
export interface VerifyReport {
  target: string
  lineage: string | null
  /** The newest version that the target says it has; 0 for an empty log. */
  newestVersion: number
  /** The newest one that can be put together from what is sound. */
  restorableVersion: number
  /** How many versions can be restored. */
  versions: number
  objects: number
  storedBytes: number
  readBytes: number
  branches: number
  findings: Finding[]
}

/**
 * Checks everything that a log consists of: names and continuity, both ends of every file (all of it
 * with `data`), what the files say of each other, lineage and branches. Nothing is changed.
 *
 * @throws KvarError only when the target itself cannot be read, or by the signal; what is wrong with
 * the log is in the report
 *
 * @example
 * const { findings } = await verifyTarget({ target, data: true })
 */
export async function verifyTarget(options: VerifyOptions): Promise<VerifyReport> {
  const report: VerifyReport = {
    ...{ target: options.target.url, lineage: null, newestVersion: 0, restorableVersion: 0, versions: 0 },
    ...{ objects: 0, storedBytes: 0, readBytes: 0, branches: 0, findings: [] },
  }
  const work = new Verification(options, report)
  await work.everything()
  return report
}

interface Listed {
  files: LogFile[]
  foreign: string[]
}

class Verification {
  readonly #options: VerifyOptions
  readonly #report: VerifyReport
  #totalBytes = 0

  constructor(options: VerifyOptions, report: VerifyReport) {
    this.#options = options
    this.#report = report
  }

  async everything(): Promise<void> {
    const log = new VersionLog(this.#options.target)
    const listed = await this.#list(log)
    const branches = await this.#listBranches()
    await this.#checkLineage(listed.files)
    this.#countIn(listed.files)
    for (const branch of branches.values()) this.#countIn(branch.listed.files)
    const good = await this.#checkLog(log, listed)
    const reachable = reachableVersions(good)
    this.#report.newestVersion = newestVersion(listed.files)
    this.#report.restorableVersion = reachable.at(-1) ?? 0
    this.#report.versions = reachable.length
    this.#report.branches = branches.size
    for (const [id, branch] of branches) await this.#checkBranch(id, branch)
  }

  #countIn(files: LogFile[]): void {
    this.#report.objects += files.length
    this.#totalBytes = this.#report.storedBytes += files.reduce((sum, file) => sum + file.sizeBytes, 0)
  }

  #find(finding: Omit<Finding, 'target' | 'lost' | 'nearestVersion'> & Partial<Finding>): void {
    const { url } = this.#options.target
    const whole: Finding = { lost: null, nearestVersion: null, ...finding, target: url }
    this.#report.findings.push(whole)
    this.#options.onFinding?.(whole)
  }

  async #list(log: VersionLog): Promise<Listed> {
    const listed: Listed = { files: [], foreign: [] }
    // Level 0 last: a snapshot stored meanwhile never seems to lie beyond it.
    for (const level of [...REPEATING_LEVELS, VERSION_LEVEL]) {
      const folder = levelPrefix(log.target, level, log.prefix)
      for await (const entry of log.target.list(folder, passing(this.#options.signal))) {
        const file = asLogFile(entry, level, folder)
        if (file === undefined) listed.foreign.push(entry.key)
        else listed.files.push(file)
      }
    }
    return listed
  }

  /** @returns the files that are sound */
  async #checkLog(log: VersionLog, { files, foreign }: Listed): Promise<LogFile[]> {
    for (const key of foreign) {
      const sentence = `"${key}" on ${log.name} is no version file; it is left alone`
      this.#find({ kind: 'foreign', severity: 'note', key, sentence })
    }
    this.#checkContinuity(log, files)
    const bad = new Set<string>()
    const headers = await this.#checkEnds(log, files, bad)
    if (this.#options.data) await this.#checkData(log, files, bad)
    for (const file of headers.keys()) if (bad.has(file.key)) headers.delete(file)
    this.#checkTimes(log, headers)
    await this.#compareHeaders(log, headers, bad, files)
    return files.filter((file) => !bad.has(file.key))
  }

  /** Every file must be of use for its own version, and nothing may reach beyond the newest version. */
  #checkContinuity(log: VersionLog, files: LogFile[]): void {
    for (const { missing, lost, nearestVersion, isDamage } of gapsOf(files)) {
      const where = `${capital(spanText(missing))} ${missing.from === missing.to ? 'is' : 'are'} missing on ${log.name}`
      const sentence = isDamage
        ? where + lostText(lost, nearestVersion)
        : `${where}; retention was interrupted there, or an object was removed${lostText(lost, nearestVersion)}`
      const kind = isDamage ? 'missing' : 'unfinished'
      this.#find({ kind, severity: isDamage ? 'damage' : 'note', key: null, sentence, lost, nearestVersion })
    }
    const head = newestVersion(files)
    for (const file of files.filter((one) => one.maxVersion > head)) {
      const missing = { from: head + 1, to: file.maxVersion }
      const verb = missing.from === missing.to ? 'is' : 'are'
      const sentence = `"${file.key}" on ${log.target.url} reaches version ${file.maxVersion}, but ${spanText(missing)} ${verb} missing at level 0`
      this.#find({
        kind: 'missing',
        severity: 'damage',
        key: file.key,
        sentence,
        lost: missing,
        nearestVersion: head,
      })
    }
  }

  async #checkEnds(log: VersionLog, files: LogFile[], bad: Set<string>): Promise<Map<LogFile, LtxHeader>> {
    const headers = new Map<LogFile, LtxHeader>()
    for await (const { file, header, fault } of lookAtFiles(log, files, this.#options.signal)) {
      if (fault !== undefined) this.#damaged(file, files, bad, 'damaged', fault)
      else if (header !== undefined) headers.set(file, header)
    }
    return headers
  }

  #damaged(
    file: LogFile,
    files: LogFile[],
    bad: Set<string>,
    kind: 'damaged' | 'wrong-content',
    error: KvarError,
  ): void {
    if (bad.has(file.key)) return
    const sound = files.filter((one) => !bad.has(one.key))
    const { lost, nearestVersion } = lostWithout(sound, file)
    bad.add(file.key)
    const span = spanText({ from: file.minVersion, to: file.maxVersion })
    const around = lost === null ? `; ${span} can be restored without it` : lostText(lost, nearestVersion)
    this.#find({
      kind,
      severity: 'damage',
      key: file.key,
      sentence: error.message + around,
      lost,
      nearestVersion,
    })
  }

  #checkTimes(log: VersionLog, headers: Map<LogFile, LtxHeader>): void {
    let before: LtxHeader | undefined
    for (const [file, header] of headers) {
      if (file.level !== VERSION_LEVEL) continue
      if (before !== undefined && header.timestampMs <= before.timestampMs) {
        const sentence = `Version ${file.maxVersion} on ${log.name} is not later than version ${before.maxVersion}; restores by time may answer the wrong one`
        this.#find({ kind: 'disorder', severity: 'note', key: file.key, sentence })
      }
      before = header
    }
  }

  /** What files say of each other: one database, and ranges that repeat what level 0 says. */
  async #compareHeaders(
    log: VersionLog,
    headers: Map<LogFile, LtxHeader>,
    bad: Set<string>,
    files: LogFile[],
  ): Promise<void> {
    const own = new Map([...headers.keys()].filter(isOwn).map((file) => [file.maxVersion, file]))
    const { lineage } = this.#report
    for (const [file, header] of headers) {
      const name = log.objectName(file.key)
      const first = own.get(file.maxVersion)
      if (lineage !== null && header.lineage !== undefined && lineageText(header.lineage) !== lineage) {
        const sentence = `"${name}" belongs to another database (${lineageText(header.lineage)})`
        this.#damaged(file, files, bad, 'wrong-content', new KvarError('DAMAGED', sentence))
      } else if (first !== undefined && contradicts(header, headers.get(first))) {
        const sentence = `"${name}" shows another version ${file.maxVersion} than level 0`
        // Either of the two may be the one whose header is damaged: its own checksum tells.
        const fault = this.#options.data ? undefined : await readThroughFile(log, first, this.#options.signal)
        if (fault !== undefined) this.#damaged(first, files, bad, 'damaged', fault)
        else this.#damaged(file, files, bad, 'wrong-content', new KvarError('DAMAGED', sentence))
      }
    }
  }

  async #checkData(log: VersionLog, files: LogFile[], bad: Set<string>): Promise<void> {
    const report = this.#report
    const onBytes = (bytes: number) => {
      report.readBytes += bytes
      this.#options.onProgress?.({ bytesDone: report.readBytes, bytesTotal: this.#totalBytes })
    }
    const options = { log, files, onBytes, ...passing(this.#options.signal) }
    for await (const { file, fault } of readThroughLog(options)) {
      if (fault !== undefined) this.#damaged(file, files, bad, fault.kind, fault.error)
    }
  }

  async #checkLineage(files: LogFile[]): Promise<void> {
    const { target } = this.#options
    try {
      const found = await readLineage(target, passing(this.#options.signal))
      this.#report.lineage = found?.lineage ?? null
      if (found !== undefined || files.length === 0) return
      const sentence = `"${LINEAGE_KEY}" is missing on ${target.url}; the versions can be restored without it`
      this.#find({ kind: 'missing', severity: 'damage', key: LINEAGE_KEY, sentence })
    } catch (thrown) {
      if (!(thrown instanceof KvarError) || thrown.code !== 'DAMAGED') throw thrown
      this.#find({ kind: 'damaged', severity: 'damage', key: LINEAGE_KEY, sentence: thrown.message })
    }
  }

  async #listBranches(): Promise<Map<string, ListedBranch>> {
    const branches = new Map<string, ListedBranch>()
    const { target, signal } = this.#options
    for await (const entry of target.list(BRANCHES_PREFIX, passing(signal))) {
      const id = /^([0-9a-f]{16}-[0-9a-f]{16})\//.exec(entry.key.slice(BRANCHES_PREFIX.length))?.[1]
      if (id === undefined) {
        const sentence = `"${entry.key}" on ${target.url} belongs to no branch; it is left alone`
        this.#find({ kind: 'foreign', severity: 'note', key: entry.key, sentence })
        continue
      }
      const branch = branches.get(id) ?? { entries: [], listed: { files: [], foreign: [] } }
      branch.entries.push(entry)
      branches.set(id, branch)
    }
    for (const [id, branch] of branches) branch.listed = await this.#list(branchLog(target, id))
    return branches
  }

  async #readBranch(id: string, key: string): Promise<BranchInfo | undefined | 'unreadable'> {
    const { target, signal } = this.#options
    try {
      return await readBranch(target, id, signal)
    } catch (thrown) {
      const isVerdict = thrown instanceof KvarError && ['DAMAGED', 'FORMAT_TOO_NEW'].includes(thrown.code)
      if (!isVerdict) throw thrown
      this.#find({ kind: 'damaged', severity: 'damage', key, sentence: thrown.message })
      return 'unreadable'
    }
  }

  async #checkBranch(id: string, { listed, entries }: ListedBranch): Promise<void> {
    const { target, signal } = this.#options
    const key = branchMetaKey(id)
    const log = branchLog(target, id)
    const good = await this.#checkLog(log, listed)
    const info = await this.#readBranch(id, key)
    if (info === 'unreadable') return
    if (info === undefined) {
      const sentence = `The branch ${id} on ${target.url} has no "branch.json": it was never finished, or the file is lost (${entries.length} objects lie there)`
      return this.#find({ kind: 'unfinished', severity: 'damage', key, sentence })
    }
    if (!(await agrees(info, log, this.#report.lineage, signal))) {
      const sentence = `"${key}" on ${target.url} says of the branch what its name and its versions deny`
      this.#find({ kind: 'wrong-content', severity: 'damage', key, sentence })
    }
    if (reachableVersions(good).includes(info.headVersion)) return
    const sentence = `The branch ${id} on ${target.url} cannot be restored: its version ${info.headVersion} is not whole`
    this.#find({ kind: 'missing', severity: 'damage', key: null, sentence })
  }
}

/** The name holds the base and, for a branch of one image, its checksum; the newest version's header holds it too. */
async function agrees(
  info: BranchInfo,
  log: VersionLog,
  lineage: string | null,
  signal?: AbortSignal,
): Promise<boolean> {
  const [base, content] = info.id.split('-') as [string, string]
  if (Number.parseInt(base, 16) !== info.baseVersion || info.format < 1) return false
  if (lineage !== null && info.lineage !== lineage) return false
  if (info.databaseChecksum === null) return true
  const head = await log.readVersionInfo(info.headVersion, passing(signal)).catch(() => undefined)
  if (head?.databaseChecksum === undefined) return info.databaseChecksum === content
  return info.databaseChecksum === content && head.databaseChecksum === BigInt(`0x${content}`)
}

interface ListedBranch {
  entries: ObjectEntry[]
  listed: Listed
}

function isOwn(file: LogFile): boolean {
  return file.level === VERSION_LEVEL
}

function contradicts(header: LtxHeader, own: LtxHeader | undefined): boolean {
  if (own === undefined) return false
  const known = header.databaseChecksum !== undefined && own.databaseChecksum !== undefined
  if (known && header.databaseChecksum !== own.databaseChecksum) return true
  return header.pageCount !== own.pageCount || header.pageSize !== own.pageSize
}

function lostText(lost: VersionSpan | null, nearest: number | null): string {
  if (lost === null) return ''
  const left =
    nearest === null || nearest === 0
      ? 'no version below it is left here'
      : `version ${nearest} is the nearest`
  return `: ${spanText(lost)} cannot be restored from here, ${left}`
}

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1)
}

import { KvarError } from '../errors.ts'
import type { LtxHeader } from '../formats/ltx.ts'
import { type BranchInfo, branchLog, listBranches, readBranch } from '../log/branches.ts'
import { branchPrefix, type LogFile } from '../log/log-layout.ts'
import type { VersionLog } from '../log/version-log.ts'
import type { VersionSummary } from '../persistence-types.ts'
import type { Target } from '../targets/target.ts'
import type { TargetInUse } from './target-set.ts'

/** One line of `kvar versions`. */
export interface VersionLine extends VersionSummary {
  /** `claim`: changes nothing, only says that another keeper writes from here on. */
  note: 'claim' | null
}

/** A branch and the target it lies on. */
export interface BranchLine extends BranchInfo {
  target: string
  /** Bytes of all its objects. */
  sizeBytes: number
}

const DEFAULT_LIMIT = 50
/** Headers that are asked for at the same time. */
const HEADERS_AT_ONCE = 8

/**
 * The newest versions of a log, newest first.
 *
 * @param options.details read each version's header: exact times, pages, claims; costs a request each
 */
export async function listVersionLines(
  log: VersionLog,
  options: { limit?: number; details?: boolean },
): Promise<VersionLine[]> {
  const files = versionEnds(await log.listFiles())
  const limit = options.limit ?? DEFAULT_LIMIT
  // The one before the oldest shown tells whether that one changed anything.
  const shown = files.slice(-(limit + 1)).reverse()
  const headers = options.details === true ? await readHeaders(log, shown) : []
  return shown.slice(0, limit).map((file, index) => versionLine(file, headers[index], headers[index + 1]))
}

/**
 * Every version that can be restored, ascending: those of level 0, and where retention merged them, the last one
 * of each range. The smallest file stands for it: it tells how much changed, a snapshot how much there is.
 */
function versionEnds(files: LogFile[]): LogFile[] {
  const byEnd = new Map<number, LogFile>()
  for (const file of files) {
    const known = byEnd.get(file.maxVersion)
    if (known === undefined || file.minVersion > known.minVersion) byEnd.set(file.maxVersion, file)
  }
  return [...byEnd.values()].sort((a, b) => a.maxVersion - b.maxVersion)
}

function versionLine(file: LogFile, own: LtxHeader | undefined, before: LtxHeader | undefined): VersionLine {
  const checksum = own?.databaseChecksum
  const isSingle = file.minVersion === file.maxVersion
  const isClaim = isSingle && checksum !== undefined && checksum === before?.databaseChecksum
  return {
    version: file.maxVersion,
    time: new Date(own?.timestampMs ?? file.modifiedAtMs).toISOString(),
    sizeBytes: file.sizeBytes,
    pageCount: own?.pageCount ?? null,
    note: isClaim ? 'claim' : null,
  }
}

async function readHeaders(log: VersionLog, files: LogFile[]): Promise<Array<LtxHeader | undefined>> {
  const headers: Array<LtxHeader | undefined> = []
  for (let start = 0; start < files.length; start += HEADERS_AT_ONCE) {
    const some = files.slice(start, start + HEADERS_AT_ONCE)
    headers.push(...(await Promise.all(some.map((file) => log.readHeader(file.key)))))
  }
  return headers
}

/** Every branch on every target; one that lies on several is listed once. */
export async function listBranchLines(targets: TargetInUse[]): Promise<BranchLine[]> {
  const lines: BranchLine[] = []
  for (const target of targets) {
    const opened = await target.open()
    for (const branch of await listBranches(opened)) {
      if (lines.some(({ id }) => id === branch.id)) continue
      lines.push({ ...branch, target: target.url, sizeBytes: await storedBytes(opened, branch.id) })
    }
  }
  return lines
}

async function storedBytes(target: Target, id: string): Promise<number> {
  let sizeBytes = 0
  for await (const entry of target.list(`${branchPrefix(id)}/`)) sizeBytes += entry.sizeBytes
  return sizeBytes
}

/**
 * The log of one branch, wherever it lies.
 *
 * @throws KvarError `NOT_FOUND`
 */
export async function findBranchLog(targets: TargetInUse[], id: string): Promise<VersionLog> {
  if (/^[0-9a-f]{16}-[0-9a-f]{16}$/.test(id)) {
    for (const one of targets) {
      const target = await one.open()
      if ((await readBranch(target, id)) !== undefined) return branchLog(target, id)
    }
  }
  throw new KvarError('NOT_FOUND', `There is no branch ${JSON.stringify(id.slice(0, 80))}`, {
    hint: 'kvar branches lists them',
  })
}

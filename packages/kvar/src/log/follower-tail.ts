import { createHash } from 'node:crypto'
import { KvarError } from '../errors.ts'
import type { ObjectSource } from '../targets/target.ts'
import {
  type BranchInfo,
  type BranchMeta,
  branchId,
  branchLog,
  finishBranch,
  listBranches,
} from './branches.ts'
import { branchPrefix, fileKey, type LogFile, VERSION_LEVEL, versionKey } from './log-layout.ts'
import { passing } from './passing.ts'
import { newestVersion, planRestore } from './restore-plan.ts'
import { holdsBytes } from './same-bytes.ts'
import type { VersionLog } from './version-log.ts'

export const TAIL_REASON = 'follower-tail'

/**
 * Sets aside what a follower holds above the last version it shares with the ledger, then removes it
 * there. The branch is a log that can be restored by itself: the unchanged files of the tail, and
 * those that its newest version is made of. Nothing is removed before `branch.json` is stored, and
 * then from the top, so that a prefix of the ledger's log is left at every step.
 *
 * @param options.files everything the follower holds
 * @param options.shared the last version in common; 0 for none
 */
export async function setTailAside(options: {
  log: VersionLog
  files: LogFile[]
  shared: number
  meta: BranchMeta
  signal?: AbortSignal
}): Promise<BranchInfo> {
  const branch = (await keptBefore(options)) ?? (await keepTail(options))
  await removeTail(options)
  return branch
}

type TailOptions = Parameters<typeof setTailAside>[0]

async function keepTail({ log, files, shared, meta, signal }: TailOptions): Promise<BranchInfo> {
  const head = newestVersion(files)
  const id = branchId(shared, await fingerprint(log, versionKey(log.target, head, log.prefix), signal))
  for (const file of tailFiles(files, shared)) await copyAside(log, file, id, signal)
  return finishBranch(log.target, { id, headVersion: head, databaseChecksum: null }, meta, signal)
}

/**
 * A run that was interrupted while removing finds a shorter tail: the branch of the longer one
 * holds it already.
 */
async function keptBefore({ log, files, shared, signal }: TailOptions): Promise<BranchInfo | undefined> {
  const head = newestVersion(files)
  const file = files.find((candidate) => candidate.level === VERSION_LEVEL && candidate.maxVersion === head)
  for (const branch of await listBranches(log.target, passing(signal))) {
    if (branch.reason !== TAIL_REASON || branch.baseVersion !== shared || file === undefined) continue
    const key = versionKey(log.target, head, branchLog(log.target, branch.id).prefix)
    if (await holdsBytes(log.target, key, bodyOf(log, file, signal), signal)) return branch
  }
  return undefined
}

/** The versions of the tail, and what their newest one is made of; of a broken log simply all. */
function tailFiles(files: LogFile[], shared: number): LogFile[] {
  const head = newestVersion(files)
  try {
    const made = new Set(planRestore(files, { kind: 'version', version: head }).files)
    return files.filter(
      (file) => made.has(file) || (file.level === VERSION_LEVEL && file.maxVersion > shared),
    )
  } catch (thrown) {
    if (thrown instanceof KvarError) return files
    throw thrown
  }
}

async function copyAside(log: VersionLog, file: LogFile, id: string, signal?: AbortSignal): Promise<void> {
  const key = fileKey(log.target, file.level, file.minVersion, file.maxVersion, branchPrefix(id))
  const body = bodyOf(log, file, signal)
  const answer = await log.target.create(key, body, { modifiedAtMs: file.modifiedAtMs, ...passing(signal) })
  if (answer === 'created' || (await holdsBytes(log.target, key, body, signal))) return
  throw new KvarError(
    'DAMAGED',
    `"${key}" on ${log.target.url} is not the copy of "${file.key}" it should be`,
    {
      hint: 'move that branch aside; nothing else was changed',
      data: { key },
    },
  )
}

/** What repeats removed versions goes first; then the versions, the newest first. */
async function removeTail({ log, files, shared, signal }: TailOptions): Promise<void> {
  const beyond = files.filter((file) => file.maxVersion > shared)
  const repeating = beyond.filter((file) => file.level !== VERSION_LEVEL).map((file) => file.key)
  if (repeating.length > 0) await log.target.remove(repeating, passing(signal))
  const versions = beyond
    .filter((file) => file.level === VERSION_LEVEL)
    .sort((a, b) => b.maxVersion - a.maxVersion)
  for (const file of versions) await log.target.remove([file.key], passing(signal))
}

function bodyOf(log: VersionLog, file: LogFile, signal?: AbortSignal): ObjectSource {
  return {
    sizeBytes: file.sizeBytes,
    async *open() {
      const stream = await log.target.read(file.key, passing(signal))
      if (stream === undefined)
        throw new KvarError('LOG_BROKEN', `"${file.key}" on ${log.target.url} vanished`)
      yield* stream
    },
  }
}

/** One tail makes one branch: its newest file tells it, even if that file is damaged. */
async function fingerprint(log: VersionLog, key: string, signal?: AbortSignal): Promise<bigint> {
  const hash = createHash('sha256')
  const stream = await log.target.read(key, passing(signal))
  if (stream === undefined) throw new KvarError('LOG_BROKEN', `"${key}" on ${log.target.url} vanished`)
  for await (const chunk of stream) hash.update(chunk)
  return hash.digest().readBigUInt64BE(0)
}

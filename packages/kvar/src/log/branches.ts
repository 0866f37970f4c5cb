import { KvarError } from '../errors.ts'
import type { LtxHeader } from '../formats/ltx.ts'
import { readAll, type Target } from '../targets/target.ts'
import { LOG_FORMAT, lineageNumber } from './lineage.ts'
import { BRANCHES_PREFIX, branchMetaKey, branchPrefix } from './log-layout.ts'
import { ltxObject } from './ltx-object.ts'
import type { PageSource } from './page-source.ts'
import { passing } from './passing.ts'
import { VersionLog } from './version-log.ts'

/**
 * What lies in `kvar/branches/<id>/branch.json`. The file is written last: a branch without it is
 * unfinished, and the next try with the same content finishes it.
 */
export interface BranchInfo {
  format: number
  id: string
  lineage: string
  /** Why the content does not belong on the log, such as `diverged` or `follower-tail`. */
  reason: string
  /** ISO-8601 UTC. */
  createdAt: string
  /** The newest version of the log that the content is based on; 0 for none. */
  baseVersion: number
  /** The version of the branch's own log that is its content. */
  headVersion: number
  /** Sixteen hexadecimal digits, or null where the versions do not record it. */
  databaseChecksum: string | null
  /** ISO-8601 UTC: retention keeps the branch at least until then. */
  keepUntil: string
  host?: string
}

/** What the maker of a branch says of it. */
export interface BranchMeta {
  lineage: string
  reason: string
  baseVersion: number
  createdAtMs: number
  nodeId: bigint
  keepMs?: number
  host?: string
}

/** A branch is kept for at least 90 days. */
export const BRANCH_KEEP_MS = 90 * 24 * 3600 * 1000
const LIMIT_BYTES = 64 * 1024

/** One content on one base makes one branch, however often it is set aside. */
export function branchId(baseVersion: number, databaseChecksum: bigint): string {
  return `${baseVersion.toString(16).padStart(16, '0')}-${hex16(databaseChecksum)}`
}

/**
 * Sets content aside as a small log of its own: version 1 with all pages. Done again with the same
 * content it answers the branch that is there; interrupted, it is finished by the next call.
 *
 * @throws KvarError `DAMAGED` when the pages are not what `image.databaseChecksum` says
 */
export async function createBranch(options: {
  target: Target
  image: PageSource
  meta: BranchMeta
  signal?: AbortSignal
}): Promise<BranchInfo> {
  const { target, image, meta, signal } = options
  const id = branchId(meta.baseVersion, image.databaseChecksum)
  const finished = await readBranch(target, id, signal)
  if (finished !== undefined) return finished
  const log = branchLog(target, id)
  const body = await ltxObject(firstVersion(image, meta), image, signal)
  if ((await log.append(1, body, meta.createdAtMs, signal)) === 'exists')
    await assertHolds(log, image, signal)
  const content = { id, headVersion: 1, databaseChecksum: hex16(image.databaseChecksum) }
  return finishBranch(target, content, meta, signal)
}

/** Writes `branch.json`, which makes a branch count; answers the one that is there afterwards. */
export async function finishBranch(
  target: Target,
  content: Pick<BranchInfo, 'id' | 'headVersion' | 'databaseChecksum'>,
  meta: BranchMeta,
  signal?: AbortSignal,
): Promise<BranchInfo> {
  const info: BranchInfo = {
    format: LOG_FORMAT,
    ...content,
    lineage: meta.lineage,
    reason: meta.reason,
    createdAt: new Date(meta.createdAtMs).toISOString(),
    baseVersion: meta.baseVersion,
    keepUntil: new Date(meta.createdAtMs + (meta.keepMs ?? BRANCH_KEEP_MS)).toISOString(),
    ...(meta.host === undefined ? {} : { host: meta.host }),
  }
  const bytes = new TextEncoder().encode(`${JSON.stringify(info, undefined, 2)}\n`)
  await target.create(branchMetaKey(info.id), bytes, { modifiedAtMs: meta.createdAtMs, ...passing(signal) })
  return (await readBranch(target, info.id, signal)) ?? info
}

/** All finished branches on a target, ordered by the version they are based on. */
export async function listBranches(
  target: Target,
  options: { signal?: AbortSignal } = {},
): Promise<BranchInfo[]> {
  const branches: BranchInfo[] = []
  for await (const { key } of target.list(BRANCHES_PREFIX, options)) {
    const id = /^([0-9a-f]{16}-[0-9a-f]{16})\/branch\.json$/.exec(key.slice(BRANCHES_PREFIX.length))?.[1]
    const info = id === undefined ? undefined : await readBranch(target, id, options.signal)
    if (info !== undefined) branches.push(info)
  }
  return branches
}

/** A branch's own log, to be restored from like any other. */
export function branchLog(target: Target, id: string): VersionLog {
  return new VersionLog(target, { prefix: branchPrefix(id) })
}

/** What `branch.json` says; undefined while the branch is unfinished or unknown. */
export async function readBranch(
  target: Target,
  id: string,
  signal?: AbortSignal,
): Promise<BranchInfo | undefined> {
  const key = branchMetaKey(id)
  const bytes = await readAll(target, key, { limitBytes: LIMIT_BYTES, ...passing(signal) })
  return bytes === undefined ? undefined : parseBranch(bytes, id, `${target.url}: ${key}`)
}

function parseBranch(bytes: Uint8Array, id: string, name: string): BranchInfo {
  let value: Partial<BranchInfo> | null
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes)) as Partial<BranchInfo> | null
  } catch (cause) {
    throw new KvarError('DAMAGED', `"${name}" is not readable as JSON`, { data: { name }, cause })
  }
  if (typeof value?.format === 'number' && value.format > LOG_FORMAT) {
    throw new KvarError('FORMAT_TOO_NEW', `"${name}" has format ${value.format}, newer than this Kvar`, {
      hint: 'update Kvar; nothing was changed',
    })
  }
  if (!isBranch(value, id))
    throw new KvarError('DAMAGED', `"${name}" does not describe a branch`, { data: { name } })
  return value as BranchInfo
}

/** Times decide when a branch may go, so each has to be one. */
function isBranch(value: Partial<BranchInfo> | null, id: string): boolean {
  if (value?.id !== id || typeof value.reason !== 'string') return false
  const { lineage, databaseChecksum, createdAt, keepUntil, format, baseVersion = -1, headVersion = 0 } = value
  const isHex = (text: unknown) => typeof text === 'string' && /^[0-9a-f]{16}$/.test(text)
  const isTime = (text: unknown) => typeof text === 'string' && !Number.isNaN(Date.parse(text))
  return (
    isHex(lineage) &&
    (databaseChecksum === null || isHex(databaseChecksum)) &&
    [createdAt, keepUntil].every(isTime) &&
    [format, baseVersion, headVersion].every(Number.isSafeInteger) &&
    baseVersion >= 0 &&
    headVersion >= 1
  )
}

function firstVersion(image: PageSource, meta: BranchMeta): LtxHeader {
  const { pageSize, pageCount, databaseChecksum } = image
  const range = { minVersion: 1, maxVersion: 1, timestampMs: meta.createdAtMs }
  return {
    pageSize,
    pageCount,
    databaseChecksum,
    ...range,
    nodeId: meta.nodeId,
    lineage: lineageNumber(meta.lineage),
  }
}

async function assertHolds(log: VersionLog, image: PageSource, signal?: AbortSignal): Promise<void> {
  const there = await log.readVersionInfo(1, passing(signal))
  if (there?.databaseChecksum === image.databaseChecksum && there.pageCount === image.pageCount) return
  throw new KvarError(
    'DAMAGED',
    `The unfinished branch on ${log.name} holds other content than its name says`,
    {
      hint: 'move that folder aside; nothing else was changed',
    },
  )
}

function hex16(value: bigint): string {
  return value.toString(16).padStart(16, '0')
}

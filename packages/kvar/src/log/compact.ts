import { KvarError } from '../errors.ts'
import type { LtxHeader } from '../formats/ltx.ts'
import { compactLtx } from '../formats/ltx-compact.ts'
import { readLtx } from '../formats/ltx-decoder.ts'
import { sleep } from '../platform/clock.ts'
import type { Platform } from '../platform/platform.ts'
import { type ObjectBody, throwIfCancelled } from '../targets/target.ts'
import {
  countWithin,
  INPUT_LIMITS,
  type InputLimits,
  type OpenedInput,
  openInputs,
} from './compact-inputs.ts'
import { fileKey, type LogFile, SNAPSHOT_LEVEL, versionKey } from './log-layout.ts'
import { passing } from './passing.ts'
import type { CompactionStep } from './retain-plan.ts'
import { snapshotFromLog } from './snapshot.ts'
import type { VersionLog } from './version-log.ts'

/** After this many bytes other tasks of the process get their turn. */
const TURN_BYTES = 1024 * 1024

export interface CompactOptions {
  log: VersionLog
  step: CompactionStep
  platform: Platform
  /** A path that is free for a database image; only used where the page size changed. Nothing stays there. */
  scratchPath: string
  /** A version's bytes, if they are still in memory. */
  recent?: (version: number) => Uint8Array | undefined
  limits?: InputLimits
  signal?: AbortSignal
}

/**
 * `stored`: the range or snapshot is there, made now or before. It ends earlier than asked where the limits
 * allowed no more; the next one begins with it. `barrier`: the page size changes after that version, so no
 * range can reach across it. `headers` are those of the files that were read.
 */
export type Compacted =
  | { kind: 'stored'; file: LogFile; headers: Array<[LogFile, LtxHeader]> }
  | { kind: 'barrier'; version: number }

/**
 * Makes one range or snapshot out of files of the log itself, and stores it there if it is not there yet. It
 * repeats what the log holds and extends nothing (LTX.md, rule 10); every input is verified to its end, and a
 * snapshot against the database checksum of its version, before the target accepts it (R6).
 *
 * @throws KvarError `LOG_BROKEN` when an input is gone, `DAMAGED` when one cannot be true
 */
export async function storeCompaction(options: CompactOptions): Promise<Compacted> {
  const { log, step, limits = INPUT_LIMITS, signal } = options
  const files = step.inputs.slice(0, countWithin(step.inputs, limits))
  const inputs = await openInputs(log, files, limits, options.recent ?? (() => undefined), signal)
  const barrier = barrierIn(inputs)
  if (barrier !== undefined && step.level !== SNAPSHOT_LEVEL) return { kind: 'barrier', version: barrier }
  if (barrier !== undefined) return { kind: 'stored', file: await storeImage(options), headers: [] }
  const last = (inputs.at(-1) as OpenedInput).header
  const range = { minVersion: step.minVersion, maxVersion: last.maxVersion }
  const key = fileKey(log.target, step.level, range.minVersion, range.maxVersion, log.prefix)
  const body = await bodyOf(inputs, limits, options)
  await log.target.create(key, body, { modifiedAtMs: last.timestampMs, ...passing(signal) })
  const { length: sizeBytes } = body instanceof Uint8Array ? body : { length: body.sizeBytes }
  const file = { key, level: step.level, ...range, sizeBytes, modifiedAtMs: last.timestampMs }
  return { kind: 'stored', file, headers: inputs.map((input) => [input.file, input.header]) }
}

/**
 * Reads a range back before what it stands for is removed: its own checksum, and the database checksum of
 * its last version where that one's own file still tells it.
 *
 * @throws KvarError `DAMAGED` or `LOG_BROKEN`: then nothing may be removed for its sake
 */
export async function proveRange(log: VersionLog, file: LogFile, signal?: AbortSignal): Promise<void> {
  const name = log.objectName(file.key)
  const stream = await log.target.read(file.key, passing(signal))
  if (stream === undefined) {
    throw new KvarError('LOG_BROKEN', `"${name}" is not there any more`, { data: { key: file.key } })
  }
  const header = await readLtx(stream, name, {})
  const own = await log.readHeader(versionKey(log.target, file.maxVersion, log.prefix), passing(signal))
  const recorded = own?.databaseChecksum
  if (recorded === undefined || recorded === header.databaseChecksum) return
  throw new KvarError(
    'DAMAGED',
    `"${name}" does not end with what version ${file.maxVersion} tells of itself`,
    {
      hint: 'nothing was removed; look at the target with kvar verify',
      data: { key: file.key },
    },
  )
}

/** The last version before the page size changes. */
function barrierIn(inputs: OpenedInput[]): number | undefined {
  const changed = inputs.findLastIndex(
    ({ header }, index) => index > 0 && header.pageSize !== inputs[index - 1]?.header.pageSize,
  )
  return changed === -1 ? undefined : inputs[changed - 1]?.header.maxVersion
}

/** Across a change of the page size the pages are put together on disk. */
async function storeImage({ log, step, platform, scratchPath, signal }: CompactOptions): Promise<LogFile> {
  const version = step.maxVersion
  await snapshotFromLog({ log, version, platform, scratchPath, ...passing(signal) })
  const key = fileKey(log.target, step.level, 1, version, log.prefix)
  for await (const entry of log.target.list(key, passing(signal))) {
    if (entry.key === key) return { ...entry, level: step.level, minVersion: 1, maxVersion: version }
  }
  throw new KvarError('LOG_BROKEN', `"${log.objectName(key)}" vanished just after it was stored`)
}

/** Small results stand in memory; of a large one only the size is found out first (docs/decisions/022). */
async function bodyOf(
  inputs: OpenedInput[],
  limits: InputLimits,
  { platform, signal }: CompactOptions,
): Promise<ObjectBody> {
  const inputBytes = inputs.reduce((sum, { file }) => sum + file.sizeBytes, 0)
  const chunks: Uint8Array[] = []
  let [sizeBytes, nextTurn] = [0, TURN_BYTES]
  for await (const chunk of compactLtx(inputs)) {
    if (inputBytes <= limits.memoryBytes) chunks.push(chunk)
    sizeBytes += chunk.length
    if (sizeBytes < nextTurn) continue
    nextTurn += TURN_BYTES
    throwIfCancelled(signal)
    await sleep(platform.clock, 0, signal)
  }
  if (inputBytes <= limits.memoryBytes) return Buffer.concat(chunks)
  return { sizeBytes, open: () => compactLtx(inputs) }
}

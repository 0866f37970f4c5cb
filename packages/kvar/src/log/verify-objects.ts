import { KvarError } from '../errors.ts'
import {
  damagedLtx,
  LTX_CHECKSUM_FLAG,
  LTX_HEADER_BYTES,
  LTX_TRAILER_BYTES,
  type LtxHeader,
} from '../formats/ltx.ts'
import { throwIfCancelled } from '../targets/target.ts'
import type { LogFile } from './log-layout.ts'
import { passing } from './passing.ts'
import type { VersionLog } from './version-log.ts'

/*
 * The structure of version files, by a few bytes of each: the header, and the end
 *
 *   …  8  length of the index       -16  8  zero       -8  8  file checksum, top bit set
 */

/** Objects looked at side by side. */
const AT_ONCE = 8
const END_BYTES = 8 + LTX_TRAILER_BYTES
/** Header, end of pages, an empty index and the end. */
const SMALLEST_BYTES = LTX_HEADER_BYTES + 6 + 1 + END_BYTES

export interface LookedAt {
  file: LogFile
  header: LtxHeader | undefined
  fault: KvarError | undefined
}

/**
 * Looks at beginning and end of every file. A file that vanished meanwhile (retention) is passed over.
 *
 * @throws what the target throws, when it cannot be read at all
 */
export async function* lookAtFiles(
  log: VersionLog,
  files: LogFile[],
  signal?: AbortSignal,
): AsyncGenerator<LookedAt> {
  for (let start = 0; start < files.length; start += AT_ONCE) {
    throwIfCancelled(signal)
    const some = files.slice(start, start + AT_ONCE).map((file) => lookAtFile(log, file, signal))
    for (const looked of await Promise.all(some)) if (looked !== undefined) yield looked
  }
}

async function lookAtFile(
  log: VersionLog,
  file: LogFile,
  signal?: AbortSignal,
): Promise<LookedAt | undefined> {
  const seen: LookedAt = { file, header: undefined, fault: undefined }
  try {
    seen.header = await log.readHeader(file.key, passing(signal))
    if (seen.header === undefined)
      return (await isListed(log, file, signal)) ? lostFile(log, seen) : undefined
    if (log.target.capabilities.rangeRead) await assertEnd(log, file, signal)
    return seen
  } catch (thrown) {
    if (!(thrown instanceof KvarError) || thrown.code !== 'DAMAGED') throw thrown
    return { ...seen, fault: thrown }
  }
}

async function assertEnd(log: VersionLog, file: LogFile, signal?: AbortSignal): Promise<void> {
  const name = log.objectName(file.key)
  if (file.sizeBytes < SMALLEST_BYTES) throw damagedLtx(name, `it has only ${file.sizeBytes} bytes`)
  const range = { offset: file.sizeBytes - END_BYTES, length: END_BYTES }
  const stream = await log.target.read(file.key, { range, ...passing(signal) })
  if (stream === undefined) return
  const chunks: Uint8Array[] = []
  for await (const chunk of stream) chunks.push(chunk)
  const bytes = Buffer.concat(chunks)
  if (bytes.length !== END_BYTES) throw damagedLtx(name, 'it is shorter than its listing says')
  const index = bytes.readBigUInt64BE(0)
  if (index < 1n || index > BigInt(file.sizeBytes - LTX_HEADER_BYTES - END_BYTES))
    throw damagedLtx(name, 'its end tells of an index that does not fit into it')
  if (bytes.readBigUInt64BE(8) !== 0n) throw damagedLtx(name, 'its trailer is none')
  if ((bytes.readBigUInt64BE(16) & LTX_CHECKSUM_FLAG) === 0n)
    throw damagedLtx(name, 'it ends without a checksum')
}

async function isListed(log: VersionLog, file: LogFile, signal?: AbortSignal): Promise<boolean> {
  for await (const entry of log.target.list(file.key, passing(signal)))
    if (entry.key === file.key) return true
  return false
}

function lostFile(log: VersionLog, seen: LookedAt): LookedAt {
  const name = log.objectName(seen.file.key)
  return { ...seen, fault: damagedLtx(name, 'it is listed but cannot be read') }
}

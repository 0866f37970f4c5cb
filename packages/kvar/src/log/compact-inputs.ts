import { KvarError } from '../errors.ts'
import { type LtxHeader, parseLtxHeader } from '../formats/ltx.ts'
import type { CompactInput } from '../formats/ltx-compact.ts'
import { readAll } from '../targets/target.ts'
import { type LogFile, VERSION_LEVEL } from './log-layout.ts'
import { passing } from './passing.ts'
import type { VersionLog } from './version-log.ts'

export interface InputLimits {
  /** Files read by one compaction; what is beyond is left for the next one. */
  files: number
  /** Files up to this size are read into memory, so that no connection stays open for them … */
  smallBytes: number
  /** … at most so much of them at a time. */
  memoryBytes: number
  /** Larger ones are read side by side, each over a connection of its own. */
  streams: number
}

const MIB = 1024 * 1024
export const INPUT_LIMITS: InputLimits = {
  files: 512,
  smallBytes: MIB,
  memoryBytes: 32 * MIB,
  streams: 8,
}

/** A file that can be merged, with what its header says. */
export interface OpenedInput extends CompactInput {
  file: LogFile
  header: LtxHeader
}

/** How many of the files, from the first on, one compaction may take. */
export function countWithin(files: LogFile[], limits: InputLimits): number {
  let [memoryBytes, streams] = [0, 0]
  for (const [index, file] of files.entries()) {
    if (file.sizeBytes <= limits.smallBytes) memoryBytes += file.sizeBytes
    else streams++
    const isTooMuch = memoryBytes > limits.memoryBytes || streams > limits.streams || index >= limits.files
    if (isTooMuch && index >= 2) return index
  }
  return files.length
}

/**
 * Opens the files of one compaction: small ones from memory, some at a time, large ones as streams.
 *
 * @param recent a version's bytes, if they are still in memory
 * @throws KvarError `LOG_BROKEN` when a file is not there any more
 */
export async function openInputs(
  log: VersionLog,
  files: LogFile[],
  limits: InputLimits,
  recent: (version: number) => Uint8Array | undefined,
  signal?: AbortSignal,
): Promise<OpenedInput[]> {
  const opened: OpenedInput[] = []
  for (let start = 0; start < files.length; start += limits.streams) {
    const some = files.slice(start, start + limits.streams)
    opened.push(...(await Promise.all(some.map((file) => openInput(log, file, limits, recent, signal)))))
  }
  return opened
}

async function openInput(
  log: VersionLog,
  file: LogFile,
  limits: InputLimits,
  recent: (version: number) => Uint8Array | undefined,
  signal?: AbortSignal,
): Promise<OpenedInput> {
  const name = log.objectName(file.key)
  if (file.sizeBytes > limits.smallBytes) return openLarge(log, file, signal)
  const held = file.level === VERSION_LEVEL ? recent(file.maxVersion) : undefined
  const bytes = held ?? (await readAll(log.target, file.key, passing(signal)))
  if (bytes === undefined) throw vanished(log, file)
  return { file, name, header: parseLtxHeader(bytes, name), open: () => [bytes] }
}

async function openLarge(log: VersionLog, file: LogFile, signal?: AbortSignal): Promise<OpenedInput> {
  const header = await log.readHeader(file.key, passing(signal))
  if (header === undefined) throw vanished(log, file)
  return {
    ...{ file, header, name: log.objectName(file.key) },
    async *open() {
      const stream = await log.target.read(file.key, passing(signal))
      if (stream === undefined) throw vanished(log, file)
      yield* stream
    },
  }
}

function vanished(log: VersionLog, file: LogFile): KvarError {
  return new KvarError('LOG_BROKEN', `"${log.objectName(file.key)}" is not there any more`, {
    hint: 'the log is looked at anew; nothing was removed',
    data: { key: file.key },
  })
}

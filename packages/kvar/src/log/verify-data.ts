import { KvarError } from '../errors.ts'
import { lockPageNumber } from '../formats/database-header.ts'
import { damagedLtx, type LtxHeader } from '../formats/ltx.ts'
import { readLtx } from '../formats/ltx-decoder.ts'
import { addChecksum, pageChecksum, subtractChecksum } from '../formats/page-checksum.ts'
import { throwIfCancelled } from '../targets/target.ts'
import type { LogFile } from './log-layout.ts'
import { passing } from './passing.ts'
import type { VersionLog } from './version-log.ts'

/** What reading one file to its end told. */
export interface ReadThrough {
  file: LogFile
  fault: { kind: 'damaged' | 'wrong-content'; error: KvarError } | undefined
}

/**
 * Reads every file of a log to its end: all checksums of the file, and whether the pages make the
 * version that its header says. It walks along the log with a table of page checksums instead of a
 * database: 8 bytes a page are all the memory and no disk is needed. At each version that the walk
 * comes by, every range and snapshot that begins there is held against what it says, too.
 *
 * @param files as listed; damaged ones are found again
 * @throws what the target throws, when it cannot be read at all
 */
export async function* readThroughLog(options: {
  log: VersionLog
  files: LogFile[]
  onBytes: (bytes: number) => void
  signal?: AbortSignal
}): AsyncGenerator<ReadThrough> {
  const left = new Set(options.files)
  let state = new VersionState()
  while (left.size > 0) {
    throwIfCancelled(options.signal)
    const here = [...left].filter((file) => followsFrom(file, state.version))
    const step = nextStep(here)
    if (step === undefined) break
    // The walk takes the shortest step, so that it comes by as many versions as possible.
    const walked = await readThrough(options, step, state)
    left.delete(step)
    if (walked.after !== undefined) {
      for (const other of here) {
        // A snapshot of a later version is a way to go on, should the next file be damaged.
        if (other === step || (other.minVersion === 1 && step.minVersion !== 1)) continue
        yield await readThrough(options, other, state)
        left.delete(other)
      }
      state = walked.after
    }
    yield walked
  }
  // What no version leads to: at least the files themselves can be checked.
  for (const file of left) yield await readThrough(options, file, undefined)
}

function followsFrom(file: LogFile, version: number): boolean {
  return file.maxVersion > version && (file.minVersion === 1 || (version > 0 && file.minVersion - 1 <= version))
}

function nextStep(files: LogFile[]): LogFile | undefined {
  return files.reduce<LogFile | undefined>(
    (best, file) => (best === undefined || isShorter(file, best) ? file : best),
    undefined,
  )
}

function isShorter(a: LogFile, b: LogFile): boolean {
  return a.maxVersion - b.maxVersion < 0 || (a.maxVersion === b.maxVersion && a.minVersion > b.minVersion)
}

/** The page checksums of one version. */
class VersionState {
  version = 0
  pageSize = 0
  pageCount = 0
  sum = 0n
  checksums = new BigUint64Array(0)
}

/** The pages of one file, as checksums, in the order of the file. */
class ReadPages {
  numbers = new Uint32Array(64)
  checksums = new BigUint64Array(64)
  count = 0

  add(pageNumber: number, checksum: bigint): void {
    if (this.count === this.numbers.length) {
      this.numbers = grown(this.numbers, new Uint32Array(this.count * 2))
      this.checksums = grown(this.checksums, new BigUint64Array(this.count * 2))
    }
    this.numbers[this.count] = pageNumber
    this.checksums[this.count++] = checksum
  }
}

function grown<T extends { set(from: T): void }>(from: T, to: T): T {
  to.set(from)
  return to
}

/** @param from the version it is applied to; undefined when none leads to it */
async function readThrough(
  { log, onBytes, signal }: { log: VersionLog; onBytes: (bytes: number) => void; signal?: AbortSignal },
  file: LogFile,
  from: VersionState | undefined,
): Promise<ReadThrough & { after: VersionState | undefined }> {
  const name = log.objectName(file.key)
  try {
    const stream = await log.target.read(file.key, passing(signal))
    // Retention by somebody else: nothing to be said of it.
    if (stream === undefined) return { file, fault: undefined, after: undefined }
    const pages = new ReadPages()
    const header = await readLtx(counted(stream, onBytes, signal), name, {
      page: (pageNumber, page) => pages.add(pageNumber, pageChecksum(pageNumber, page)),
    })
    if (from === undefined && file.minVersion !== 1) return { file, fault: undefined, after: undefined }
    const after = applied(from ?? new VersionState(), header, pages)
    const fault = contentFault(header, after, name)
    return { file, fault, after: fault === undefined ? after : undefined }
  } catch (thrown) {
    if (!(thrown instanceof KvarError) || thrown.code !== 'DAMAGED') throw thrown
    return { file, fault: { kind: 'damaged', error: thrown }, after: undefined }
  }
}

/** The state after a file, in a table of its own: the one before is still needed by other files. */
function applied(from: VersionState, header: LtxHeader, pages: ReadPages): VersionState {
  const anew = header.minVersion === 1 || header.pageSize !== from.pageSize
  const after = new VersionState()
  after.version = header.maxVersion
  after.pageSize = header.pageSize
  after.pageCount = header.pageCount
  after.checksums = new BigUint64Array(header.pageCount)
  if (!anew) after.checksums.set(from.checksums.subarray(0, header.pageCount))
  after.sum = anew ? 0n : from.sum
  for (let index = header.pageCount; !anew && index < from.pageCount; index++)
    after.sum = subtractChecksum(after.sum, from.checksums[index] as bigint)
  for (let place = 0; place < pages.count; place++) {
    const index = (pages.numbers[place] as number) - 1
    const checksum = pages.checksums[place] as bigint
    after.sum = addChecksum(subtractChecksum(after.sum, after.checksums[index] as bigint), checksum)
    after.checksums[index] = checksum
  }
  return after
}

function contentFault(header: LtxHeader, after: VersionState, name: string): ReadThrough['fault'] {
  const lockPage = lockPageNumber(after.pageSize)
  const missing = after.checksums.findIndex((checksum, index) => checksum === 0n && index + 1 !== lockPage)
  if (missing >= 0) {
    const error = damagedLtx(name, `the database grew by page ${missing + 1}, which the file lacks`)
    return { kind: 'wrong-content', error }
  }
  if (header.databaseChecksum === undefined || header.databaseChecksum === after.sum) return undefined
  const sentence = `it does not make the version ${header.maxVersion} that was captured`
  return { kind: 'wrong-content', error: damagedLtx(name, sentence) }
}

async function* counted(
  stream: AsyncIterable<Uint8Array>,
  onBytes: (bytes: number) => void,
  signal?: AbortSignal,
): AsyncGenerator<Uint8Array> {
  for await (const chunk of stream) {
    throwIfCancelled(signal)
    onBytes(chunk.length)
    yield chunk
  }
}

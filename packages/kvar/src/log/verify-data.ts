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
  const waiting = new WaitingFiles(options.files)
  let state = new VersionState()
  for (;;) {
    throwIfCancelled(options.signal)
    const here = waiting.following(state.version)
    const step = nextStep(here)
    if (step === undefined) break
    // The walk takes the shortest step, so that it comes by as many versions as possible.
    const walked = await readThrough(options, step, state)
    waiting.done(step)
    if (walked.after !== undefined) {
      for (const other of here) {
        // A snapshot of a later version is a way to go on, should a file before it be damaged.
        if (other === step || other.minVersion === 1) continue
        yield await readThrough(options, other, state)
        waiting.done(other)
      }
      state = walked.after
    }
    yield walked
  }
  // Snapshots that the walk has passed, and what no version leads to: the files can be checked all the same.
  for (const file of waiting.rest()) yield await readThrough(options, file, undefined)
}

/** The fault of one file by its own checksums alone; undefined when it is sound. */
export async function readThroughFile(
  log: VersionLog,
  file: LogFile,
  signal?: AbortSignal,
): Promise<KvarError | undefined> {
  const { fault } = await readThrough({ log, onBytes: () => undefined, ...passing(signal) }, file, undefined)
  return fault?.error
}

/** Files not read yet, found by the version they can be applied to. */
class WaitingFiles {
  readonly #byBegin: LogFile[]
  readonly #open = new Set<LogFile>()
  readonly #passed: LogFile[] = []
  #next = 0

  constructor(files: LogFile[]) {
    this.#byBegin = [...files].sort((a, b) => a.minVersion - b.minVersion || a.maxVersion - b.maxVersion)
  }

  /** What leads on from a version; asked for with growing versions. */
  following(version: number): LogFile[] {
    for (; this.#next < this.#byBegin.length; this.#next++) {
      const file = this.#byBegin[this.#next] as LogFile
      if (file.minVersion - 1 > version) break
      this.#open.add(file)
    }
    for (const file of this.#open) {
      if (file.maxVersion > version) continue
      this.#open.delete(file)
      this.#passed.push(file)
    }
    return [...this.#open]
  }

  done(file: LogFile): void {
    this.#open.delete(file)
  }

  rest(): LogFile[] {
    return [...this.#passed, ...this.#open, ...this.#byBegin.slice(this.#next)]
  }
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
  /** Pages that the version before had: those after them must have come with the last file. */
  wholeBefore = 0
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
  after.wholeBefore = anew ? 0 : Math.min(from.pageCount, header.pageCount)
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
  for (let index = after.wholeBefore; index < after.pageCount; index++) {
    if (after.checksums[index] !== 0n || index + 1 === lockPage) continue
    const error = damagedLtx(name, `the database grew by page ${index + 1}, which the file lacks`)
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

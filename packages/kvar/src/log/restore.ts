import { KvarError } from '../errors.ts'
import type { LtxHeader } from '../formats/ltx.ts'
import { readLtx } from '../formats/ltx-decoder.ts'
import { LtxParser } from '../formats/ltx-parser.ts'
import type { OpenFile } from '../platform/files.ts'
import type { Platform } from '../platform/platform.ts'
import { throwIfCancelled } from '../targets/target.ts'
import { ImageWriter } from './image-writer.ts'
import { type LogFile, VERSION_LEVEL } from './log-layout.ts'
import { FrameBatches, type PageCrew, startPageCrew } from './page-crew.ts'
import { checksumImage } from './page-source.ts'
import { passing } from './passing.ts'
import { type OpenedFile, readAhead } from './read-ahead.ts'
import { newestReachable, planRestore, type RestorePlan } from './restore-plan.ts'
import type { VersionLog } from './version-log.ts'

export interface RestoreToFileOptions {
  log: VersionLog
  plan: RestorePlan
  /** A new file beside the database, on the same file system. Removed again when the restore fails. */
  path: string
  platform: Platform
  onProgress?: (progress: RestoreProgress) => void
  signal?: AbortSignal
}

export interface RestoreProgress {
  bytesDone: number
  bytesTotal: number
}

/** A whole database file, checked and synced, and what it was made of. */
export interface RestoredImage {
  version: number
  timestampMs: number
  pageSize: number
  pageCount: number
  databaseChecksum: bigint
  /** Index: page number - 1; zero at the lock page. */
  pageChecksums: BigUint64Array
  bytesRead: number
  objectsRead: number
  /** Damaged files of the log that could be done without. */
  damagedKeys: string[]
}

/** How often a plan is made anew because a file had gone (retention by somebody else) or was damaged. */
const MAX_NEW_PLANS = 3

/**
 * Makes a database file out of a log: all or nothing. Every file's checksum is verified, then the
 * written file is read back and its database checksum compared with what the version's own header
 * says. A damaged or vanished file is worked around if another way leads to the same version.
 *
 * @throws KvarError `DAMAGED` or `LOG_BROKEN` naming the file and the nearest good version
 *
 * @example
 * const plan = await log.plan({ kind: 'latest' })
 * const image = await restoreToFile({ log, plan, path: 'app.db.restoring', platform })
 */
export async function restoreToFile(options: RestoreToFileOptions): Promise<RestoredImage> {
  const damaged = new Set<string>()
  let plan = options.plan
  for (let tries = 0; ; tries++) {
    try {
      const image = await restoreOnce({ ...options, plan })
      return { ...image, damagedKeys: [...damaged] }
    } catch (thrown) {
      await options.platform.files.remove(options.path)
      if (!(thrown instanceof FileTrouble)) throw thrown
      if (tries === MAX_NEW_PLANS) throw thrown.error
      plan = await planAround(thrown, plan, damaged, options)
    }
  }
}

/** A trouble that lies in files of the log, so that another plan may do without them. */
class FileTrouble extends Error {
  readonly error: KvarError
  readonly files: LogFile[]

  constructor(error: KvarError, files: LogFile[]) {
    super(error.message)
    this.error = error
    this.files = files
  }
}

/** Vanished files are gone from a new listing too; damaged ones have to be left out by us. */
async function planAround(
  trouble: FileTrouble,
  plan: RestorePlan,
  damaged: Set<string>,
  options: RestoreToFileOptions,
): Promise<RestorePlan> {
  const { log } = options
  const vanished = trouble.error.code === 'LOG_BROKEN'
  if (!vanished) for (const file of trouble.files) damaged.add(file.key)
  const files = (await log.listFiles(passing(options.signal))).filter((file) => !damaged.has(file.key))
  const latest = vanished && plan.want.kind === 'latest'
  try {
    const around = planRestore(
      files,
      latest ? plan.want : { kind: 'version', version: plan.version },
      log.name,
    )
    // Where the newest file itself vanished, an older version must not pass for the newest.
    if (around.version >= plan.version) return { ...around, want: plan.want }
  } catch (thrown) {
    if (!(thrown instanceof KvarError)) throw thrown
  }
  throw withNearest(trouble.error, newestReachable(files, plan.version - 1))
}

function withNearest(error: KvarError, nearest: number): KvarError {
  return new KvarError(error.code, error.message, {
    hint:
      nearest === 0 ? 'try another target' : `version ${nearest} is the nearest that can be restored here`,
    data: { ...error.data, nearestVersion: nearest },
    cause: error,
  })
}

type Checked = Omit<RestoredImage, 'damagedKeys'>

async function restoreOnce(options: RestoreToFileOptions): Promise<Checked> {
  const { plan, path, platform, signal } = options
  const file = platform.files.openSync(path, 'createNew')
  const crew = startPageCrew(platform, plan.totalBytes)
  try {
    const header = await applyFiles(options, file, crew)
    const { pageSize, pageCount, timestampMs } = header
    // The disk writes while the processors read back: what a later read would find is what they see.
    const synced = file.sync()
    synced.catch(() => {})
    const sums = await checksumImage({ platform, path, pageSize, pageCount }, signal, crew)
    await synced
    await assertRecorded(options, header, sums.databaseChecksum)
    const counts = { bytesRead: plan.totalBytes, objectsRead: plan.files.length }
    return { version: plan.version, timestampMs, pageSize, pageCount, ...sums, ...counts }
  } finally {
    await crew?.close()
    file.closeSync()
  }
}

async function applyFiles(
  options: RestoreToFileOptions,
  file: OpenFile,
  crew: PageCrew | undefined,
): Promise<LtxHeader> {
  const { log, plan, signal } = options
  const progress = { bytesDone: 0, bytesTotal: plan.totalBytes }
  const count = (bytes: number) => {
    throwIfCancelled(signal)
    progress.bytesDone += bytes
    options.onProgress?.({ ...progress })
  }
  const writer = new ImageWriter(file)
  let last: LtxHeader | undefined
  for await (const opened of readAhead(log, plan.files, signal)) {
    // Small files came whole: handing them round would take longer than applying them.
    const hands = Array.isArray(opened.bytes) ? undefined : crew
    last = await applyFile(options, writer, opened, count, hands)
  }
  if (last === undefined) throw new KvarError('ASSERTION', 'Kvar contradicts itself: a plan without files')
  return last
}

async function applyFile(
  { log, path }: RestoreToFileOptions,
  writer: ImageWriter,
  { file, bytes }: OpenedFile,
  count: (bytes: number) => void,
  crew: PageCrew | undefined,
): Promise<LtxHeader> {
  const name = log.objectName(file.key)
  if (bytes === undefined) throw new FileTrouble(vanished(file, log), [file])
  try {
    const source = counted(bytes, count)
    const header =
      crew === undefined
        ? await readLtx(source, name, {
            header: (found) => writer.begin(found, name),
            page: (pageNumber, page) => writer.page(pageNumber, page),
          })
        : await applyByCrew({ source, name, path, writer, crew })
    writer.end()
    return header
  } catch (thrown) {
    if (!(thrown instanceof KvarError) || thrown.code !== 'DAMAGED') throw thrown
    const data = { ...thrown.data, key: file.key, target: log.target.url }
    throw new FileTrouble(new KvarError('DAMAGED', thrown.message, { data, cause: thrown }), [file])
  }
}

/** One file by many hands: this thread reads and checks its structure, the crew inflates, sums and writes. */
async function applyByCrew(work: {
  source: AsyncIterable<Uint8Array>
  name: string
  path: string
  writer: ImageWriter
  crew: PageCrew
}): Promise<LtxHeader> {
  const { source, name, path, writer, crew } = work
  const parser = new LtxParser(name, 'leave')
  let batches: FrameBatches | undefined
  for await (const chunk of source) {
    parser.push(chunk)
    for (let found = parser.next(); found !== 'more'; found = parser.next()) {
      if (found === 'header') {
        writer.begin(parser.header, name)
        const { pageSize } = parser.header
        batches = new FrameBatches(crew, { path, name, pageSize }, (register, bytes) =>
          parser.joinFrames(register, bytes),
        )
      } else if (found === 'page') {
        writer.expect(parser.pageNumber)
        const full = batches?.add(parser.pageNumber, parser.block)
        if (full !== undefined) await full
      } else await batches?.finish()
    }
  }
  return parser.finish()
}

async function* counted(
  bytes: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  count: (bytes: number) => void,
): AsyncGenerator<Uint8Array> {
  for await (const chunk of bytes) {
    count(chunk.length)
    yield chunk
  }
}

/**
 * The version's own file at level 0 is the first witness, where it still exists: a range or snapshot
 * stored by mistake must not pass for a version whose own file says otherwise.
 */
async function assertRecorded(
  options: RestoreToFileOptions,
  header: LtxHeader,
  found: bigint,
): Promise<void> {
  const { log, plan, signal } = options
  const last = plan.files.at(-1) as LogFile
  const own =
    last.level === VERSION_LEVEL ? undefined : await log.readVersionInfo(plan.version, passing(signal))
  const recorded = [header.databaseChecksum, own?.databaseChecksum].filter((sum) => sum !== undefined)
  if (recorded.every((sum) => sum === found)) return
  const repeating = plan.files.filter((file) => file.level !== VERSION_LEVEL)
  const suspects = repeating.length > 0 ? repeating : [last]
  throw new FileTrouble(
    new KvarError('DAMAGED', `Version ${plan.version} on ${log.name} does not match its own checksum`, {
      data: { version: plan.version, keys: suspects.map((file) => file.key), key: last.key },
    }),
    suspects,
  )
}

function vanished(file: LogFile, log: VersionLog): KvarError {
  return new KvarError('LOG_BROKEN', `"${file.key}" on ${log.target.url} was listed but cannot be found`, {
    hint: 'try again, or restore from another target',
    data: { key: file.key, target: log.target.url },
  })
}

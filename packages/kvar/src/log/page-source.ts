import { lockPageNumber } from '../formats/database-header.ts'
import { addChecksum, pageChecksum, sumChecksums } from '../formats/page-checksum.ts'
import { sleep } from '../platform/clock.ts'
import type { OpenFile } from '../platform/files.ts'
import type { Platform } from '../platform/platform.ts'
import { throwIfCancelled } from '../targets/target.ts'
import { type PageCrew, sumByCrew } from './page-crew.ts'

/**
 * All pages of one version, for a snapshot or a branch. May be opened several times and yields the
 * same pages each time: 1 to `pageCount` in order, without the lock page. A yielded buffer is only
 * valid until the next one is asked for.
 */
export interface PageSource {
  pageSize: number
  pageCount: number
  /** What the recomputed checksum of the pages has to be. */
  databaseChecksum: bigint
  open(): AsyncIterable<readonly [number, Uint8Array]>
}

const CHUNK_BYTES = 1024 * 1024
/** After this much work other tasks of the process get their turn. */
const TURN_BYTES = 4 * 1024 * 1024

interface ImageFile {
  platform: Platform
  /** A database file that nobody else writes to, such as a restored image. Never the live database. */
  path: string
  pageSize: number
  pageCount: number
}

/** The pages of a private database file as a source. */
export function imageSource(image: ImageFile & { databaseChecksum: bigint }): PageSource {
  const { pageSize, pageCount, databaseChecksum } = image
  return { pageSize, pageCount, databaseChecksum, open: () => readPages(image) }
}

/**
 * The checksum of every page of a file (index = page number - 1, zero at the lock page) and their sum.
 *
 * @param crew threads to share the work with, if the caller has some
 */
export async function checksumImage(
  image: ImageFile,
  signal?: AbortSignal,
  crew?: PageCrew,
): Promise<{ databaseChecksum: bigint; pageChecksums: BigUint64Array }> {
  if (crew !== undefined) {
    const pageChecksums = await sumByCrew(crew, image, () => throwIfCancelled(signal))
    return { databaseChecksum: sumChecksums(pageChecksums), pageChecksums }
  }
  const pageChecksums = new BigUint64Array(image.pageCount)
  let databaseChecksum = 0n
  for await (const [pageNumber, page] of readPages(image, signal)) {
    const checksum = pageChecksum(pageNumber, page)
    pageChecksums[pageNumber - 1] = checksum
    databaseChecksum = addChecksum(databaseChecksum, checksum)
  }
  return { databaseChecksum, pageChecksums }
}

async function* readPages(
  image: ImageFile,
  signal?: AbortSignal,
): AsyncGenerator<readonly [number, Uint8Array]> {
  const { platform, pageSize, pageCount } = image
  const lockPage = lockPageNumber(pageSize)
  const chunk = new Uint8Array(Math.max(pageSize, CHUNK_BYTES))
  const file = platform.files.openSync(image.path, 'read')
  try {
    for (let first = 1; first <= pageCount; first += chunk.length / pageSize) {
      await takeTurns(platform, first * pageSize, chunk.length, signal)
      fill(file, chunk, first, pageSize)
      const last = Math.min(pageCount, first + chunk.length / pageSize - 1)
      for (let n = first; n <= last; n++) {
        if (n !== lockPage) yield [n, chunk.subarray((n - first) * pageSize, (n - first + 1) * pageSize)]
      }
    }
  } finally {
    file.closeSync()
  }
}

/** A file that ends early is read as zeros: the checksum then tells, not the length. */
function fill(file: OpenFile, chunk: Uint8Array, firstPage: number, pageSize: number): void {
  const count = file.readSync(chunk, (firstPage - 1) * pageSize)
  chunk.fill(0, count)
}

async function takeTurns(
  platform: Platform,
  offset: number,
  stepBytes: number,
  signal?: AbortSignal,
): Promise<void> {
  throwIfCancelled(signal)
  if (offset % TURN_BYTES < stepBytes && offset > stepBytes) await sleep(platform.clock, 0, signal)
}

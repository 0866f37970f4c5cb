import { KvarError } from '../errors.ts'
import { lockPageNumber } from '../formats/database-header.ts'
import type { OpenFile } from '../platform/files.ts'
import type { Platform } from '../platform/platform.ts'
import type { CaptureLoop } from './capture-loop.ts'

/** Pages copied between two moments in which looks and cuts may go on. */
const SLICE_PAGES = 1024
const DRIFT_SLICE_BYTES = 1024 * 1024
/** Passes after which an app that writes without pause wins; each pass copies only what changed since the last. */
const PASS_LIMIT = 200

/** A private file that shows exactly one captured state. */
export interface Image {
  path: string
  pageSize: number
  pageCount: number
  databaseChecksum: bigint
}

/**
 * Copies the captured state of the database into a file of ours, page by page, each one checked
 * against the page table, so it takes no lock on the live database. Pages that change meanwhile are
 * copied again, until the file and the table agree; in that same moment `settle` runs, so that it
 * can give the state a version.
 *
 * @throws KvarError `HELD` when the database never stands still long enough
 */
export async function writeImage<T>(options: {
  loop: CaptureLoop
  path: string
  platform: Platform
  settle: (image: Image) => Promise<T | undefined>
}): Promise<T> {
  const { loop, path, platform } = options
  // The image before became the `.backup`. On a file system without a journal a power cut may leave that
  // file under both names, and what is emptied here would be emptied there.
  await platform.files.remove(path)
  const file = platform.files.openSync(path, 'create')
  const copied: bigint[] = []
  try {
    for (let pass = 0; pass < PASS_LIMIT; pass++) {
      const { sequence } = loop.capture
      await copyChangedPages(loop, file, copied, platform)
      const settled = await loop.exclusively(async () => {
        const image = agreeing(loop, copied, path)
        if (image === undefined) return undefined
        file.truncateSync(image.pageCount * image.pageSize)
        return options.settle(image)
      })
      if (settled !== undefined) return settled
      await loop.lookNow()
      // Nothing was committed, and yet file and table do not agree: pages have drifted (R6).
      if (loop.capture.sequence === sequence) await takeInDrift(loop, platform)
    }
  } finally {
    file.closeSync()
  }
  throw new KvarError('HELD', 'The database changed too fast to be copied', {
    hint: 'it is tried again later',
  })
}

/** A scrub without pauses, because somebody waits for the image. */
async function takeInDrift(loop: CaptureLoop, platform: Platform): Promise<void> {
  for (let next = 1; next > 0; ) {
    const slice = await loop.checkPages(next, DRIFT_SLICE_BYTES)
    if (slice.kind !== 'checked') return
    next = slice.next
    await platform.clock.turn()
  }
}

async function copyChangedPages(
  loop: CaptureLoop,
  file: OpenFile,
  copied: bigint[],
  platform: Platform,
): Promise<void> {
  for (let next = 1; next > 0; ) {
    next = await loop.exclusively(() => copySlice(loop, file, copied, next))
    await platform.clock.turn()
  }
}

/** Copies up to a slice of pages that differ from the table; answers where to go on, 0 at the end. */
function copySlice(loop: CaptureLoop, file: OpenFile, copied: bigint[], first: number): number {
  const table = loop.capture.table
  if (table === undefined) return 0
  const lockPage = lockPageNumber(table.pageSize)
  let work = 0
  for (let pageNumber = first; pageNumber <= table.pageCount; pageNumber++) {
    const expected = table.get(pageNumber)
    if (copied[pageNumber] === expected || pageNumber === lockPage) continue
    if (work++ === SLICE_PAGES) return pageNumber
    const page = loop.capture.readPage(pageNumber)
    if (page === undefined) continue
    file.writeSync(page, (pageNumber - 1) * table.pageSize)
    copied[pageNumber] = expected
  }
  return 0
}

function agreeing(loop: CaptureLoop, copied: bigint[], path: string): Image | undefined {
  const { table, consistent } = loop.capture
  if (table === undefined || !consistent || table.pageCount === 0) return undefined
  const lockPage = lockPageNumber(table.pageSize)
  for (let pageNumber = 1; pageNumber <= table.pageCount; pageNumber++) {
    if (copied[pageNumber] !== table.get(pageNumber) && pageNumber !== lockPage) return undefined
  }
  const { pageSize, pageCount, databaseChecksum } = table
  return { path, pageSize, pageCount, databaseChecksum }
}

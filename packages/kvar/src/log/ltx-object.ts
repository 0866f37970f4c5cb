import { KvarError } from '../errors.ts'
import type { LtxHeader } from '../formats/ltx.ts'
import { LtxEncoder } from '../formats/ltx-encoder.ts'
import { addChecksum, pageChecksum } from '../formats/page-checksum.ts'
import { type ObjectSource, throwIfCancelled } from '../targets/target.ts'
import type { PageSource } from './page-source.ts'

const CHUNK_BYTES = 256 * 1024

/**
 * All pages of a version as one LTX file that is encoded while it is sent, so that neither memory
 * nor disk has to hold it. A target must know the size beforehand: a first pass encodes for the size
 * alone, and proves the pages' checksum before anything is stored. Each later pass proves it again
 * before the file's end, without which no target accepts the object.
 *
 * @throws KvarError `DAMAGED` when the pages are not those of the version
 */
export async function ltxObject(
  header: LtxHeader,
  pages: PageSource,
  signal?: AbortSignal,
): Promise<ObjectSource> {
  let sizeBytes = 0
  for await (const chunk of encode(header, pages)) {
    sizeBytes += chunk.length
    throwIfCancelled(signal)
  }
  return { sizeBytes, open: () => encode(header, pages) }
}

async function* encode(header: LtxHeader, pages: PageSource): AsyncGenerator<Uint8Array> {
  const encoder = new LtxEncoder(header)
  let parts = [encoder.start()]
  let [partBytes, sum] = [0, 0n]
  for await (const [pageNumber, page] of pages.open()) {
    sum = addChecksum(sum, pageChecksum(pageNumber, page))
    const part = encoder.page(pageNumber, page)
    parts.push(part)
    partBytes += part.length
    if (partBytes < CHUNK_BYTES) continue
    yield Buffer.concat(parts)
    parts = []
    partBytes = 0
  }
  assertChecksum(header, pages, sum)
  yield Buffer.concat([...parts, encoder.finish()])
}

function assertChecksum(header: LtxHeader, pages: PageSource, sum: bigint): void {
  if (sum === pages.databaseChecksum && sum === header.databaseChecksum) return
  throw new KvarError('DAMAGED', `The pages given for version ${header.maxVersion} are not that version’s`, {
    hint: 'nothing was stored; the database is compared anew',
    data: { version: header.maxVersion },
  })
}

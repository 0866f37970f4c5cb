import type { LtxHeader } from './ltx.ts'
import { LtxParser } from './ltx-parser.ts'

/** Gets what `readLtx` finds, in the order of the file: the header, then the pages, ascending. */
export interface LtxVisitor {
  header?(header: LtxHeader): void
  /** The buffer is only valid during the call. */
  page?(pageNumber: number, page: Uint8Array): void
}

/**
 * Reads a version file as a stream in the memory of one chunk and one page, verifying header, order,
 * sizes, index, file checksum and end. The visitor sees pages before the checksum at the end was
 * compared: what it gathers counts only once the promise is fulfilled.
 *
 * @param source the bytes of the file, in chunks of any size
 * @param name what errors call the file; a key on a target is also held against the header
 * @throws KvarError DAMAGED; errors of `source` and `visitor` pass unchanged
 * @example
 * await readLtx(stream, key, { page: (pageNumber, page) => file.writeSync(page, (pageNumber - 1) * page.length) })
 */
export async function readLtx(
  source: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
  name: string,
  visitor: LtxVisitor,
): Promise<LtxHeader> {
  const parser = new LtxParser(name)
  for await (const chunk of source) visitChunk(parser, chunk, visitor)
  return parser.finish()
}

/** The same for a whole file in memory; the pages are copies. */
export function decodeLtx(
  bytes: Uint8Array,
  name: string,
): { header: LtxHeader; pages: Map<number, Uint8Array> } {
  const parser = new LtxParser(name)
  const pages = new Map<number, Uint8Array>()
  visitChunk(parser, bytes, { page: (pageNumber, page) => pages.set(pageNumber, page.slice()) })
  return { header: parser.finish(), pages }
}

function visitChunk(parser: LtxParser, chunk: Uint8Array, visitor: LtxVisitor): void {
  parser.push(chunk)
  for (;;) {
    const found = parser.next()
    if (found === 'more') return
    if (found === 'header') visitor.header?.(parser.header)
    else visitor.page?.(parser.pageNumber, parser.page)
  }
}

import { assert, KvarError } from '../errors.ts'
import { lockPageNumber } from './database-header.ts'
import { damagedLtx, type LtxHeader } from './ltx.ts'
import { LtxEncoder, nextPage } from './ltx-encoder.ts'
import { LtxParser } from './ltx-parser.ts'
import { addChecksum, pageChecksum } from './page-checksum.ts'

export interface CompactInput {
  /** What errors call the file; a key on a target is also held against the header. */
  name: string
  open(): AsyncIterable<Uint8Array> | Iterable<Uint8Array>
}

/**
 * Merges version files, old to new, into one that has the same effect: of each page the newest image,
 * without pages beyond the last size. All inputs are read side by side, once, so memory is one chunk
 * and one page per input; the blocks are passed on as they were compressed.
 *
 * Every input is verified to its end before the last bytes come; a snapshot (inputs from version 1 on)
 * is also held against the database checksum of its last version. If the iteration throws, what came
 * before is worthless.
 *
 * @param inputs consecutive files of one page size; they may overlap
 * @throws KvarError LOG_BROKEN (the files do not follow each other, a page is in none), DAMAGED
 * @example
 * for await (const bytes of compactLtx([snapshot, delta])) append(bytes)
 */
export async function* compactLtx(
  inputs: readonly CompactInput[],
): AsyncGenerator<Uint8Array, void, undefined> {
  assert(inputs.length > 0, 'nothing is to be compacted')
  const cursors = inputs.map((input) => new Cursor(input))
  try {
    for (const cursor of cursors) await cursor.readHeader()
    yield* merge(cursors)
  } finally {
    for (const cursor of cursors) await cursor.close()
  }
}

async function* merge(cursors: Cursor[]): AsyncGenerator<Uint8Array, void, undefined> {
  const header = mergedHeader(cursors)
  const encoder = new LtxEncoder(header)
  const check = header.minVersion === 1 ? new SnapshotCheck(header, lastOf(cursors).name) : undefined
  yield encoder.start()
  for (const cursor of cursors) await cursor.advance()
  for (;;) {
    const newest = newestOfLowestPage(cursors)
    if (newest === undefined) break
    const { pageNumber, page, block } = newest.parser
    if (pageNumber <= header.pageCount) {
      check?.add(pageNumber, page)
      yield encoder.page(pageNumber, page, block)
    }
    for (const cursor of cursors) {
      if (cursor.hasPage && cursor.parser.pageNumber === pageNumber) await cursor.advance()
    }
  }
  check?.finish()
  yield encoder.finish()
}

function mergedHeader(cursors: Cursor[]): LtxHeader {
  for (let i = 1; i < cursors.length; i++) assertFollows(cursors[i - 1] as Cursor, cursors[i] as Cursor)
  const first = cursors[0] as Cursor
  return { ...lastOf(cursors).parser.header, minVersion: first.parser.header.minVersion }
}

function assertFollows(before: Cursor, after: Cursor): void {
  const [older, newer] = [before.parser.header, after.parser.header]
  if (older.pageSize !== newer.pageSize) {
    throw broken(after.name, `has pages of ${newer.pageSize} bytes, "${before.name}" of ${older.pageSize}`)
  }
  if (newer.minVersion > older.maxVersion + 1 || newer.maxVersion <= older.maxVersion) {
    throw broken(after.name, `does not follow "${before.name}"`)
  }
  if (older.lineage !== undefined && newer.lineage !== undefined && older.lineage !== newer.lineage) {
    throw broken(after.name, `belongs to another database than "${before.name}"`)
  }
}

/** Among the inputs that stand at the lowest page number, the last, because it is the newest. */
function newestOfLowestPage(cursors: Cursor[]): Cursor | undefined {
  let chosen: Cursor | undefined
  for (const cursor of cursors) {
    if (!cursor.hasPage) continue
    if (chosen === undefined || cursor.parser.pageNumber <= chosen.parser.pageNumber) chosen = cursor
  }
  return chosen
}

function lastOf(cursors: Cursor[]): Cursor {
  return cursors[cursors.length - 1] as Cursor
}

function broken(name: string, what: string): KvarError {
  return new KvarError('LOG_BROKEN', `The version file "${name}" ${what}`, { data: { name } })
}

/** One input, standing before its next page. */
class Cursor {
  readonly name: string
  readonly parser: LtxParser
  hasPage = false
  readonly #source: CompactInput
  #chunks: AsyncIterator<Uint8Array> | Iterator<Uint8Array> | undefined

  constructor(source: CompactInput) {
    this.name = source.name
    this.parser = new LtxParser(source.name)
    this.#source = source
  }

  async readHeader(): Promise<void> {
    this.#chunks = iterate(this.#source.open())
    const found = await this.#next()
    if (found === 'end') this.parser.finish()
  }

  /** Goes to the next page, or verifies the end. */
  async advance(): Promise<void> {
    this.hasPage = (await this.#next()) === 'page'
    if (!this.hasPage) this.parser.finish()
  }

  async close(): Promise<void> {
    await this.#chunks?.return?.()
  }

  async #next(): Promise<'header' | 'page' | 'end'> {
    for (;;) {
      const found = this.parser.next()
      if (found !== 'more') return found
      const chunk = await this.#chunks?.next()
      if (chunk === undefined || chunk.done === true) return 'end'
      this.parser.push(chunk.value)
    }
  }
}

function iterate(
  source: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
): AsyncIterator<Uint8Array> | Iterator<Uint8Array> {
  return Symbol.asyncIterator in source ? source[Symbol.asyncIterator]() : source[Symbol.iterator]()
}

/** A snapshot counts only if it holds every page and its checksum is that of its last version (R6). */
class SnapshotCheck {
  readonly #header: LtxHeader
  readonly #name: string
  readonly #lockPage: number
  #lastPage = 0
  #sum = 0n

  constructor(header: LtxHeader, name: string) {
    this.#header = header
    this.#name = name
    this.#lockPage = lockPageNumber(header.pageSize)
  }

  add(pageNumber: number, page: Uint8Array): void {
    this.#checkGap(pageNumber)
    this.#lastPage = pageNumber
    if (this.#header.databaseChecksum !== undefined)
      this.#sum = addChecksum(this.#sum, pageChecksum(pageNumber, page))
  }

  finish(): void {
    this.#checkGap(this.#header.pageCount + 1)
    const { databaseChecksum, maxVersion } = this.#header
    if (databaseChecksum === undefined || databaseChecksum === this.#sum) return
    throw damagedLtx(
      this.#name,
      `the pages up to version ${maxVersion} do not have the database checksum it tells of`,
    )
  }

  /** `pageNumber` must be the next page, or lie just behind the lock page. */
  #checkGap(pageNumber: number): void {
    const expected = nextPage(this.#lastPage, this.#lockPage)
    if (expected < pageNumber) throw broken(this.#name, `needs page ${expected}, which no earlier file holds`)
  }
}

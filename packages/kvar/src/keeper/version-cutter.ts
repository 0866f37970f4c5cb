import { join } from 'node:path'
import type { Capture } from '../capture/capture.ts'
import type { CapturePosition } from '../capture/capture-source.ts'
import type { PageTable } from '../capture/page-table.ts'
import { assert } from '../errors.ts'
import { lockPageNumber } from '../formats/database-header.ts'
import { LtxEncoder } from '../formats/ltx-encoder.ts'
import type { CutVersion } from '../log/ledger.ts'
import type { OpenFile } from '../platform/files.ts'
import type { Platform } from '../platform/platform.ts'
import type { ObjectSource } from '../targets/target.ts'

/** Up to this size of changed pages a version is made in memory; a larger one goes to a file. */
const MEMORY_BYTES = 32 * 1024 * 1024
/** Pages encoded between two turns of the event loop. */
const SLICE_BYTES = 4 * 1024 * 1024
const READ_BYTES = 256 * 1024
const WRITE_BYTES = 256 * 1024

/** A version on its way to the ledger, and what the keeper has to note when it is there. */
export interface PreparedVersion extends CutVersion {
  pageSize: number
  pageCount: number
  /** The captured state that the version shows. */
  sequence: number
  /** Checksums of the pages the version carries. */
  changed: Array<readonly [number, bigint]>
  /** All pages, because the page size changed. */
  wholeImage: boolean
  position: CapturePosition
  /** The file that holds the bytes, if they are not in memory. */
  file: string | undefined
}

export interface CutOptions {
  capture: Capture
  version: number
  timestampMs: number
  nodeId: bigint
  lineage: bigint
  /** Where large versions are put. */
  folder: string
  platform: Platform
}

/**
 * Makes the next version from everything captured since the last one. Answers undefined when the
 * database has moved on so that a page must be looked at again first. Nothing is taken out of
 * `pending`; the caller does that when it has the version.
 */
export async function cutVersion(options: CutOptions): Promise<PreparedVersion | undefined> {
  const { capture, version, timestampMs, nodeId, lineage } = options
  const table = capture.table
  assert(table !== undefined && capture.consistent, 'a cut without a captured state')
  const pageNumbers = pagesToCut(capture, table)
  const databaseChecksum = table.databaseChecksum
  const header = {
    pageSize: table.pageSize,
    pageCount: table.pageCount,
    minVersion: version,
    maxVersion: version,
  }
  const encoder = new LtxEncoder({ ...header, timestampMs, nodeId, databaseChecksum, lineage })
  const sink = new ByteSink(options, pageNumbers.length * table.pageSize > MEMORY_BYTES)
  try {
    sink.write(encoder.start())
    for (const [index, pageNumber] of pageNumbers.entries()) {
      const image = capture.readPage(pageNumber)
      if (image === undefined) return sink.discard()
      sink.write(encoder.page(pageNumber, image))
      if ((index * table.pageSize) % SLICE_BYTES >= SLICE_BYTES - table.pageSize)
        await options.platform.clock.turn()
    }
    sink.write(encoder.finish())
  } catch (thrown) {
    sink.discard()
    throw thrown
  }
  return {
    version,
    timestampMs,
    nodeId,
    databaseChecksum,
    claim: false,
    ...(await sink.finish()),
    pageSize: table.pageSize,
    pageCount: table.pageCount,
    sequence: capture.sequence,
    changed: pageNumbers.map((pageNumber) => [pageNumber, table.get(pageNumber)] as const),
    wholeImage: capture.wholeImage,
    position: capture.position(),
  }
}

/** A version must carry at least one page; page 1 says the size, which is all that a shrinking changes. */
function pagesToCut(capture: Capture, table: PageTable): number[] {
  const lockPage = lockPageNumber(table.pageSize)
  const pages = capture.pending.pageNumbers().filter((page) => page <= table.pageCount && page !== lockPage)
  return pages.length > 0 ? pages : [1]
}

/** Collects the bytes of a version in memory or in a file of the outbox. */
class ByteSink {
  readonly #platform: Platform
  readonly #path: string | undefined
  readonly #file: OpenFile | undefined
  #chunks: Uint8Array[] = []
  #chunkBytes = 0
  #sizeBytes = 0

  constructor(options: CutOptions, large: boolean) {
    this.#platform = options.platform
    if (!large) return
    this.#path = join(options.folder, `${options.version}.ltx`)
    this.#file = options.platform.files.openSync(this.#path, 'create')
  }

  write(bytes: Uint8Array): void {
    this.#chunks.push(bytes)
    this.#chunkBytes += bytes.length
    this.#sizeBytes += bytes.length
    if (this.#file !== undefined && this.#chunkBytes >= WRITE_BYTES) this.#writeOut(this.#file)
  }

  /** A write a page would take as long as compressing it. */
  #writeOut(file: OpenFile): void {
    file.writeSync(Buffer.concat(this.#chunks), this.#sizeBytes - this.#chunkBytes)
    this.#chunks = []
    this.#chunkBytes = 0
  }

  discard(): undefined {
    this.#file?.closeSync()
    if (this.#path !== undefined) void this.#platform.files.remove(this.#path)
    return undefined
  }

  async finish(): Promise<{ bytes: Uint8Array | ObjectSource; sizeBytes: number; file: string | undefined }> {
    const sizeBytes = this.#sizeBytes
    if (this.#file === undefined || this.#path === undefined) {
      return { bytes: Buffer.concat(this.#chunks), sizeBytes, file: undefined }
    }
    this.#writeOut(this.#file)
    this.#file.closeSync()
    return { bytes: fileBody(this.#path, sizeBytes, this.#platform), sizeBytes, file: this.#path }
  }
}

/** A file of the outbox as an upload that can be opened again for each try. */
function fileBody(path: string, sizeBytes: number, platform: Platform): ObjectSource {
  return {
    sizeBytes,
    async *open() {
      const file = platform.files.openSync(path, 'read')
      try {
        for (let offset = 0; offset < sizeBytes; offset += READ_BYTES) {
          const chunk = new Uint8Array(Math.min(READ_BYTES, sizeBytes - offset))
          file.readSync(chunk, offset)
          yield chunk
        }
      } finally {
        file.closeSync()
      }
    },
  }
}

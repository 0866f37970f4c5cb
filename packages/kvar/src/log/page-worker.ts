import { lockPageNumber } from '../formats/database-header.ts'
import { LTX_BLOCK_SIZE_BYTES, LTX_FRAME_HEADER_BYTES } from '../formats/ltx.ts'
import { BEFORE_PAGES_BYTES, pageChecksumsOver } from '../formats/page-checksum.ts'
import { PageCodec } from '../formats/page-codec.ts'
import { serve } from '../platform/crew.ts'
import type { Files, OpenFile } from '../platform/files.ts'
import {
  type ApplyRequest,
  BATCH_BYTES,
  type PageRequest,
  type PageResult,
  type SumRequest,
} from './page-crew.ts'

/*
 * The program of a crew's threads: pages from a version file into a database file, and the checksums
 * of the pages of a file. It trusts nothing of what a block holds; order and numbers of the pages
 * were checked by the main thread, which parses the file.
 */

const PREFIX_BYTES = LTX_FRAME_HEADER_BYTES + LTX_BLOCK_SIZE_BYTES

const codec = new PageCodec({ batchBytes: BATCH_BYTES })
let open: { path: string; file: OpenFile } | undefined
let buffer = new Uint8Array(0)

serve<PageRequest, PageResult>((request, files) => {
  const result = request.kind === 'apply' ? apply(request, files) : sum(request, files)
  return { result, transfer: buffersOf(result) }
})

function buffersOf(result: PageResult): ArrayBuffer[] {
  if (result.kind === 'sums') return [result.checksums.buffer]
  return result.kind === 'applied' ? [result.frames] : []
}

function fileAt(path: string, mode: 'read' | 'write', files: Files): OpenFile {
  if (open?.path === path) return open.file
  open?.file.closeSync()
  open = { path, file: files.openSync(path, mode) }
  return open.file
}

function apply(request: ApplyRequest, files: Files): PageResult {
  const { path, pageSize, count } = request
  const frames = new Uint8Array(request.frames, 0, request.frameBytes)
  const inflated = codec.inflateFrames(frames, pageSize, count)
  if ('damagedFrame' in inflated)
    return { kind: 'damaged', pageNumber: pageNumbers(frames)[inflated.damagedFrame] ?? 0 }
  const file = fileAt(path, 'write', files)
  let written = 0
  for (const [first, pages] of runs(pageNumbers(frames))) {
    file.writeSync(inflated.pages.subarray(written, written + pages * pageSize), (first - 1) * pageSize)
    written += pages * pageSize
  }
  const coveredBytes = count * (PREFIX_BYTES + pageSize)
  return { kind: 'applied', register: inflated.register, coveredBytes, frames: request.frames }
}

function pageNumbers(frames: Uint8Array): number[] {
  const view = new DataView(frames.buffer, frames.byteOffset, frames.length)
  const numbers: number[] = []
  for (let at = 0; at < frames.length; at += PREFIX_BYTES + view.getUint32(at + LTX_FRAME_HEADER_BYTES))
    numbers.push(view.getUint32(at))
  return numbers
}

/** Neighbouring pages in one write: first page and how many. */
function* runs(numbers: number[]): Generator<[number, number]> {
  for (let start = 0, end = 1; start < numbers.length; start = end++) {
    while (end < numbers.length && numbers[end] === (numbers[end - 1] as number) + 1) end++
    yield [numbers[start] as number, end - start]
  }
}

/** A file that ends early is read as zeros: the checksum then tells, not the length. */
function sum({ path, pageSize, first, count }: SumRequest, files: Files): PageResult {
  const file = fileAt(path, 'read', files)
  const neededBytes = BEFORE_PAGES_BYTES + count * pageSize
  if (buffer.length !== neededBytes) buffer = new Uint8Array(neededBytes)
  const pages = buffer.subarray(BEFORE_PAGES_BYTES)
  pages.fill(0, file.readSync(pages, (first - 1) * pageSize))
  const checksums = pageChecksumsOver(buffer, first, pageSize)
  const lockPage = lockPageNumber(pageSize)
  if (lockPage >= first && lockPage < first + count) checksums[lockPage - first] = 0n
  return { kind: 'sums', checksums }
}

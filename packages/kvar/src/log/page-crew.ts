import {
  damagedLtx,
  LTX_BLOCK_SIZE_BYTES,
  LTX_FRAME_HAS_SIZE,
  LTX_FRAME_HEADER_BYTES,
} from '../formats/ltx.ts'
import { compressBound } from '../formats/lz4-block.ts'
import type { CrcRegister } from '../formats/page-codec.ts'
import type { Crew } from '../platform/crew.ts'
import type { Platform } from '../platform/platform.ts'

/** Frames, and pages, that go to a thread in one piece: few enough for memory, many enough for the crossing. */
export const BATCH_BYTES = 1024 * 1024

export type PageCrew = Crew<PageRequest, PageResult>
export type PageRequest = ApplyRequest | SumRequest

/** Inflate these frames of a version file and write their pages into a database file. */
export interface ApplyRequest {
  kind: 'apply'
  path: string
  pageSize: number
  frames: ArrayBuffer
  frameBytes: number
  count: number
}

/** The checksums of some neighbouring pages of a file; zero at the lock page. */
export interface SumRequest {
  kind: 'sum'
  path: string
  pageSize: number
  first: number
  count: number
}

export type PageResult =
  | { kind: 'applied'; register: CrcRegister; coveredBytes: number; frames: ArrayBuffer }
  | { kind: 'damaged'; pageNumber: number }
  | { kind: 'sums'; checksums: BigUint64Array<ArrayBuffer> }

/** Threads for a piece of work of this size, if they pay and may be used. The caller closes the crew. */
export function startPageCrew(platform: Platform, workBytes: number): PageCrew | undefined {
  const { crews, files } = platform
  if (crews === undefined || crews.files !== files || workBytes < crews.worthwhileBytes) return undefined
  const extension = import.meta.url.endsWith('.ts') ? 'ts' : 'js'
  return crews.start(new URL(`page-worker.${extension}`, import.meta.url))
}

const PREFIX_BYTES = LTX_FRAME_HEADER_BYTES + LTX_BLOCK_SIZE_BYTES

/**
 * Gathers the frames of one version file to batches for a crew, and their checksums in the order of
 * the file. Holds as many batches as the crew works on and one more: about 10 MiB on two cores.
 */
export class FrameBatches {
  readonly #crew: PageCrew
  readonly #path: string
  readonly #name: string
  readonly #pageSize: number
  readonly #pagesPerBatch: number
  readonly #underway: Array<Promise<PageResult>> = []
  readonly #limit: number
  /** Buffers that came back: made anew each time they would outrun the garbage collector. */
  readonly #spare: ArrayBuffer[] = []
  #frames = new Uint8Array(BATCH_BYTES)
  #view = new DataView(this.#frames.buffer)
  #used = 0
  #count = 0

  /** @param joined gets the checksum register of the next bytes of the file, in order */
  constructor(
    crew: PageCrew,
    file: { path: string; name: string; pageSize: number },
    joined: (register: CrcRegister, coveredBytes: number) => void,
  ) {
    this.#crew = crew
    this.#path = file.path
    this.#name = file.name
    this.#pageSize = file.pageSize
    this.#joined = joined
    this.#pagesPerBatch = Math.floor(BATCH_BYTES / (PREFIX_BYTES + compressBound(file.pageSize)))
    this.#limit = crew.size * 2 + 1
  }

  readonly #joined: (register: CrcRegister, coveredBytes: number) => void

  /** Adds a frame; answers a promise when it has to be waited for. */
  add(pageNumber: number, block: Uint8Array): Promise<void> | undefined {
    this.#view.setUint32(this.#used, pageNumber)
    this.#view.setUint16(this.#used + 4, LTX_FRAME_HAS_SIZE)
    this.#view.setUint32(this.#used + LTX_FRAME_HEADER_BYTES, block.length)
    this.#frames.set(block, this.#used + PREFIX_BYTES)
    this.#used += PREFIX_BYTES + block.length
    this.#count += 1
    if (this.#count < this.#pagesPerBatch) return undefined
    this.#send()
    return this.#underway.length >= this.#limit ? this.#settleFirst() : undefined
  }

  /** Everything is in the file, and every checksum was joined. */
  async finish(): Promise<void> {
    if (this.#count > 0) this.#send()
    while (this.#underway.length > 0) await this.#settleFirst()
  }

  #send(): void {
    const frames = this.#frames.buffer
    const request = {
      path: this.#path,
      pageSize: this.#pageSize,
      frames,
      frameBytes: this.#used,
      count: this.#count,
    }
    const working = this.#crew.run({ kind: 'apply', ...request }, [frames])
    // The failure is seen when the batch's turn comes; until then it must not count as unhandled.
    working.catch(() => {})
    this.#underway.push(working)
    this.#frames = new Uint8Array(this.#spare.pop() ?? new ArrayBuffer(BATCH_BYTES))
    this.#view = new DataView(this.#frames.buffer)
    this.#used = 0
    this.#count = 0
  }

  async #settleFirst(): Promise<void> {
    const result = await this.#underway.shift()
    if (result?.kind === 'damaged')
      throw damagedLtx(this.#name, `page ${result.pageNumber} cannot be inflated`)
    if (result?.kind !== 'applied') return
    this.#joined(result.register, result.coveredBytes)
    this.#spare.push(result.frames)
  }
}

/** The checksum of every page of a file, each range by whichever thread is free. */
export async function sumByCrew(
  crew: PageCrew,
  image: { path: string; pageSize: number; pageCount: number },
  progress: () => void,
): Promise<BigUint64Array> {
  const { path, pageSize, pageCount } = image
  const checksums = new BigUint64Array(pageCount)
  const pagesPerBatch = Math.max(1, Math.floor(BATCH_BYTES / pageSize))
  const sumRange = async (first: number) => {
    const count = Math.min(pagesPerBatch, pageCount - first + 1)
    const result = await crew.run({ kind: 'sum', path, pageSize, first, count })
    if (result.kind === 'sums') checksums.set(result.checksums, first - 1)
    progress()
  }
  let next = 1
  const lane = async () => {
    for (let first = next; first <= pageCount; first = next) {
      next += pagesPerBatch
      await sumRange(first)
    }
  }
  await Promise.all(Array.from({ length: crew.size * 2 }, lane))
  return checksums
}

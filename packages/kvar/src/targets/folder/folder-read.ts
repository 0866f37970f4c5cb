import { assert, KvarError } from '../../errors.ts'
import type { Clock } from '../../platform/clock.ts'
import type { OpenFile } from '../../platform/files.ts'
import { type ReadOptions, TargetError, throwIfCancelled } from '../target.ts'

const CHUNK_BYTES = 256 * 1024

export interface FolderStreamHooks {
  clock: Pick<Clock, 'turn'>
  closed: (stream: FolderStream) => void
  classify: (thrown: unknown) => unknown
}

/**
 * An open object as a stream. The descriptor is opened before the stream is handed out, so that an
 * object removed or replaced meanwhile is still read to its end, unmixed. It is closed at the end,
 * at the first failure, when the reader stops early, and by `close()` for a reader that never began
 * (an unstarted generator would skip its `finally`, hence an iterator by hand).
 *
 * Reads are synchronous, so before each chunk the event loop gets a turn: otherwise a restore of many
 * objects would keep timers and sockets waiting from its first byte to its last.
 */
export class FolderStream implements AsyncIterableIterator<Uint8Array> {
  readonly #file: OpenFile
  readonly #options: ReadOptions
  readonly #hooks: FolderStreamHooks
  readonly #endOffset: number
  #offset: number
  #isOpen = true
  #isCutOff = false

  constructor(file: OpenFile, sizeBytes: number, options: ReadOptions, hooks: FolderStreamHooks) {
    const { offset, length } = options.range ?? { offset: 0, length: sizeBytes }
    assert(Number.isSafeInteger(offset) && offset >= 0 && length >= 0, 'a range lies within an object')
    this.#file = file
    this.#options = options
    this.#hooks = hooks
    this.#offset = offset
    this.#endOffset = Math.min(offset + length, sizeBytes)
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  async next(): Promise<IteratorResult<Uint8Array, undefined>> {
    try {
      await this.#hooks.clock.turn()
      throwIfCancelled(this.#options.signal)
      // A cut-off stream must not look like a short object.
      if (this.#isCutOff) throw new KvarError('CANCELLED', 'The target was closed while an object was read')
      const chunk = this.#isOpen ? this.#readChunk() : undefined
      if (chunk !== undefined) return { done: false, value: chunk }
    } catch (thrown) {
      this.close()
      throw this.#hooks.classify(thrown)
    }
    return this.return()
  }

  async return(): Promise<IteratorResult<Uint8Array, undefined>> {
    this.close()
    return { done: true, value: undefined }
  }

  close(): void {
    if (!this.#isOpen) return
    this.#isOpen = false
    this.#file.closeSync()
    this.#hooks.closed(this)
  }

  /** Closes on behalf of the target, so that a reader who is not done gets an error. */
  cutOff(): void {
    this.#isCutOff = this.#isOpen
    this.close()
  }

  #readChunk(): Uint8Array | undefined {
    const wantedBytes = Math.min(CHUNK_BYTES, this.#endOffset - this.#offset)
    if (wantedBytes <= 0) return undefined
    const chunk = new Uint8Array(wantedBytes)
    if (this.#file.readSync(chunk, this.#offset) < wantedBytes) {
      throw new TargetError('temporary', 'An object became shorter while it was read')
    }
    this.#offset += wantedBytes
    return chunk
  }
}

import { assert } from '../../errors.ts'
import { type ReadOptions, TargetError, throwIfCancelled } from '../target.ts'
import type { SftpHandle, SftpSession } from './sftp-session.ts'

/** What every server must answer in one piece (draft-ietf-secsh-filexfer-02, section 3). */
const CHUNK_BYTES = 32 * 1024
/** Requests under way at once, so that a long way to the server does not set the pace. */
const READ_AHEAD = 16

export interface SftpStreamHooks {
  /** Called once, when the file is closed. */
  closed: () => void
  classify: (thrown: unknown) => unknown
  assertOpen: () => void
}

/**
 * An open object as a stream. The file is opened before the stream is handed out, so that an object
 * removed or replaced meanwhile is still read to its end, unmixed. An iterator by hand, because an
 * unstarted generator would never close its file.
 */
export class SftpStream implements AsyncIterableIterator<Uint8Array> {
  readonly #session: SftpSession
  readonly #handle: SftpHandle
  readonly #options: ReadOptions
  readonly #hooks: SftpStreamHooks
  readonly #endOffset: number
  readonly #coming: Array<Promise<Buffer>> = []
  #nextOffset: number
  #isOpen = true

  constructor(
    session: SftpSession,
    file: { handle: SftpHandle; sizeBytes: number },
    options: ReadOptions,
    hooks: SftpStreamHooks,
  ) {
    const { offset, length } = options.range ?? { offset: 0, length: file.sizeBytes }
    assert(Number.isSafeInteger(offset) && offset >= 0 && length >= 0, 'a range lies within an object')
    this.#session = session
    this.#handle = file.handle
    this.#options = options
    this.#hooks = hooks
    this.#nextOffset = offset
    this.#endOffset = Math.min(offset + length, file.sizeBytes)
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  async next(): Promise<IteratorResult<Uint8Array, undefined>> {
    try {
      throwIfCancelled(this.#options.signal)
      this.#hooks.assertOpen()
      if (this.#isOpen) this.#ask()
      const value = await this.#coming.shift()
      if (value !== undefined) return { done: false, value }
    } catch (thrown) {
      this.#close()
      throw this.#hooks.classify(thrown)
    }
    return this.return()
  }

  async return(): Promise<IteratorResult<Uint8Array, undefined>> {
    this.#close()
    return { done: true, value: undefined }
  }

  #ask(): void {
    while (this.#coming.length < READ_AHEAD && this.#nextOffset < this.#endOffset) {
      const length = Math.min(CHUNK_BYTES, this.#endOffset - this.#nextOffset)
      const reading = this.#readWhole(this.#nextOffset, length)
      // Whoever stops early never looks at the later ones.
      reading.catch(() => undefined)
      this.#coming.push(reading)
      this.#nextOffset += length
    }
  }

  /** Servers may give less than they were asked for without being at the end. */
  async #readWhole(offset: number, length: number): Promise<Buffer> {
    const first = await this.#session.read(this.#handle, length, offset)
    if (first.length === length) return first
    if (first.length === 0) throw new TargetError('temporary', 'An object became shorter while it was read')
    const rest = await this.#readWhole(offset + first.length, length - first.length)
    return Buffer.concat([first, rest])
  }

  #close(): void {
    if (!this.#isOpen) return
    this.#isOpen = false
    this.#coming.length = 0
    // Nothing depends on it, and a lost connection has closed it already.
    this.#session.close(this.#handle).catch(() => undefined)
    this.#hooks.closed()
  }
}

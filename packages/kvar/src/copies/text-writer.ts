import { type Clock, sleep } from '../platform/clock.ts'
import type { OpenFile } from '../platform/files.ts'

/** Text to a file, piece by piece: buffers one chunk, and between chunks lets others have the event loop. */
export class TextWriter {
  readonly #file: OpenFile
  readonly #clock: Clock
  #pending = ''
  #sizeBytes = 0

  constructor(file: OpenFile, clock: Clock) {
    this.#file = file
    this.#clock = clock
  }

  get sizeBytes(): number {
    return this.#sizeBytes
  }

  add(text: string): void {
    this.#pending += text
  }

  /** True when `flush` is due; asked after each row, so that rows cost no promise of their own. */
  get isFull(): boolean {
    return this.#pending.length >= CHUNK_CHARACTERS
  }

  async flush(): Promise<void> {
    const bytes = Buffer.from(this.#pending)
    this.#pending = ''
    this.#file.writeSync(bytes, this.#sizeBytes)
    this.#sizeBytes += bytes.length
    await sleep(this.#clock, 0)
  }
}

const CHUNK_CHARACTERS = 256 * 1024

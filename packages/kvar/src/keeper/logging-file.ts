import type { OpenFile } from '../platform/files.ts'
import type { Platform } from '../platform/platform.ts'

/** One file of the keeper's log holds at most this much … */
export const LOG_FILE_LIMIT_BYTES = 1024 * 1024
/** … and beside the newest one this many older ones stay: `keeper.log.1`, `keeper.log.2`. */
export const OLD_LOG_FILES = 2
/** A line is never longer: what is cut off is an error's stack. */
const LINE_LIMIT_BYTES = 16 * 1024

/**
 * A file that lines are added to, and that makes room for itself: when it is full it becomes `.1`, and
 * the oldest one goes. Lines are written at once, so that the last words before a crash are there.
 *
 * A disk that refuses costs lines, never the keeper: it says so in the next line that fits.
 */
export class LogFile {
  readonly #path: string
  readonly #platform: Platform
  readonly #limitBytes: number
  #file: OpenFile | undefined
  #sizeBytes = 0
  #lost = 0
  #turning: Promise<void> | undefined
  #waiting: string[] = []

  constructor(path: string, platform: Platform, limitBytes = LOG_FILE_LIMIT_BYTES) {
    this.#path = path
    this.#platform = platform
    this.#limitBytes = limitBytes
  }

  /** @param line with its line feed */
  write(line: string): void {
    if (this.#turning !== undefined) this.#waiting.push(line)
    else if (!this.#add(line)) this.#turn(line)
  }

  /** Resolves when everything is in the file. */
  async close(): Promise<void> {
    await this.#turning
    this.#file?.closeSync()
    this.#file = undefined
  }

  /** False when the file is full. */
  #add(line: string): boolean {
    const bytes = new TextEncoder().encode(this.#shortened(line))
    try {
      this.#file ??= this.#open()
      if (this.#sizeBytes > 0 && this.#sizeBytes + bytes.length > this.#limitBytes) return false
      this.#file.writeSync(bytes, this.#sizeBytes)
      this.#sizeBytes += bytes.length
      this.#tellLost()
    } catch {
      this.#lost += 1
    }
    return true
  }

  #open(): OpenFile {
    const { files } = this.#platform
    const there = files.statSync(this.#path)
    this.#sizeBytes = there?.sizeBytes ?? 0
    return files.openSync(this.#path, there === undefined ? 'createNew' : 'write')
  }

  #shortened(line: string): string {
    return line.length <= LINE_LIMIT_BYTES
      ? line
      : `${JSON.stringify({ cut: line.slice(0, LINE_LIMIT_BYTES / 2) })}\n`
  }

  #tellLost(): void {
    const lost = this.#lost
    if (lost === 0) return
    this.#lost = 0
    this.#add(`${JSON.stringify({ level: 'warn', event: 'log-lines-lost', lines: lost })}\n`)
  }

  #turn(line: string): void {
    this.#waiting = [line]
    this.#turning = this.#makeRoom().finally(() => {
      this.#turning = undefined
      const waiting = this.#waiting
      this.#waiting = []
      for (const one of waiting) this.write(one)
    })
  }

  /** A rename that fails (a folder in the way) must not let the file grow for ever: it is begun anew. */
  async #makeRoom(): Promise<void> {
    const { files } = this.#platform
    this.#file?.closeSync()
    this.#file = undefined
    try {
      for (let number = OLD_LOG_FILES; number > 0; number--) {
        const from = number === 1 ? this.#path : `${this.#path}.${number - 1}`
        if (files.statSync(from) !== undefined) await files.rename(from, `${this.#path}.${number}`)
      }
    } catch {
      this.#lost += 1
      await files.remove(this.#path).catch(() => undefined)
    }
  }
}

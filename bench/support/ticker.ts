import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { NODE } from './product.ts'

const PROGRAM = fileURLToPath(new URL('../programs/ticker.mjs', import.meta.url))

export interface TickerOrder {
  path: string
  targetPath: string
  interval: string
  journalMode: 'wal' | 'delete'
  synchronous: 'FULL' | 'NORMAL'
  pauseMs: number
  /** Wait for `flush()` after every commit. */
  flush: boolean
}

/** An app that commits and tells, with its keeper. */
export class Ticker {
  readonly commits: Array<{ n: number; atMs: number }> = []
  /** The newest commit that `flush()` has confirmed. */
  stored = 0
  keeperId = 0
  readonly #process: ChildProcess
  readonly #closed: Promise<unknown>
  #flushed: ((atMs: number) => void) | undefined

  private constructor(order: TickerOrder) {
    this.#process = spawn(NODE, [PROGRAM, JSON.stringify(order)], { stdio: ['ignore', 'pipe', 'inherit'] })
    this.#closed = once(this.#process, 'close')
  }

  static async start(order: TickerOrder): Promise<Ticker> {
    const ticker = new Ticker(order)
    await new Promise<void>((resolve, reject) => {
      ticker.#process.once('exit', (code) => reject(new Error(`the app ended with ${code}`)))
      const lines = createInterface({ input: ticker.#process.stdout as NodeJS.ReadableStream })
      lines.on('line', (line) => ticker.#onLine(line, resolve))
    })
    return ticker
  }

  #onLine(line: string, ready: () => void): void {
    const [word, first, second] = line.split(' ')
    if (word === 'commit') this.commits.push({ n: Number(first), atMs: Number(second) })
    else if (word === 'stored') this.stored = Number(first)
    else if (word === 'flushed') this.#flushed?.(Number(first))
    else if (word === 'ready') {
      this.keeperId = Number(first)
      ready()
    }
  }

  /** Asks for a `flush()` now. @returns when it was confirmed, in milliseconds since 1970 */
  flush(): Promise<number> {
    const flushed = new Promise<number>((resolve) => {
      this.#flushed = resolve
    })
    this.#process.kill('SIGUSR2')
    return flushed
  }

  killKeeper(): void {
    process.kill(this.keeperId, 'SIGKILL')
  }

  /** Kills the app; afterwards all it said has been read. */
  async killApp(): Promise<void> {
    this.#process.kill('SIGKILL')
    await this.#closed
  }
}

/** Waits until a process that is not our child is gone. */
export async function goneMs(processId: number): Promise<number> {
  for (;;) {
    try {
      process.kill(processId, 0)
    } catch {
      return Date.now()
    }
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}

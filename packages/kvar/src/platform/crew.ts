import { availableParallelism } from 'node:os'
import { parentPort, Worker } from 'node:worker_threads'
import { type Files, systemFiles } from './files.ts'

/**
 * Threads that do the heavy work on many pages (inflating, hashing, writing), so that a large restore
 * uses every core and the main thread keeps its time for sockets and timers.
 *
 * They reach the disk by themselves: who replaces `files` (a simulator, an injected fault) must leave
 * crews out, or would not see what they do.
 */
export interface Crews {
  /** The files the threads work on; a crew is no use beside any others. */
  readonly files: Files
  /** How many threads a crew has. One processor gains nothing: then there are no crews. */
  readonly size: number
  /** Starting threads takes about as long as this much work: less is done without them. */
  readonly worthwhileBytes: number
  /** @param program the module the threads run; it calls `serve` */
  start<Request, Result>(program: URL): Crew<Request, Result>
}

/** Some threads with one queue. */
export interface Crew<Request, Result> {
  readonly size: number
  /** The next free thread does it. Rejects with what the thread threw, as an `Error` with its code. */
  run(request: Request, transfer?: ArrayBuffer[]): Promise<Result>
  /** Ends the threads; work that is under way is lost. */
  close(): Promise<void>
}

/** More than this many share one disk and one reader in vain. */
const THREAD_LIMIT = 4
/** A thread works on one request while the next one waits in its mailbox. */
const MAILBOX = 2
/** A thread holds a batch of pages and the code, no more: its heap gets a limit with a name (R11). */
const HEAP_MB = 48
const YOUNG_HEAP_MB = 4

interface Job<Request, Result> {
  request: Request
  transfer: ArrayBuffer[]
  resolve: (result: Result) => void
  reject: (error: Error) => void
}

interface Answer<Result> {
  result?: Result
  error?: { message: string; code: string | undefined }
}

class ThreadCrew<Request, Result> implements Crew<Request, Result> {
  readonly size: number
  readonly #threads: Array<{ worker: Worker; jobs: Array<Job<Request, Result>> }>
  readonly #queue: Array<Job<Request, Result>> = []
  #broken: Error | undefined

  constructor(program: URL, size: number) {
    this.size = size
    this.#threads = Array.from({ length: size }, () => {
      const resourceLimits = { maxOldGenerationSizeMb: HEAP_MB, maxYoungGenerationSizeMb: YOUNG_HEAP_MB }
      const worker = new Worker(program, { resourceLimits, execArgv: [], env: {} })
      const thread = { worker, jobs: [] as Array<Job<Request, Result>> }
      worker.on('message', (answer: Answer<Result>) => this.#settle(thread.jobs.shift(), answer))
      worker.on('error', (error) => this.#fail(error))
      // A thread that ends by itself would leave its requests waiting for ever.
      worker.on('exit', () => this.#fail(new Error('A worker thread ended too early')))
      return thread
    })
  }

  run(request: Request, transfer: ArrayBuffer[] = []): Promise<Result> {
    if (this.#broken !== undefined) return Promise.reject(this.#broken)
    return new Promise((resolve, reject) => {
      this.#queue.push({ request, transfer, resolve, reject })
      this.#hand()
    })
  }

  #hand(): void {
    while (this.#queue.length > 0) {
      const idlest = this.#threads.reduce((a, b) => (b.jobs.length < a.jobs.length ? b : a))
      if (idlest.jobs.length >= MAILBOX) return
      const job = this.#queue.shift() as Job<Request, Result>
      idlest.jobs.push(job)
      idlest.worker.postMessage(job.request, job.transfer)
    }
  }

  #settle(job: Job<Request, Result> | undefined, answer: Answer<Result>): void {
    if (answer.error === undefined) job?.resolve(answer.result as Result)
    else job?.reject(Object.assign(new Error(answer.error.message), { code: answer.error.code }))
    this.#hand()
  }

  #fail(error: Error): void {
    this.#broken ??= error
    const open = [...this.#threads.flatMap((thread) => thread.jobs.splice(0)), ...this.#queue.splice(0)]
    for (const job of open) job.reject(this.#broken)
  }

  async close(): Promise<void> {
    this.#broken ??= new Error('The crew was sent home')
    await Promise.all(this.#threads.map(({ worker }) => worker.terminate()))
  }
}

/**
 * What a crew's program calls: answers every request, in order.
 *
 * @param work answers with the result and the buffers in it that go back without being copied
 */
export function serve<Request, Result>(
  work: (request: Request, files: Files) => { result: Result; transfer: ArrayBuffer[] },
): void {
  parentPort?.on('message', (request: Request) => {
    try {
      const { result, transfer } = work(request, systemFiles)
      parentPort?.postMessage({ result }, transfer)
    } catch (thrown) {
      const { message, code } = thrown as { message: string; code?: string }
      parentPort?.postMessage({ error: { message, code } })
    }
  })
}

const threads = Math.min(THREAD_LIMIT, availableParallelism())

/** Undefined on a single processor. */
export const systemCrews: Crews | undefined =
  threads < 2
    ? undefined
    : {
        files: systemFiles,
        size: threads,
        worthwhileBytes: 16 * 1024 * 1024,
        start: (program) => new ThreadCrew(program, threads),
      }

import { KvarError } from '../../errors.ts'
import {
  type HttpAnswer,
  type HttpClient,
  type HttpOpener,
  type HttpRequest,
  RequestBodyFailure,
} from '../../platform/http-client.ts'
import { VERSION } from '../../settings/version.ts'
import { TargetError, throwIfCancelled } from '../target.ts'
import { type FailedCall, networkFailure } from './http-errors.ts'

/** Answers that are read whole (listings, errors) may be this large: a WebDAV folder of 100 000 objects. */
const TEXT_LIMIT_BYTES = 64 * 1024 * 1024

/**
 * Sends the requests of one target: nothing but classified errors and the body's own leave it, an
 * aborted call rejects with `CANCELLED`, and after `close` there are no further calls.
 */
export class HttpCaller {
  readonly #url: string
  readonly #client: HttpClient
  #isClosed = false

  constructor(url: string, open: HttpOpener | undefined) {
    if (open === undefined)
      throw new KvarError('ASSERTION', 'Kvar contradicts itself: this platform has no HTTP')
    this.#url = url
    this.#client = open()
  }

  /** @param doing completes "Cannot …", such as `store "ltx/0/…"` */
  async send(request: HttpRequest, doing: string): Promise<HttpAnswer> {
    this.assertOpen()
    throwIfCancelled(request.signal)
    const call = { doing, url: this.#url }
    const headers = { 'user-agent': `kvar/${VERSION}`, 'accept-encoding': 'identity', ...request.headers }
    try {
      const answer = await this.#client.request({ ...request, headers })
      return { ...answer, body: this.#classified(answer.body, call, request.signal) }
    } catch (thrown) {
      throw this.#classify(thrown, call, request.signal)
    }
  }

  assertOpen(): void {
    if (this.#isClosed) throw new KvarError('ASSERTION', `Kvar contradicts itself: ${this.#url} was closed`)
  }

  close(): void {
    this.#isClosed = true
    this.#client.close()
  }

  #classified(
    body: AsyncIterableIterator<Uint8Array>,
    call: FailedCall,
    signal: AbortSignal | undefined,
  ): AsyncIterableIterator<Uint8Array> {
    const next = async () => {
      try {
        throwIfCancelled(signal)
        return await body.next()
      } catch (thrown) {
        await body.return?.()
        throw this.#classify(thrown, call, signal)
      }
    }
    return {
      next,
      return: async () => body.return?.() ?? { done: true, value: undefined },
      [Symbol.asyncIterator]() {
        return this
      },
    }
  }

  #classify(thrown: unknown, call: FailedCall, signal: AbortSignal | undefined): unknown {
    if (thrown instanceof RequestBodyFailure) return thrown.cause
    if (thrown instanceof KvarError) return thrown
    if (signal?.aborted) return new KvarError('CANCELLED', 'Stopped by the caller', { cause: signal.reason })
    if (this.#isClosed) {
      return new KvarError('CANCELLED', `${call.url} was closed while it was used`, { cause: thrown })
    }
    return networkFailure(thrown, call)
  }
}

/** Reads an answer to its end, so that its connection can be used again. */
export async function readText(answer: HttpAnswer, url: string): Promise<string> {
  const chunks: Uint8Array[] = []
  let sizeBytes = 0
  for await (const chunk of answer.body) {
    sizeBytes += chunk.length
    if (sizeBytes > TEXT_LIMIT_BYTES) {
      throw new TargetError('permanent', `An answer of ${url} is larger than ${TEXT_LIMIT_BYTES} bytes`, {
        data: { url, limitBytes: TEXT_LIMIT_BYTES },
      })
    }
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString('utf8')
}

/** For answers whose body says nothing: reads it away if it is short, or else lets the connection go. */
export async function discard(answer: HttpAnswer): Promise<void> {
  let sizeBytes = 0
  for await (const chunk of answer.body) {
    sizeBytes += chunk.length
    if (sizeBytes > DISCARD_LIMIT_BYTES) break
  }
}

const DISCARD_LIMIT_BYTES = 64 * 1024

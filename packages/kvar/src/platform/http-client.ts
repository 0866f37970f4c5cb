import type * as http from 'node:http'
import type * as https from 'node:https'

/**
 * The connections of one user (a target, an alarm) to servers that speak HTTP. TLS certificates are
 * always verified, whatever the environment says; redirects are answers like any other.
 */
export interface HttpClient {
  /**
   * Sends a request and answers as soon as the head of the answer is there.
   *
   * @throws RequestBodyFailure when the body's source failed; nothing whole was sent then
   * @throws the system's error when the connection failed; whether the server acted is not known
   */
  request(request: HttpRequest): Promise<HttpAnswer>
  /** Cuts off what is under way and lets go of all connections. */
  close(): void
}

export type HttpOpener = () => HttpClient

/** Loaded when first used: eight megabytes that a keeper with folders alone does without. */
const plainHttp = () => process.getBuiltinModule('node:http')
const secureHttp = () => process.getBuiltinModule('node:https')

export interface HttpRequest {
  method: string
  /** Absolute, `http:` or `https:`, without user information. */
  url: string
  headers?: Record<string, string>
  body?: Uint8Array | HttpBodySource
  signal?: AbortSignal
}

/** A body that is read while it is sent; the server is told its size beforehand. */
export interface HttpBodySource {
  sizeBytes: number
  open(): AsyncIterable<Uint8Array>
}

export interface HttpAnswer {
  status: number
  /** Names in lower case; repeated ones joined with a comma. */
  headers: Record<string, string>
  /** Has to be read to its end or let go with `return()`. Ends with an error when the connection breaks off. */
  body: AsyncIterableIterator<Uint8Array>
}

/** What the source of a request's body threw, as `cause`: the sender's own trouble, not the network's. */
export class RequestBodyFailure extends Error {}

/** A connection on which nothing moves for so long is given up. */
const STALL_LIMIT_MS = 60_000
/** Unused connections are closed before the common servers do it, or a request would meet a closing door. */
const UNUSED_LIMIT_MS = 4000
const CONNECTIONS_LIMIT = 64

/** Connections to the real network. */
export const openHttpClient: HttpOpener = () => new SystemHttpClient()

class SystemHttpClient implements HttpClient {
  readonly #plain: http.Agent
  readonly #secure: https.Agent

  constructor() {
    const settings = { keepAlive: true, maxSockets: CONNECTIONS_LIMIT, timeout: UNUSED_LIMIT_MS }
    this.#plain = new (plainHttp().Agent)(settings)
    // Said here, because an environment variable could otherwise switch it off.
    this.#secure = new (secureHttp().Agent)({ ...settings, rejectUnauthorized: true, minVersion: 'TLSv1.2' })
  }

  async request(request: HttpRequest): Promise<HttpAnswer> {
    request.signal?.throwIfAborted()
    const outgoing = this.#begin(request)
    const answered = answerTo(outgoing)
    // Handled by the race below; this only keeps an answer nobody waits for any more from being unhandled.
    answered.catch(() => undefined)
    try {
      const sent = send(outgoing, request.body).then(() => answered)
      const incoming = await Promise.race([answered, sent])
      return {
        status: incoming.statusCode ?? 0,
        headers: headersOf(incoming),
        body: new AnswerBody(incoming, outgoing),
      }
    } catch (thrown) {
      outgoing.destroy()
      throw thrown
    }
  }

  close(): void {
    this.#plain.destroy()
    this.#secure.destroy()
  }

  #begin({ method, url, headers, body, signal }: HttpRequest): http.ClientRequest {
    const isSecure = url.startsWith('https:')
    const options: http.RequestOptions = {
      method,
      headers: { ...headers, ...lengthHeader(method, body) },
      agent: isSecure ? this.#secure : this.#plain,
      timeout: STALL_LIMIT_MS,
      ...(signal === undefined ? {} : { signal }),
    }
    const outgoing = isSecure ? secureHttp().request(url, options) : plainHttp().request(url, options)
    outgoing.setNoDelay(true)
    outgoing.on('timeout', () => outgoing.destroy(stalled()))
    return outgoing
  }
}

/** Without a length Node would send a body in chunks, which S3 refuses, and so do some WebDAV servers. */
function lengthHeader(method: string, body: HttpRequest['body']): Record<string, string> {
  if (body === undefined) return method === 'PUT' || method === 'POST' ? { 'content-length': '0' } : {}
  return { 'content-length': String(body instanceof Uint8Array ? body.length : body.sizeBytes) }
}

function answerTo(outgoing: http.ClientRequest): Promise<http.IncomingMessage> {
  return new Promise((resolve, reject) => {
    outgoing.once('response', resolve)
    // Stays for the whole life of the request: an error without a listener would end the process.
    outgoing.on('error', reject)
  })
}

async function send(outgoing: http.ClientRequest, body: HttpRequest['body']): Promise<void> {
  if (body === undefined || body instanceof Uint8Array) {
    outgoing.end(body)
    return
  }
  let isOver = false
  const over = () => {
    isOver = true
  }
  outgoing.once('response', over).once('close', over)
  for await (const chunk of chunksOf(body)) {
    // An early answer is a refusal, and a closed connection takes nothing more.
    if (isOver) return
    if (!outgoing.write(chunk)) await drained(outgoing)
  }
  outgoing.end()
}

async function* chunksOf(body: HttpBodySource): AsyncIterable<Uint8Array> {
  try {
    yield* body.open()
  } catch (cause) {
    throw new RequestBodyFailure('The body of a request could not be read', { cause })
  }
}

function drained(outgoing: http.ClientRequest): Promise<void> {
  return new Promise((resolve) => {
    const go = () => {
      for (const event of DRAIN_EVENTS) outgoing.off(event, go)
      resolve()
    }
    for (const event of DRAIN_EVENTS) outgoing.on(event, go)
  })
}

const DRAIN_EVENTS = ['drain', 'response', 'close'] as const

function headersOf(incoming: http.IncomingMessage): Record<string, string> {
  const headers: Record<string, string> = {}
  for (const [name, value] of Object.entries(incoming.headers)) {
    if (value !== undefined) headers[name] = Array.isArray(value) ? value.join(', ') : value
  }
  return headers
}

function stalled(): Error {
  return Object.assign(new Error(`Nothing moved for ${STALL_LIMIT_MS / 1000} s`), { code: 'ETIMEDOUT' })
}

/**
 * The bytes of an answer. An iterator by hand, because a generator that nobody begins skips its
 * `finally`, and the connection would stay taken.
 */
class AnswerBody implements AsyncIterableIterator<Uint8Array> {
  readonly #incoming: http.IncomingMessage
  readonly #outgoing: http.ClientRequest
  #chunks: AsyncIterator<Uint8Array> | undefined

  constructor(incoming: http.IncomingMessage, outgoing: http.ClientRequest) {
    this.#incoming = incoming
    this.#outgoing = outgoing
    // A connection that breaks while nobody reads must not end the process; a reader learns of it by `next`.
    incoming.on('error', () => undefined)
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  async next(): Promise<IteratorResult<Uint8Array, undefined>> {
    this.#chunks ??= this.#incoming[Symbol.asyncIterator]() as AsyncIterator<Uint8Array>
    const step = await this.#chunks.next()
    if (!step.done) return { done: false, value: step.value }
    // Answered before the request was sent to its end: the connection cannot be used again.
    if (!this.#outgoing.writableFinished) this.#outgoing.destroy()
    return { done: true, value: undefined }
  }

  async return(): Promise<IteratorResult<Uint8Array, undefined>> {
    if (!this.#incoming.readableEnded) this.#incoming.destroy()
    return { done: true, value: undefined }
  }
}

import type { Clock } from '../../platform/clock.ts'
import type { HttpAnswer, HttpBodySource } from '../../platform/http-client.ts'
import { discard, type HttpCaller } from '../http/http-caller.ts'
import { statusFailure } from '../http/http-errors.ts'
import type { TargetError } from '../target.ts'
import { explainWebdav } from './webdav-errors.ts'
import type { WebdavSettings } from './webdav-settings.ts'

export interface WebdavRequest {
  method: 'GET' | 'PUT' | 'DELETE' | 'MKCOL' | 'MOVE' | 'PROPFIND'
  /** Inside the target's folder; empty for the folder itself, with a slash at the end for a folder. */
  path: string
  headers?: Record<string, string>
  body?: Uint8Array | HttpBodySource
  signal?: AbortSignal | undefined
  /** Completes "Cannot …". */
  doing: string
}

/** Requests to one folder of a WebDAV server: addresses, sign-in and the meaning of errors. */
export class WebdavRequests {
  readonly settings: WebdavSettings
  readonly #caller: HttpCaller
  readonly #clock: Pick<Clock, 'nowMs'>
  readonly #signIn: Record<string, string>

  constructor(options: { settings: WebdavSettings; caller: HttpCaller; clock: Pick<Clock, 'nowMs'> }) {
    this.settings = options.settings
    this.#caller = options.caller
    this.#clock = options.clock
    this.#signIn = signInHeader(options.settings)
  }

  /** Sends a request; whatever the server says is an answer. */
  async send({ method, path, headers, body, signal, doing }: WebdavRequest): Promise<HttpAnswer> {
    const request = { method, url: this.address(path), headers: { ...this.#signIn, ...headers } }
    return this.#caller.send({ ...request, ...(body ? { body } : {}), ...(signal ? { signal } : {}) }, doing)
  }

  /** Sends a request whose answer is its status alone. */
  async status(request: WebdavRequest): Promise<Pick<HttpAnswer, 'status' | 'headers'>> {
    const answer = await this.send(request)
    await discard(answer)
    return answer
  }

  failure(answer: Pick<HttpAnswer, 'status' | 'headers'>, doing: string): TargetError {
    const { url } = this.settings
    return statusFailure(answer, explainWebdav(answer.status), { doing, url, nowMs: this.#clock.nowMs() })
  }

  /** The full address of a path inside the target. */
  address(path: string): string {
    return `${this.settings.origin}${encodePath(this.settings.folder + path)}`
  }
}

/** Sent with every request: asking first and signing in on refusal would double them (RFC 7617). */
function signInHeader({ credentials }: WebdavSettings): Record<string, string> {
  if (credentials === undefined) return {}
  const pair = Buffer.from(`${credentials.user}:${credentials.password}`, 'utf8').toString('base64')
  return { authorization: `Basic ${pair}` }
}

function encodePath(path: string): string {
  return path.split('/').map(encodeURIComponent).join('/')
}

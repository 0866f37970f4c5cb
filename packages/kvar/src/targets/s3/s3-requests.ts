import type { Clock } from '../../platform/clock.ts'
import type { HttpAnswer, HttpBodySource } from '../../platform/http-client.ts'
import { type HttpCaller, readText } from '../http/http-caller.ts'
import { statusFailure } from '../http/http-errors.ts'
import { childText, parseXml, type XmlElement } from '../http/xml.ts'
import type { TargetError } from '../target.ts'
import { explainS3 } from './s3-errors.ts'
import type { S3Settings } from './s3-settings.ts'
import { payloadHash, type S3Signer, UNSIGNED_PAYLOAD } from './s3-signer.ts'

export interface S3Request {
  method: 'GET' | 'HEAD' | 'PUT' | 'POST' | 'DELETE'
  /** A key of the target, without its prefix; none for requests about the bucket. */
  key?: string
  query?: Record<string, string>
  headers?: Record<string, string>
  body?: Uint8Array | HttpBodySource
  signal?: AbortSignal | undefined
  /** Completes "Cannot …". */
  doing: string
}

/** An answer of S3: its code is read from the body when the status says no. */
export interface S3Answer extends HttpAnswer {
  /** The server's own word for what went wrong, such as `NoSuchKey`. */
  code: string | undefined
  /** The region that the server would have us use. */
  region: string | undefined
}

/** Requests to one bucket: addresses, signatures and the meaning of errors. */
export class S3Requests {
  readonly settings: S3Settings
  readonly #caller: HttpCaller
  readonly #signer: S3Signer
  readonly #clock: Pick<Clock, 'nowMs'>

  constructor(options: {
    settings: S3Settings
    caller: HttpCaller
    signer: S3Signer
    clock: Pick<Clock, 'nowMs'>
  }) {
    this.settings = options.settings
    this.#caller = options.caller
    this.#signer = options.signer
    this.#clock = options.clock
  }

  /** Sends a request; whatever the server says is an answer. Of refusals the body has been read. */
  async send(request: S3Request): Promise<S3Answer> {
    const { method, body, signal } = request
    this.#caller.assertOpen()
    const url = this.#address(request)
    const hash = body === undefined || body instanceof Uint8Array ? payloadHash(body) : UNSIGNED_PAYLOAD
    const headers = await this.#signer.sign({
      method,
      url,
      headers: { ...request.headers, 'x-amz-content-sha256': hash },
    })
    const answer = await this.#caller.send(
      { method, url, headers, ...(body ? { body } : {}), ...(signal ? { signal } : {}) },
      request.doing,
    )
    if (answer.status < 300) return { ...answer, code: undefined, region: undefined }
    return { ...answer, ...(await this.#refusal(answer)) }
  }

  /** Sends a request and reads its answer as XML; refusals become errors. */
  async sendForXml(request: S3Request): Promise<XmlElement> {
    const answer = await this.send(request)
    if (answer.status >= 300) throw this.failure(answer, request.doing)
    return parseXml(await readText(answer, this.settings.url), this.settings.url)
  }

  failure(answer: Omit<S3Answer, 'body'>, doing: string): TargetError {
    const { url } = this.settings
    const { code } = answer
    return statusFailure(answer, explainS3(answer.status, answer), {
      doing,
      url,
      code,
      nowMs: this.#clock.nowMs(),
    })
  }

  /** Keys inside the bucket: `app/0000/…`. */
  fullKey(key: string): string {
    return `${this.settings.prefix}/${key}`
  }

  #address({ key, query }: S3Request): string {
    const { endpoint, bucket, addressing } = this.settings
    const base = addressing === 'path' ? `${endpoint}/${bucket}` : endpoint.replace('://', `://${bucket}.`)
    const path = key === undefined ? '' : `/${encodePath(this.fullKey(key))}`
    const search = Object.entries(query ?? {}).map(([name, value]) => `${encode(name)}=${encode(value)}`)
    return `${base}${path}${search.length === 0 ? '' : `?${search.join('&')}`}`
  }

  /** Only short words of a known form are taken from an answer: some providers repeat keys in their sentences. */
  async #refusal(answer: HttpAnswer): Promise<Pick<S3Answer, 'code' | 'region'>> {
    const text = await readText(answer, this.settings.url)
    const region = answer.headers['x-amz-bucket-region']
    try {
      const error = parseXml(text, this.settings.url)
      return {
        code: wordOrNothing(childText(error, 'Code')),
        region: wordOrNothing(childText(error, 'Region') ?? region),
      }
    } catch {
      return { code: undefined, region: wordOrNothing(region) }
    }
  }
}

export function wordOrNothing(text: string | undefined): string | undefined {
  return text !== undefined && /^[A-Za-z0-9.-]{1,60}$/.test(text) ? text : undefined
}

function encodePath(path: string): string {
  return path.split('/').map(encode).join('/')
}

/** RFC 3986, which is stricter than JavaScript: the signature counts on it. */
function encode(text: string): string {
  return encodeURIComponent(text).replaceAll(
    /[!'()*]/g,
    (one) => `%${one.charCodeAt(0).toString(16).toUpperCase()}`,
  )
}

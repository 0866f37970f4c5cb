import type { Clock } from '../../platform/clock.ts'
import type { HttpAnswer, HttpBodySource } from '../../platform/http-client.ts'
import { BearerCaller } from '../http/bearer-caller.ts'
import { type HttpCaller, readText } from '../http/http-caller.ts'
import { type Explanation, statusFailure } from '../http/http-errors.ts'
import { asObject, asWord, type JsonObject, parseObject, readJson } from '../http/json.ts'
import { requestToken } from '../http/oauth-token.ts'
import type { TargetError } from '../target.ts'
import { explainDropbox } from './dropbox-errors.ts'
import type { DropboxSettings } from './dropbox-settings.ts'

/** An answer of Dropbox. When the status says no, its body has been read. */
export interface DropboxAnswer extends HttpAnswer {
  /** The server's own words for what went wrong: `path`, `conflict`, `file`. */
  tags: string[]
}

export interface ContentRequest {
  /** Such as `files/upload`. */
  call: string
  argument: JsonObject
  headers?: Record<string, string>
  body?: Uint8Array | HttpBodySource
  signal?: AbortSignal | undefined
  /** Completes "Cannot …". */
  doing: string
}

export type CallOptions = Pick<ContentRequest, 'signal' | 'doing'>

/** Calls of the Dropbox API: addresses, tokens and the meaning of errors. */
export class DropboxRequests {
  readonly settings: DropboxSettings
  readonly #bearer: BearerCaller
  readonly #clock: Pick<Clock, 'nowMs' | 'monotonicMs'>

  constructor(settings: DropboxSettings, caller: HttpCaller, clock: Pick<Clock, 'nowMs' | 'monotonicMs'>) {
    this.settings = settings
    this.#clock = clock
    this.#bearer = new BearerCaller(caller, clock, () => this.#signIn(caller))
  }

  /** A call whose argument and answer are JSON. Refusals are answers. */
  async call(
    call: string,
    argument: JsonObject,
    options: CallOptions,
  ): Promise<DropboxAnswer & { json: JsonObject }> {
    const { signal, doing } = options
    const sent = await this.#bearer.send(
      {
        method: 'POST',
        url: `${this.settings.addresses.api}/${call}`,
        headers: { 'content-type': 'application/json' },
        body: new TextEncoder().encode(JSON.stringify(argument)),
        ...(signal ? { signal } : {}),
      },
      doing,
    )
    const answer = await this.#judged(sent)
    return { ...answer, json: answer.status < 300 ? await readJson(answer, this.settings.url) : {} }
  }

  /** A call that sends or brings bytes; its argument travels in a header. */
  async content(request: ContentRequest): Promise<DropboxAnswer> {
    const { call, argument, headers, body, signal, doing } = request
    const answer = await this.#bearer.send(
      {
        method: 'POST',
        url: `${this.settings.addresses.content}/${call}`,
        headers: {
          'content-type': 'application/octet-stream',
          'dropbox-api-arg': headerSafe(argument),
          ...headers,
        },
        ...(body === undefined ? {} : { body }),
        ...(signal ? { signal } : {}),
      },
      doing,
    )
    return this.#judged(answer)
  }

  failure(
    answer: Pick<DropboxAnswer, 'status' | 'headers' | 'tags'>,
    doing: string,
    explanation: Explanation = explainDropbox(answer.status, answer.tags),
  ): TargetError {
    const code = answer.tags.join('/') || undefined
    const { url } = this.settings
    return statusFailure(answer, explanation, { doing, url, code, nowMs: this.#clock.nowMs() })
  }

  async #judged(answer: HttpAnswer): Promise<DropboxAnswer> {
    if (answer.status < 300) return { ...answer, tags: [] }
    const found = parseObject(await readText(answer, this.settings.url))
    const waitSeconds = asObject(found?.error)?.retry_after
    const headers =
      typeof waitSeconds === 'number'
        ? { 'retry-after': String(Math.ceil(waitSeconds)), ...answer.headers }
        : answer.headers
    return { ...answer, headers, tags: tagsOf(found?.error) }
  }

  #signIn(caller: HttpCaller) {
    const { settings } = this
    const secret = settings.appSecret === undefined ? {} : { client_secret: settings.appSecret }
    return requestToken(caller, {
      address: settings.addresses.token,
      form: {
        grant_type: 'refresh_token',
        refresh_token: settings.refreshToken,
        client_id: settings.appKey,
        ...secret,
      },
      url: settings.url,
      nowMs: this.#clock.nowMs(),
      refusedHint:
        'run "kvar login dropbox" again and put what it prints (KVAR_DROPBOX_APP_KEY, KVAR_DROPBOX_REFRESH_TOKEN) into the environment',
    })
  }
}

const TAGS_LIMIT = 6

/**
 * Unions are objects with a `.tag`; what belongs to it stands in a field of the tag's name, in one called
 * `reason`, or beside it (HTTP documentation, "Formats").
 */
export function tagsOf(error: unknown): string[] {
  const tags: string[] = []
  let union = asObject(error)
  while (union !== undefined && tags.length < TAGS_LIMIT) {
    const tag = asWord(union['.tag'])
    if (tag !== undefined) tags.push(tag)
    union = asObject(tag === undefined ? union.reason : (union[tag] ?? union.reason))
  }
  return tags
}

/** Header values are ASCII: everything else is written as JSON escapes (HTTP documentation, "JSON encoding"). */
function headerSafe(argument: JsonObject): string {
  return JSON.stringify(argument).replaceAll(
    /[\u007f-\uffff]/g,
    (one) => `\\u${one.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
}

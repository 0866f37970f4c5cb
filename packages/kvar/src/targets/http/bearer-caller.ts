import type { Clock } from '../../platform/clock.ts'
import type { HttpAnswer, HttpRequest } from '../../platform/http-client.ts'
import { discard, type HttpCaller } from './http-caller.ts'
import type { OAuthToken } from './oauth-token.ts'
import { SharedWork } from './shared-work.ts'

/** A token is renewed this long before it runs out, so that none runs out on its way. */
const MARGIN_MS = 60_000

/**
 * Requests with an access token. It lives in memory only, is fetched when the first request needs it,
 * and anew when it has run out or the provider refuses it (401): once for each request, because a
 * second refusal means that the rights are gone.
 */
export class BearerCaller {
  readonly #caller: HttpCaller
  readonly #fetch: () => Promise<OAuthToken>
  readonly #clock: Pick<Clock, 'monotonicMs'>
  readonly #fetching = new SharedWork<string>()
  #token: { text: string; untilMs: number } | undefined

  /** @param fetch signs in; called by one request at a time, for all */
  constructor(caller: HttpCaller, clock: Pick<Clock, 'monotonicMs'>, fetch: () => Promise<OAuthToken>) {
    this.#caller = caller
    this.#clock = clock
    this.#fetch = fetch
  }

  /** @param doing completes "Cannot …" */
  async send(request: HttpRequest, doing: string): Promise<HttpAnswer> {
    const first = await this.#sendWith(await this.#current(request.signal), request, doing)
    if (first.answer.status !== 401) return first.answer
    await discard(first.answer)
    if (this.#token?.text === first.token) this.#token = undefined
    return (await this.#sendWith(await this.#current(request.signal), request, doing)).answer
  }

  async #sendWith(token: string, request: HttpRequest, doing: string) {
    const headers = { ...request.headers, authorization: `Bearer ${token}` }
    return { token, answer: await this.#caller.send({ ...request, headers }, doing) }
  }

  async #current(signal: AbortSignal | undefined): Promise<string> {
    this.#caller.assertOpen()
    if (this.#token !== undefined && this.#clock.monotonicMs() < this.#token.untilMs) return this.#token.text
    return this.#fetching.join(async () => {
      const { accessToken, lifetimeMs } = await this.#fetch()
      const untilMs = this.#clock.monotonicMs() + Math.max(lifetimeMs - MARGIN_MS, lifetimeMs / 2)
      this.#token = { text: accessToken, untilMs }
      return accessToken
    }, signal)
  }
}

import type { HttpAnswer } from '../../platform/http-client.ts'
import { TargetError } from '../target.ts'
import { type HttpCaller, readText } from './http-caller.ts'
import { explainStatus, statusFailure } from './http-errors.ts'
import { asText, asWord, parseObject } from './json.ts'

/** What a provider's token address gives for a code, a refresh token or a signed assertion. */
export interface OAuthToken {
  accessToken: string
  lifetimeMs: number
  /** Only for a code, and only where access was asked for that lasts. */
  refreshToken: string | undefined
}

export interface TokenRequest {
  /** The provider's token address. */
  address: string
  form: Record<string, string>
  /** The target, or what the person is signing in to: for errors. */
  url: string
  nowMs: number
  /** What to do when the provider refuses the form. */
  refusedHint: string
  signal?: AbortSignal | undefined
}

/** Assumed where the answer does not say; the usual ones are one and four hours. */
const LIFETIME_MS = 3_000_000
/** Refusals of RFC 6749 section 5.2 that a person has to mend. */
const REFUSALS: Record<string, string> = {
  invalid_client: 'the app (client) is not known, or its secret is wrong',
  invalid_grant: 'the sign-in is not valid, or not any more',
  unauthorized_client: 'the app may not sign in like this',
  invalid_scope: 'the app may not have these rights',
  invalid_request: 'the sign-in is not complete',
  access_denied: 'access was denied',
}

/**
 * Asks for a token (RFC 6749 sections 4.1.3 and 6, RFC 7523). The form holds secrets: nothing of it,
 * and nothing that the provider says about it but a known word, gets into an error.
 *
 * @throws TargetError `denied` for a refusal, `temporary` for anything that may pass
 */
export async function requestToken(caller: HttpCaller, request: TokenRequest): Promise<OAuthToken> {
  const { signal } = request
  const answer = await caller.send(
    {
      method: 'POST',
      url: request.address,
      headers: { 'content-type': 'application/x-www-form-urlencoded', accept: 'application/json' },
      body: new TextEncoder().encode(new URLSearchParams(request.form).toString()),
      ...(signal ? { signal } : {}),
    },
    DOING,
  )
  const found = parseObject(await readText(answer, request.url)) ?? {}
  const accessToken = asText(found.access_token)
  if (answer.status !== 200) throw refusal(answer, asWord(found.error), request)
  if (!accessToken) throw noToken(request.url)
  const seconds = Number(found.expires_in)
  const lifetimeMs = seconds > 0 ? seconds * 1000 : LIFETIME_MS
  return { accessToken, lifetimeMs, refreshToken: asText(found.refresh_token) || undefined }
}

const DOING = 'sign in'

function refusal(answer: HttpAnswer, code: string | undefined, request: TokenRequest): TargetError {
  const reason = code === undefined ? undefined : REFUSALS[code]
  const { url, nowMs, refusedHint: hint } = request
  const explanation =
    reason === undefined ? explainStatus(answer.status) : ({ failure: 'denied', reason, hint } as const)
  return statusFailure(answer, explanation, { doing: DOING, url, code, nowMs })
}

function noToken(url: string): TargetError {
  return new TargetError('temporary', `Cannot ${DOING} on ${url}: the answer holds no token`, {
    hint: 'is there a proxy between? It is tried again',
    data: { url },
  })
}

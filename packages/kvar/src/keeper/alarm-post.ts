import { KvarError } from '../errors.ts'
import { systemErrorCode } from '../platform/files.ts'
import type { Platform } from '../platform/platform.ts'

export interface AlarmPost {
  /** A secret as a whole: no error shows any of it. */
  url: string
  headers: Record<string, string>
  body: string
  /** Longest time from the call to the answer. */
  timeoutMs: number
}

/**
 * Sends one message and resolves when it was taken (any 2xx). Redirects are not followed: they would
 * carry the message to a place that nobody named.
 *
 * @throws KvarError `TARGET_DENIED`, `TARGET_PERMANENT` or `TARGET_TEMPORARY`, with the reason in words that hold nothing of the address
 */
export async function postAlarm(post: AlarmPost, platform: Platform): Promise<void> {
  const status = await send(post, platform)
  if (status >= 200 && status < 300) return
  const sentence = `the server answered ${status}`
  if (status === 401 || status === 403) throw new KvarError('TARGET_DENIED', sentence)
  const mayPass = status === 408 || status === 429 || status >= 500
  throw new KvarError(mayPass ? 'TARGET_TEMPORARY' : 'TARGET_PERMANENT', sentence)
}

async function send({ url, headers, body, timeoutMs }: AlarmPost, platform: Platform): Promise<number> {
  const client = platform.openHttpClient?.()
  if (client === undefined) throw new KvarError('TARGET_TEMPORARY', 'there is no network')
  const late = new AbortController()
  const timer = platform.clock.startTimer(timeoutMs, () => late.abort())
  try {
    const answer = await client.request({
      method: 'POST',
      url: withoutUser(url),
      headers: { ...headers, ...authorization(url) },
      body: new TextEncoder().encode(body),
      signal: late.signal,
    })
    return answer.status
  } catch (thrown) {
    throw new KvarError(
      'TARGET_TEMPORARY',
      late.signal.aborted ? `there was no answer within ${timeoutMs / 1000} s` : reasonOf(thrown),
    )
  } finally {
    timer.cancel()
    // What the server says beyond its status is of no use, and nothing stays open between two alarms.
    client.close()
  }
}

function withoutUser(url: string): string {
  const bare = new URL(url)
  bare.username = ''
  bare.password = ''
  return bare.href
}

function authorization(url: string): Record<string, string> {
  const { username, password } = new URL(url)
  if (username === '') return {}
  const pair = `${decodeURIComponent(username)}:${decodeURIComponent(password)}`
  return { authorization: `Basic ${Buffer.from(pair).toString('base64')}` }
}

/** Node's own messages name host and port, and those of TLS quote certificates. */
function reasonOf(thrown: unknown): string {
  return REASONS[systemErrorCode(thrown) ?? ''] ?? 'the connection failed'
}

const REASONS: Record<string, string> = {
  ECONNREFUSED: 'nobody listens there',
  ECONNRESET: 'the connection was cut',
  ENOTFOUND: 'there is no machine of that name',
  EAI_AGAIN: 'its name could not be looked up',
  ETIMEDOUT: 'it does not answer',
  EHOSTUNREACH: 'it cannot be reached',
  ENETUNREACH: 'there is no network',
  CERT_HAS_EXPIRED: 'its certificate has expired',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'its certificate is not trusted',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'its certificate is not trusted',
  ERR_TLS_CERT_ALTNAME_INVALID: 'its certificate is for another name',
}

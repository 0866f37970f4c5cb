import { TargetError, type TargetFailure } from '../target.ts'

/** How one kind of failure is told: the reason completes "Cannot store … on s3://…: …". */
export interface Explanation {
  failure: TargetFailure
  reason: string
  hint: string
}

export const LATER = 'nothing is lost; it is tried again'

const NO_ENTRY = 'the name of the server could not be looked up'
const CERTIFICATE = 'if the server has a certificate of its own making, name the file in NODE_EXTRA_CA_CERTS'

/** What the system says when a connection fails. Sources: errno(3), and Node's and OpenSSL's lists of errors. */
const NETWORK: Record<string, Explanation> = {
  ECONNREFUSED: temporary('the server takes no connections'),
  ECONNRESET: temporary('the connection was cut'),
  EPIPE: temporary('the connection was cut'),
  ETIMEDOUT: temporary('the server does not answer'),
  EHOSTUNREACH: temporary('there is no way to the server'),
  ENETUNREACH: temporary('there is no way to the server'),
  EAI_AGAIN: temporary(NO_ENTRY),
  ENOTFOUND: { failure: 'temporary', reason: NO_ENTRY, hint: `is it spelt right? ${LATER}` },
  CERT_HAS_EXPIRED: permanent('the certificate of the server has expired', 'renew it'),
  CERT_NOT_YET_VALID: permanent(
    'the certificate of the server is not valid yet',
    'set the clock of this machine',
  ),
  ERR_TLS_CERT_ALTNAME_INVALID: permanent(
    'the certificate of the server is for another name',
    'is the host name in the target right?',
  ),
  DEPTH_ZERO_SELF_SIGNED_CERT: permanent(
    'nobody known vouches for the certificate of the server',
    CERTIFICATE,
  ),
  SELF_SIGNED_CERT_IN_CHAIN: permanent('nobody known vouches for the certificate of the server', CERTIFICATE),
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: permanent('the certificate of the server is incomplete', CERTIFICATE),
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: permanent(
    'nobody known vouches for the certificate of the server',
    CERTIFICATE,
  ),
  EPROTO: permanent('the server does not speak TLS there', 'is the port right? Is it a server without TLS?'),
  ERR_SSL_WRONG_VERSION_NUMBER: permanent('the server does not speak TLS there', 'is the port right?'),
}

/** Statuses that mean the same with every provider (RFC 9110 section 15, RFC 4918 section 11, RFC 6585). */
const STATUSES: Record<number, Explanation> = {
  401: { failure: 'denied', reason: 'the server does not accept the credentials', hint: 'check them' },
  403: { failure: 'denied', reason: 'the credentials do not give the right to it', hint: 'check the rights' },
  407: { failure: 'denied', reason: 'a proxy wants credentials', hint: 'use a network without such a proxy' },
  408: temporary('the server waited too long'),
  413: permanent('the server takes no object this large', 'raise its limit for uploads'),
  423: temporary('the object is locked'),
  425: temporary('the server asks to come again'),
  429: temporary('the server is asked too often'),
  501: permanent('the server does not know this operation', 'is this the right address?'),
  505: permanent('the server does not speak this HTTP', 'is this the right address?'),
  507: {
    failure: 'full',
    reason: 'there is no room left',
    hint: 'make room or raise the quota; versions wait here meanwhile',
  },
}

export interface FailedCall {
  /** Completes "Cannot …", such as `store "ltx/0/…"`. */
  doing: string
  /** The target, without secrets. */
  url: string
}

/** What a connection threw, classified once. Things that are not the network's go through unchanged. */
export function networkFailure(thrown: unknown, { doing, url }: FailedCall): unknown {
  const code = systemCode(thrown)
  if (thrown instanceof TargetError || code === undefined) return thrown
  const known = NETWORK[code] ?? temporary(`the connection failed (${code})`)
  return new TargetError(known.failure, `Cannot ${doing} on ${url}: ${known.reason}`, {
    hint: known.hint,
    cause: thrown,
    data: { url, systemCode: code },
  })
}

/** The meaning of a status that no provider gives a meaning of its own. */
export function explainStatus(status: number): Explanation {
  const known = STATUSES[status]
  if (known !== undefined) return known
  if (status >= 500) return temporary(`the server failed (status ${status})`)
  if (status >= 300 && status < 400) {
    return permanent(
      `the server sends us elsewhere (status ${status})`,
      'write its own address into the target',
    )
  }
  return permanent(`the server refused (status ${status})`, 'is this the right address?')
}

/** An answer that says no, as an error. Never quotes the answer: some providers repeat credentials in it. */
export function statusFailure(
  { status, headers }: { status: number; headers: Record<string, string> },
  explanation: Explanation,
  call: FailedCall & { nowMs: number; code?: string | undefined },
): TargetError {
  const retryAfterMs = readRetryAfter(headers['retry-after'], call.nowMs)
  return new TargetError(explanation.failure, `Cannot ${call.doing} on ${call.url}: ${explanation.reason}`, {
    hint: explanation.hint,
    data: { url: call.url, status, ...(call.code === undefined ? {} : { code: call.code }) },
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
  })
}

/**
 * Milliseconds that a server asks us to wait: it says seconds or a date (RFC 9110 section 10.2.3).
 * Undefined for none and for nonsense.
 */
export function readRetryAfter(value: string | undefined, nowMs: number): number | undefined {
  if (value === undefined) return undefined
  if (/^\d{1,9}$/.test(value.trim())) return Number(value.trim()) * 1000
  const dateMs = Date.parse(value)
  return Number.isNaN(dateMs) ? undefined : Math.max(0, dateMs - nowMs)
}

function systemCode(thrown: unknown): string | undefined {
  const code = (thrown as { code?: unknown } | null | undefined)?.code
  return thrown instanceof Error && typeof code === 'string' ? code : undefined
}

function temporary(reason: string): Explanation {
  return { failure: 'temporary', reason, hint: LATER }
}

function permanent(reason: string, hint: string): Explanation {
  return { failure: 'permanent', reason, hint }
}

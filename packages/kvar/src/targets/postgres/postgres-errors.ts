import { KvarError } from '../../errors.ts'
import { systemErrorCode } from '../../platform/files.ts'
import { TargetError, type TargetFailure } from '../target.ts'

export interface Explanation {
  failure: TargetFailure
  /** Completes "Cannot store … on postgres://…: …". */
  reason: string
  hint: string
}

const LATER = 'nothing is lost; it is tried again'
const ROOM = 'make room in the database or take a larger plan; versions wait here meanwhile'
const PASSWORD = 'check the user in the URL and the password in KVAR_POSTGRES_PASSWORD'
const RIGHTS = 'let this user own the schema: CREATE SCHEMA … AUTHORIZATION …'
const TRUST =
  'if the provider has a certificate of its own, name its file with sslrootcert or put it into KVAR_POSTGRES_CA'

const temporary = (reason: string): Explanation => ({ failure: 'temporary', reason, hint: LATER })
const denied = (reason: string, hint: string): Explanation => ({ failure: 'denied', reason, hint })
const full = (reason: string, hint = ROOM): Explanation => ({ failure: 'full', reason, hint })
const permanent = (reason: string, hint: string): Explanation => ({ failure: 'permanent', reason, hint })

/**
 * PostgreSQL's own codes, from the page "PostgreSQL Error Codes" (Appendix A of the manual), whole ones
 * before classes of two letters. Codes that stand here neither way are `temporary`: trying again harms
 * nothing, and the status shows the reason meanwhile.
 */
const SQL_STATES: Record<string, Explanation> = {
  // Class 08, Connection Exception.
  '08': temporary('the connection broke'),
  // Class 0A, Feature Not Supported.
  '0A': permanent('this server cannot do that', 'use PostgreSQL 13 or later'),
  // Class 22, Data Exception; class 23, Integrity Constraint Violation.
  '22': permanent('the server refused the data', 'see what the server says'),
  '23': permanent('the server refused the data', 'see what the server says'),
  // unique_violation: two at once, of which one was first.
  '23505': temporary('somebody else changed the same object'),
  // Class 25, Invalid Transaction State. read_only_sql_transaction: a standby, or a provider whose disk is full.
  '25006': full(
    'the database takes no writes',
    `it may be a standby, or have been made read-only because its disk is full: ${ROOM}`,
  ),
  // idle_in_transaction_session_timeout, transaction_timeout.
  '25P03': temporary('the server ended a transaction that took too long'),
  '25P04': temporary('the server ended a transaction that took too long'),
  // Class 28, Invalid Authorization Specification.
  '28': denied('the server does not let this user in', PASSWORD),
  '28P01': denied('the password is wrong', PASSWORD),
  // Class 3D, Invalid Catalog Name.
  '3D': permanent('there is no such database', 'check the name of the database in the URL'),
  // Class 40, Transaction Rollback: serialization_failure, deadlock_detected.
  '40': temporary('another transaction was in the way'),
  // Class 42, Syntax Error or Access Rule Violation.
  '42': permanent('the tables are not as Kvar made them', 'use another schema, and look who changed them'),
  '42501': denied('this user may not', RIGHTS),
  // Class 53, Insufficient Resources: disk_full, out_of_memory, too_many_connections.
  '53': temporary('the server is short of something'),
  '53100': full('the disk is full'),
  '53300': temporary('the server has too many connections'),
  // Class 54, Program Limit Exceeded.
  '54': permanent('a limit of the server was passed', 'see what the server says'),
  // Class 55, Object Not In Prerequisite State: lock_not_available.
  '55': temporary('somebody else holds what is needed'),
  // Class 57, Operator Intervention: query_canceled, admin_shutdown, crash_shutdown, cannot_connect_now.
  '57': temporary('the server stopped the work'),
  '57P04': permanent('the database was dropped', 'check the name of the database in the URL'),
  // Class 58, System Error: io_error.
  '58': temporary('the server has trouble with its system'),
  // Class XX, Internal Error: data_corrupted, index_corrupted.
  XX001: permanent('the server found its data damaged', 'ask who runs the server'),
  XX002: permanent('the server found its data damaged', 'ask who runs the server'),
}

/** Supabase's pooler answers a sign-in with a fatal internal_error when it knows no such project. */
const UNKNOWN_TO_POOLER = denied(
  'the server or its pooler does not know the user',
  `${PASSWORD}; behind a pooler the user's name often has the project in it`,
)

/** Codes of Node.js: "Common system errors" and "TLS", the latter named after OpenSSL's verification errors. */
const SYSTEM_CODES: Record<string, Explanation> = {
  ECONNREFUSED: temporary('nobody answers there'),
  ENOTFOUND: temporary('there is no such host'),
  EAI_AGAIN: temporary('the name of the host cannot be looked up now'),
  ENOENT: temporary('there is no such socket'),
  EACCES: denied('this user may not use the socket', 'run as a user who may'),
  CERT_HAS_EXPIRED: denied('its certificate has expired', TRUST),
  DEPTH_ZERO_SELF_SIGNED_CERT: denied('its certificate is not trusted', TRUST),
  SELF_SIGNED_CERT_IN_CHAIN: denied('its certificate is not trusted', TRUST),
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: denied('its certificate is not trusted', TRUST),
  UNABLE_TO_GET_ISSUER_CERT: denied('its certificate is not trusted', TRUST),
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: denied('its certificate is not trusted', TRUST),
  ERR_TLS_CERT_ALTNAME_INVALID: denied(
    'its certificate is for another name',
    'use the name the certificate is for; sslmode=verify-ca leaves the name unchecked',
  ),
}

/** What the library says without any code. */
const SENTENCES: Array<[RegExp, Explanation]> = [
  [
    /does not support SSL/,
    denied('it offers no TLS', 'only within a private network, allow that with sslmode=disable'),
  ],
  [/password must be/, denied('no password is set', 'put it into KVAR_POSTGRES_PASSWORD')],
  [/SASL|SCRAM|channel binding/, denied('the server and we cannot agree on a password', PASSWORD)],
]

/**
 * Classifies what the library threw, once, at the border. What is neither the server's nor the
 * network's goes through unchanged.
 *
 * @param doing what was tried, such as `store "ltx/0/…"`
 */
export function classifyPostgresError(thrown: unknown, doing: string, url: string): unknown {
  if (thrown instanceof KvarError || !(thrown instanceof Error)) return thrown
  const code = systemErrorCode(thrown)
  const isFatal = (thrown as { severity?: unknown }).severity === 'FATAL'
  const { failure, reason, hint } =
    code === 'XX000' && isFatal ? UNKNOWN_TO_POOLER : explain(code, thrown.message)
  const said =
    code !== undefined && /^[0-9A-Z]{5}$/.test(code) ? ` (${code}: ${oneLine(thrown.message)})` : ''
  return new TargetError(failure, `Cannot ${doing} on ${url}: ${reason}${said}`, {
    hint,
    cause: thrown,
    data: { url, ...(code === undefined ? {} : { systemCode: code }) },
  })
}

function explain(code: string | undefined, message: string): Explanation {
  const known = code === undefined ? undefined : (SQL_STATES[code] ?? SYSTEM_CODES[code])
  const ofClass = code?.length === 5 ? SQL_STATES[code.slice(0, 2)] : undefined
  const spoken = SENTENCES.find(([pattern]) => pattern.test(message))?.[1]
  return (
    known ?? ofClass ?? spoken ?? temporary(code === undefined ? oneLine(message) : `the system says ${code}`)
  )
}

function oneLine(text: string): string {
  return text.replaceAll(/\s+/g, ' ').slice(0, 200)
}

/** Tables that were there and are gone must never look like an empty log: that would start a new one. */
export function tablesVanished(url: string, cause: unknown): TargetError {
  return new TargetError('temporary', `The tables of ${url} are gone, although they were there before`, {
    hint: 'was the database replaced? If that was meant, start the app again',
    cause,
    data: { url },
  })
}

/** Undefined table, invalid schema name (Appendix A, classes 42 and 3F). */
export function isMissingTable(thrown: unknown): boolean {
  const code = systemErrorCode(thrown)
  return code === '42P01' || code === '3F000'
}

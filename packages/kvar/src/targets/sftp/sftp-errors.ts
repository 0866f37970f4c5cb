import { KvarError } from '../../errors.ts'
import { systemErrorCode } from '../../platform/files.ts'
import { TargetError, type TargetFailure } from '../target.ts'

interface Explanation {
  failure: TargetFailure
  /** Completes "Cannot store … on sftp://…: …". */
  reason: string
  hint: string
}

const LATER = 'nothing is lost; it is tried again'
const RIGHTS = 'give this user the right to read and write the folder'
const ROOM = 'make room on the server or raise the quota; versions wait here meanwhile'
const SIGN_IN = 'check the user in the URL, and KVAR_SFTP_KEY or KVAR_SFTP_PASSWORD'

/**
 * Status codes of SFTP: 0 to 8 of draft-ietf-secsh-filexfer-02 (section 7, the version that OpenSSH
 * speaks), the others of draft-ietf-secsh-filexfer-13 (section 9.1), which some servers use early.
 */
export const STATUS = {
  END: 1,
  NO_SUCH_FILE: 2,
  PERMISSION_DENIED: 3,
  FAILURE: 4,
  BAD_MESSAGE: 5,
  NO_CONNECTION: 6,
  CONNECTION_LOST: 7,
  UNSUPPORTED: 8,
  FILE_ALREADY_EXISTS: 11,
  WRITE_PROTECT: 12,
  NO_SPACE: 14,
  QUOTA_EXCEEDED: 15,
  IS_A_DIRECTORY: 24,
} as const

const temporary = (reason: string, hint = LATER): Explanation => ({ failure: 'temporary', reason, hint })
const denied = (reason: string, hint: string): Explanation => ({ failure: 'denied', reason, hint })
const full = (reason: string): Explanation => ({ failure: 'full', reason, hint: ROOM })
const permanent = (reason: string, hint: string): Explanation => ({ failure: 'permanent', reason, hint })

export const DISK_FULL = full('the disk is full')

const STATUSES: Record<number, Explanation> = {
  [STATUS.NO_SUCH_FILE]: temporary(
    'the folder is gone',
    'is its disk mounted on the server? It is tried again',
  ),
  [STATUS.PERMISSION_DENIED]: denied('this user may not', RIGHTS),
  [STATUS.FAILURE]: temporary(
    'the server says only "failure"',
    'it is tried again; a quota that is used up looks like this too',
  ),
  [STATUS.BAD_MESSAGE]: permanent('the server does not accept the name', 'choose a shorter path'),
  [STATUS.UNSUPPORTED]: permanent('the server cannot do that', 'use another server for this target'),
  [STATUS.WRITE_PROTECT]: denied('the disk is write-protected', RIGHTS),
  [STATUS.NO_SPACE]: DISK_FULL,
  [STATUS.QUOTA_EXCEEDED]: full('the quota is used up'),
  [STATUS.IS_A_DIRECTORY]: permanent('a folder stands where an object belongs', 'move the folder away'),
}

/** Codes of Node.js ("Common system errors") that say more than themselves. */
const SYSTEM_CODES: Record<string, Explanation> = {
  ECONNREFUSED: temporary('nobody answers there'),
  ENOTFOUND: temporary('there is no such host'),
  EAI_AGAIN: temporary('the name of the host cannot be looked up now'),
}

/** Where the library says an error comes from (README of ssh2, "Client events", `error`). */
const LEVELS: Record<string, Explanation> = {
  'client-authentication': denied('the server does not let this user in', SIGN_IN),
  'client-timeout': temporary('the server did not answer in time'),
}

/** What the library says without a code or level. */
const SENTENCES: Array<[RegExp, Explanation]> = [
  [
    /no matching (?:key exchange|host key|C|S)/i,
    permanent('the server knows only ciphers that are not safe any more', 'renew the server'),
  ],
  [
    /no passphrase|bad passphrase|integrity check/i,
    denied('the private key cannot be opened', 'put its passphrase into KVAR_SFTP_PASSPHRASE'),
  ],
  [
    /cannot parse privatekey|unsupported key format|invalid key/i,
    denied('the private key cannot be read', 'KVAR_SFTP_KEY takes an OpenSSH or PEM private key'),
  ],
]

/**
 * Classifies what the library threw, once, at the border. What nobody thought of is `temporary`: trying
 * again harms nothing, and the status shows the reason meanwhile.
 *
 * @param doing what was tried, such as `store "ltx/0/…"`
 */
export function classifySftpError(thrown: unknown, doing: string, url: string): unknown {
  if (thrown instanceof KvarError || !(thrown instanceof Error)) return thrown
  return explained(explain(thrown), thrown, doing, url)
}

/** A failure whose reason was found out otherwise. */
export function explained(
  { failure, reason, hint }: Explanation,
  cause: unknown,
  doing: string,
  url: string,
): TargetError {
  const code = statusOf(cause) ?? systemErrorCode(cause)
  return new TargetError(failure, `Cannot ${doing} on ${url}: ${reason}`, {
    hint,
    cause,
    data: { url, ...(code === undefined ? {} : { systemCode: code }) },
  })
}

function explain(thrown: Error): Explanation {
  const status = statusOf(thrown)
  const code = systemErrorCode(thrown)
  const { level } = thrown as { level?: unknown }
  return (
    (status === undefined ? undefined : STATUSES[status]) ??
    (code === undefined ? undefined : SYSTEM_CODES[code]) ??
    SENTENCES.find(([pattern]) => pattern.test(thrown.message))?.[1] ??
    (typeof level === 'string' ? LEVELS[level] : undefined) ??
    temporary(
      code === undefined ? thrown.message.replaceAll(/\s+/g, ' ').slice(0, 200) : `the system says ${code}`,
    )
  )
}

/** The number of an answer that refuses; undefined for everything else. */
export function statusOf(thrown: unknown): number | undefined {
  const code = (thrown as { code?: unknown } | undefined)?.code
  return typeof code === 'number' ? code : undefined
}

/** A root that was there and is gone must never look like an empty log: that would start a new one. */
export function rootVanished(url: string): TargetError {
  return new TargetError('temporary', `The folder of ${url} is gone, although it was there before`, {
    hint: 'is its disk mounted on the server? Its versions are not lost; it is tried again',
    data: { url },
  })
}

export function fileInTheWay(path: string, cause: unknown): TargetError {
  return new TargetError('permanent', `A file stands on the server where the folder ${path} belongs`, {
    hint: 'move the file away',
    cause,
  })
}

export function folderInTheWay(path: string): TargetError {
  return new TargetError('permanent', `A folder stands on the server where the object ${path} belongs`, {
    hint: 'move the folder away',
  })
}

export function notWritable(doing: string, url: string): TargetError {
  return new TargetError('denied', `Cannot ${doing} on ${url}: this user may only read there`, {
    hint: RIGHTS,
    data: { url },
  })
}

export function noAnswer(url: string, limitMs: number): TargetError {
  return new TargetError('temporary', `No answer from ${url} in ${limitMs / 1000} s`, {
    hint: LATER,
    data: { url },
  })
}

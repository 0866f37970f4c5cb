/**
 * Every way in which Kvar can fail, as one closed set. The code tells programs what
 * happened, the sentence and the hint tell people.
 */
export type KvarErrorCode =
  /** A call or command line that cannot be understood. */
  | 'USAGE'
  /** A setting is wrong, contradictory or missing. */
  | 'SETTING_INVALID'
  /** A secret stood where others can read it (argv, a URL on the command line). */
  | 'SECRET_EXPOSED'
  /** The named file, version or branch does not exist. */
  | 'NOT_FOUND'
  /** No log and no copy to restore from. */
  | 'NO_BACKUP'
  /** The log has a gap, or an object of it is missing. */
  | 'LOG_BROKEN'
  /** Bytes do not match their checksum, or are no valid file of their kind. */
  | 'DAMAGED'
  /** A JSON copy that cannot be read into tables. */
  | 'JSON_INVALID'
  /** A log, state or copy written by a newer format than this program knows. */
  | 'FORMAT_TOO_NEW'
  /** A target holds the log of another database. */
  | 'LINEAGE_MISMATCH'
  /** Another keeper owns the log now. */
  | 'FENCED'
  /** Another process holds the database or its keeper lock. */
  | 'HELD'
  /** The ledger did not answer in time. */
  | 'UNREACHABLE'
  /** The target failed for a moment; a later try may succeed. */
  | 'TARGET_TEMPORARY'
  /** The target refused our credentials or rights. */
  | 'TARGET_DENIED'
  /** The target or disk has no room left. */
  | 'TARGET_FULL'
  /** The target refused in a way that trying again does not mend. */
  | 'TARGET_PERMANENT'
  /** The database would have to be replaced although it holds data. */
  | 'WOULD_OVERWRITE'
  /** The database itself cannot be opened or read by SQLite. */
  | 'DATABASE_UNREADABLE'
  /** The platform or a version is not one Kvar was tested on. */
  | 'UNSUPPORTED'
  /** The keeper process cannot be reached or ended. */
  | 'KEEPER_GONE'
  /** Stopped by the caller. */
  | 'CANCELLED'
  /** A programmer's mistake: an assertion did not hold. */
  | 'ASSERTION'

export interface KvarErrorOptions {
  /** What a person can do about it, without a full stop at the end. */
  hint?: string
  /** Facts for programs: names, sizes, versions. Never content, never secrets. */
  data?: Record<string, unknown>
  cause?: unknown
}

/**
 * The one error class of Kvar.
 *
 * @example
 * throw new KvarError('HELD', 'Cannot restore to "app.db": another process has it open', {
 *   hint: 'stop the app, or restore to another path with --to',
 * })
 */
export class KvarError extends Error {
  readonly code: KvarErrorCode
  readonly hint: string | undefined
  readonly data: Record<string, unknown>

  constructor(code: KvarErrorCode, sentence: string, options: KvarErrorOptions = {}) {
    super(sentence, options.cause === undefined ? {} : { cause: options.cause })
    this.name = 'KvarError'
    this.code = code
    this.hint = options.hint
    this.data = options.data ?? {}
  }

  /** The form in which errors cross the socket and stand in `--json` output. */
  toJSON(): KvarErrorJson {
    const json: KvarErrorJson = { code: this.code, message: this.message, data: this.data }
    if (this.hint !== undefined) json.hint = this.hint
    return json
  }

  static fromJSON(json: KvarErrorJson): KvarError {
    return new KvarError(json.code, json.message, {
      data: json.data,
      ...(json.hint === undefined ? {} : { hint: json.hint }),
    })
  }
}

export interface KvarErrorJson {
  code: KvarErrorCode
  message: string
  hint?: string
  data: Record<string, unknown>
}

/** Exit codes of the command line (docs/PROMISES.md and `kvar --help` list them). */
export const EXIT_CODES: Record<KvarErrorCode, number> = {
  USAGE: 2,
  SETTING_INVALID: 2,
  SECRET_EXPOSED: 2,
  NOT_FOUND: 4,
  NO_BACKUP: 10,
  LOG_BROKEN: 20,
  DAMAGED: 20,
  JSON_INVALID: 20,
  FORMAT_TOO_NEW: 7,
  LINEAGE_MISMATCH: 7,
  FENCED: 11,
  HELD: 11,
  UNREACHABLE: 5,
  TARGET_TEMPORARY: 5,
  TARGET_DENIED: 7,
  TARGET_FULL: 7,
  TARGET_PERMANENT: 1,
  WOULD_OVERWRITE: 7,
  DATABASE_UNREADABLE: 20,
  UNSUPPORTED: 7,
  KEEPER_GONE: 5,
  CANCELLED: 130,
  ASSERTION: 1,
}

/** A programmer's assertion: stops at once instead of going on with a wrong belief. */
export function assert(condition: unknown, sentence: string): asserts condition {
  if (!condition) throw new KvarError('ASSERTION', `Kvar contradicts itself: ${sentence}`)
}

/** For the default of a switch over a closed set: a new member does not compile until it was thought of. */
export function unreachable(value: never): never {
  throw new KvarError('ASSERTION', `Kvar contradicts itself: unexpected ${JSON.stringify(value)}`)
}

/** Any thrown thing as a KvarError; unknown ones keep their cause. */
export function toKvarError(thrown: unknown): KvarError {
  if (thrown instanceof KvarError) return thrown
  const message = thrown instanceof Error ? thrown.message : String(thrown)
  return ofSystemCall(thrown) ?? new KvarError('ASSERTION', message, { cause: thrown })
}

const SYSTEM_TROUBLES: Record<string, { code: KvarErrorCode; reason: string; hint: string }> = {
  ENOSPC: { code: 'TARGET_FULL', reason: 'the disk is full', hint: 'make room on the disk' },
  EDQUOT: { code: 'TARGET_FULL', reason: 'the quota is used up', hint: 'make room, or raise the quota' },
  EACCES: { code: 'TARGET_DENIED', reason: 'this user may not', hint: 'give this user the right to it' },
  EPERM: { code: 'TARGET_DENIED', reason: 'this user may not', hint: 'give this user the right to it' },
  EROFS: { code: 'TARGET_DENIED', reason: 'the disk is mounted read-only', hint: 'mount it for writing' },
  ENOENT: {
    code: 'NOT_FOUND',
    reason: 'it is not there',
    hint: 'check the path, and that its disk is mounted',
  },
}

/** A failed system call as Node reports it: a trouble of the machine and no mistake of the program. */
function ofSystemCall(thrown: unknown): KvarError | undefined {
  const { code, syscall, path } = (thrown ?? {}) as NodeJS.ErrnoException
  if (typeof code !== 'string' || typeof syscall !== 'string') return undefined
  const { reason, hint, ...known } = SYSTEM_TROUBLES[code] ?? {
    code: 'TARGET_TEMPORARY' as const,
    reason: `the system says ${code}`,
    hint: 'try again; if it stays so, look at the disk or the network',
  }
  const place = path === undefined ? 'a file' : `"${path}"`
  const data = { systemCode: code, ...(path === undefined ? {} : { path }) }
  return new KvarError(known.code, `Cannot ${syscall} ${place}: ${reason}`, { hint, data, cause: thrown })
}

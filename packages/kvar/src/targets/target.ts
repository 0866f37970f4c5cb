import { KvarError, type KvarErrorCode } from '../errors.ts'

/**
 * A target stores immutable objects by key, each with a modification time. It knows nothing of
 * versions, databases or encryption: the log is built on these few verbs alone.
 *
 * Keys are relative paths of ASCII letters, digits, `.`, `_`, `-` and `/`; no part is empty or begins
 * with a dot (dot names are a target's own: unfinished uploads, markers). Every call ends within its
 * own deadline and may be aborted by `signal`; it then rejects with `CANCELLED`.
 *
 * Errors are classified once, at the border to the provider, as `TargetError`.
 */
export interface Target {
  /** The URL that names the target, without secrets: for status, logs and errors. */
  readonly url: string
  /** The kind that is shown in status tables: `folder`, `s3`, … */
  readonly kind: string
  readonly capabilities: TargetCapabilities
  /** The folder of a compaction level inside the target: `ltx/0`, on S3 `0000` (see docs/FORMATS.md). */
  levelFolder(level: number): string

  /**
   * Stores an object only if the key is free, atomically: afterwards it is there whole, or not at
   * all. Called twice with the same bytes it answers `created`, then `exists`. Once it answers
   * `created` the object survives a crash of either side.
   * An ambiguous failure (connection cut after sending) surfaces as `temporary`; the caller settles
   * it by reading the object back.
   */
  create(key: string, body: ObjectBody, options: CreateOptions): Promise<'created' | 'exists'>

  /** Stores or replaces one of the few mutable objects. A reader sees the old or the new bytes, never a mixture. */
  replace(key: string, body: ObjectBody, options?: { signal?: AbortSignal }): Promise<void>

  /** The object's bytes as a stream, or `undefined` when there is no such object. */
  read(key: string, options?: ReadOptions): Promise<AsyncIterable<Uint8Array> | undefined>

  /**
   * Objects whose key begins with `prefix`, in ascending key order, lazily. Objects that appear or
   * vanish meanwhile may be listed or missed. Never lists unfinished uploads.
   */
  list(prefix: string, options?: ListOptions): AsyncIterable<ObjectEntry>

  /** Removes objects; absent ones are fine. Always the last step of a procedure. */
  remove(keys: string[], options?: { signal?: AbortSignal }): Promise<void>

  /** Lets go of connections and timers. Further calls fail. */
  close(): Promise<void>
}

/**
 * Bytes, or for large objects a source that can be opened again for each try. A source yields the
 * same bytes every time.
 */
export type ObjectBody = Uint8Array | ObjectSource
export interface ObjectSource {
  sizeBytes: number
  open(): AsyncIterable<Uint8Array>
}

export interface CreateOptions {
  /** Milliseconds since 1970; kept by the target where `keepsModifiedAt` says so. */
  modifiedAtMs: number
  signal?: AbortSignal
}

export interface ReadOptions {
  /** First byte and number of bytes; needs `rangeRead`. */
  range?: { offset: number; length: number }
  signal?: AbortSignal
}

export interface ListOptions {
  /** Only keys after this one. */
  startAfter?: string
  signal?: AbortSignal
}

export interface ObjectEntry {
  key: string
  sizeBytes: number
  modifiedAtMs: number
}

/** What differs between providers, as data: no other code asks for a provider's name. */
export interface TargetCapabilities {
  /** `atomic`: decided by the provider; `checked`: looked up before and after, cannot fence. */
  createIfAbsent: 'atomic' | 'checked'
  rangeRead: boolean
  keepsModifiedAt: boolean
  maxObjectBytes: number
  listConsistency: 'strong' | 'eventual'
  /** Sustained requests a second the provider allows; Infinity where it does not say. */
  requestsPerSecond: number
  /** `st_dev` of a target on this machine: on the database's own disk it is no safety. */
  deviceId?: number
}

/** How a target failed: decides whether to try again and what to tell the person. */
export type TargetFailure = 'temporary' | 'denied' | 'full' | 'permanent'

const CODES: Record<TargetFailure, KvarErrorCode> = {
  temporary: 'TARGET_TEMPORARY',
  denied: 'TARGET_DENIED',
  full: 'TARGET_FULL',
  permanent: 'TARGET_PERMANENT',
}

/** A classified failure of a target. Never carries credentials. */
export class TargetError extends KvarError {
  readonly failure: TargetFailure
  /** Milliseconds the provider asked us to wait, if it did. */
  readonly retryAfterMs: number | undefined

  constructor(
    failure: TargetFailure,
    sentence: string,
    options: { hint?: string; cause?: unknown; retryAfterMs?: number; data?: Record<string, unknown> } = {},
  ) {
    super(CODES[failure], sentence, options)
    this.name = 'TargetError'
    this.failure = failure
    this.retryAfterMs = options.retryAfterMs
  }
}

/** Opens a body's bytes, whatever its form. */
export function openBody(body: ObjectBody): AsyncIterable<Uint8Array> | Iterable<Uint8Array> {
  return body instanceof Uint8Array ? [body] : body.open()
}

/** Reads a whole object into memory: only for objects known to be small. */
export async function readAll(
  target: Target,
  key: string,
  options: { signal?: AbortSignal; limitBytes?: number } = {},
): Promise<Uint8Array | undefined> {
  const stream = await target.read(key, options.signal ? { signal: options.signal } : {})
  if (stream === undefined) return undefined
  const limitBytes = options.limitBytes ?? 1024 * 1024 * 1024
  const chunks: Uint8Array[] = []
  let sizeBytes = 0
  for await (const chunk of stream) {
    sizeBytes += chunk.length
    if (sizeBytes > limitBytes) {
      throw new TargetError('permanent', `"${key}" on ${target.url} is larger than ${limitBytes} bytes`)
    }
    chunks.push(chunk)
  }
  return chunks.length === 1 ? (chunks[0] as Uint8Array) : Buffer.concat(chunks)
}

const PART = '[A-Za-z0-9_-][A-Za-z0-9._-]*'
const KEY_PATTERN = new RegExp(`^${PART}(?:/${PART})*$`)
const PREFIX_PATTERN = new RegExp(`^(?:${PART}/)*(?:${PART})?$`)
const KEY_LENGTH_LIMIT = 900

/** Whether every target could store an object under this key. */
export function isKey(key: string): boolean {
  return key.length <= KEY_LENGTH_LIMIT && KEY_PATTERN.test(key)
}

/** Refuses keys that could leave the target's root: hostile listings and settings end here. */
export function assertKey(key: string): void {
  if (isKey(key)) return
  const shown = JSON.stringify(key.length > 80 ? `${key.slice(0, 80)}…` : key)
  throw new TargetError('permanent', `The key ${shown} is not allowed on a target`)
}

/** Refuses prefixes that no key can begin with. The empty prefix stands for all keys. */
export function assertPrefix(prefix: string): void {
  if (prefix.length <= KEY_LENGTH_LIMIT && PREFIX_PATTERN.test(prefix)) return
  throw new TargetError(
    'permanent',
    `The prefix ${JSON.stringify(prefix.slice(0, 80))} is not allowed on a target`,
  )
}

/** Ends an aborted call: an aborted call of any target rejects with `CANCELLED`, never with a `TargetError`. */
export function throwIfCancelled(signal: AbortSignal | undefined): void {
  if (signal?.aborted) throw new KvarError('CANCELLED', 'Stopped by the caller', { cause: signal.reason })
}

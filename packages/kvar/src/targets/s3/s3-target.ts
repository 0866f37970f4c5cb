import { sleep } from '../../platform/clock.ts'
import type { Platform } from '../../platform/platform.ts'
import { bodyBytes } from '../checked-body.ts'
import { sendableBody } from '../http/http-body.ts'
import { discard, HttpCaller } from '../http/http-caller.ts'
import { rangedBody, rangeHeader } from '../http/http-range.ts'
import { assertMeasured } from '../http/measured-body.ts'
import {
  assertKey,
  assertPrefix,
  type CreateOptions,
  type ListOptions,
  type ObjectBody,
  type ObjectEntry,
  type ReadOptions,
  type Target,
  type TargetCapabilities,
  TargetError,
  throwIfCancelled,
} from '../target.ts'
import { listObjects } from './s3-list.ts'
import { PART_BYTES, uploadInParts } from './s3-multipart.ts'
import { S3Remover } from './s3-remove.ts'
import { type S3Answer, S3Requests } from './s3-requests.ts'
import type { S3Settings } from './s3-settings.ts'
import { loadSigningLibrary, S3Signer } from './s3-signer.ts'

export type S3Platform = Pick<Platform, 'clock' | 'random' | 'openHttpClient'>

/** What a single PUT may hold with every provider (Amazon S3 User Guide, "Uploading objects"). */
const SINGLE_PUT_BYTES = 5 * 1024 ** 3
/** Two creates of one key at the same moment: S3 may ask the slower one to come again. */
const CONFLICT_TRIES = 6
const CONFLICT_DELAY_MS = 50

/**
 * A bucket of Amazon S3, or of one of the many that speak like it, as a target. Opening it costs no
 * request: whether it can be reached shows with the first call.
 *
 * @throws KvarError `SETTING_INVALID` when the package `aws4fetch` is not installed
 * @example
 * const target = await createS3Target(readS3Settings(setting), systemPlatform)
 */
export async function createS3Target(settings: S3Settings, platform: S3Platform): Promise<Target> {
  const library = await loadSigningLibrary()
  return new S3Target(settings, platform, {
    caller: new HttpCaller(settings.url, platform.openHttpClient),
    signer: new S3Signer(library, { ...settings, nowMs: () => platform.clock.nowMs() }),
  })
}

class S3Target implements Target {
  readonly kind = 's3'
  readonly url: string
  readonly capabilities: TargetCapabilities = {
    createIfAbsent: 'atomic',
    rangeRead: true,
    // A listing tells when the server received an object; our time stands in its metadata and its header.
    keepsModifiedAt: false,
    maxObjectBytes: SINGLE_PUT_BYTES,
    listConsistency: 'strong',
    requestsPerSecond: Number.POSITIVE_INFINITY,
  }
  readonly #platform: S3Platform
  readonly #caller: HttpCaller
  readonly #requests: S3Requests
  readonly #remover: S3Remover
  /** Whether the server honours `If-None-Match` when parts are put together; asked when it first matters. */
  #refusesLateParts: Promise<boolean> | undefined

  constructor(settings: S3Settings, platform: S3Platform, tools: { caller: HttpCaller; signer: S3Signer }) {
    this.url = settings.url
    this.#platform = platform
    this.#caller = tools.caller
    this.#requests = new S3Requests({ settings, ...tools, clock: platform.clock })
    this.#remover = new S3Remover(this.#requests)
  }

  /** Where Litestream looks for it (docs/FORMATS.md). */
  levelFolder(level: number): string {
    return level.toString(16).padStart(4, '0')
  }

  async create(key: string, body: ObjectBody, options: CreateOptions): Promise<'created' | 'exists'> {
    assertKey(key)
    const doing = `store "${key}"`
    // Litestream reads the time of a version from here.
    const time = new Date(options.modifiedAtMs).toISOString()
    const headers = { ...CONTENT, 'x-amz-meta-litestream-timestamp': time }
    const upload = { key, body, headers, ifNoneMatch: '*' as const, signal: options.signal, doing }
    for (let tries = 1; ; tries++) {
      const answer = await this.#upload(upload)
      if (answer.status === 412) return 'exists'
      if (answer.status < 300) return 'created'
      if (answer.status !== 409 || tries === CONFLICT_TRIES) throw this.#requests.failure(answer, doing)
      await sleep(this.#platform.clock, CONFLICT_DELAY_MS * tries, options.signal)
    }
  }

  async replace(key: string, body: ObjectBody, options: { signal?: AbortSignal } = {}): Promise<void> {
    assertKey(key)
    const doing = `replace "${key}"`
    const answer = await this.#upload({ key, body, headers: CONTENT, signal: options.signal, doing })
    if (answer.status >= 300) throw this.#requests.failure(answer, doing)
  }

  async read(key: string, options: ReadOptions = {}): Promise<AsyncIterable<Uint8Array> | undefined> {
    assertKey(key)
    const { range, signal } = options
    const call = { doing: `read "${key}"`, url: this.url }
    const answer = await this.#requests.send({
      method: 'GET',
      key,
      headers: rangeHeader(range),
      signal,
      doing: call.doing,
    })
    if (answer.status === 404 && answer.code === 'NoSuchKey') return undefined
    // The range begins at or behind the end of an object that is there.
    if (answer.status === 416) return answer.body
    if (answer.status === 403 && (await this.#isMissing(key, signal))) return undefined
    if (answer.status >= 300) throw this.#requests.failure(answer, call.doing)
    await assertMeasured(answer, call)
    return rangedBody(answer, range, call)
  }

  async *list(prefix: string, options: ListOptions = {}): AsyncIterable<ObjectEntry> {
    assertPrefix(prefix)
    this.#caller.assertOpen()
    yield* listObjects(this.#requests, prefix, options)
  }

  async remove(keys: string[], options: { signal?: AbortSignal } = {}): Promise<void> {
    keys.forEach(assertKey)
    this.#caller.assertOpen()
    throwIfCancelled(options.signal)
    await this.#remover.remove(keys, options.signal)
  }

  async close(): Promise<void> {
    this.#caller.close()
  }

  /**
   * A key that may list its own prefix only (as docs/providers/s3.md advises) is told "denied" of objects
   * that are not there: the listing, which it may see, settles it. False when that is denied too.
   */
  async #isMissing(key: string, signal: AbortSignal | undefined): Promise<boolean> {
    try {
      for await (const entry of listObjects(this.#requests, key, signal === undefined ? {} : { signal })) {
        return entry.key !== key
      }
      return true
    } catch (thrown) {
      if (thrown instanceof TargetError && thrown.failure === 'denied') return false
      throw thrown
    }
  }

  /** One PUT, or parts. Small bodies are in memory as a whole, so that the signature covers them. */
  async #upload(upload: Upload): Promise<S3Answer> {
    const { key, body, headers, ifNoneMatch, signal, doing } = upload
    const sizeBytes = bodyBytes(body)
    if (sizeBytes > PART_BYTES && (ifNoneMatch === undefined || (await this.#refusesLate(signal)))) {
      return uploadInParts(this.#requests, { ...upload, sizeBytes })
    }
    const answer = await this.#requests.send({
      method: 'PUT',
      key,
      headers: { ...headers, ...(ifNoneMatch === undefined ? {} : { 'if-none-match': ifNoneMatch }) },
      body: await sendableBody(body, PART_BYTES),
      signal,
      doing,
    })
    if (answer.status < 300) await discard(answer)
    return answer
  }

  /**
   * Ceph 16 and others honour `If-None-Match` for a PUT and ignore it for CompleteMultipartUpload: two
   * writers would then both believe that they created the object. Such servers get one long PUT instead.
   */
  #refusesLate(signal: AbortSignal | undefined): Promise<boolean> {
    this.#refusesLateParts ??= this.#proveLateRefusal(signal).catch((thrown: unknown) => {
      this.#refusesLateParts = undefined
      throw thrown
    })
    return this.#refusesLateParts
  }

  /** Puts parts together under a name that is taken. */
  async #proveLateRefusal(signal: AbortSignal | undefined): Promise<boolean> {
    const key = `.kvar-proof/${Buffer.from(this.#platform.random.bytes(16)).toString('hex')}`
    const doing = 'try how the server puts parts together'
    const body = new Uint8Array([1])
    const proof = { key, body, headers: CONTENT, signal, doing }
    try {
      const put = await this.#requests.send({ method: 'PUT', ...proof })
      if (put.status >= 300) throw this.#requests.failure(put, doing)
      await discard(put)
      const { status } = await uploadInParts(this.#requests, { ...proof, sizeBytes: 1, ifNoneMatch: '*' })
      return status === 412
    } finally {
      await this.#remover.remove([key], signal)
    }
  }
}

const CONTENT = { 'content-type': 'application/octet-stream' }

interface Upload {
  key: string
  body: ObjectBody
  headers: Record<string, string>
  ifNoneMatch?: '*'
  signal: AbortSignal | undefined
  doing: string
}

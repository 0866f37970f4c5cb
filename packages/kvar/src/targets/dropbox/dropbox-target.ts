import type { Platform } from '../../platform/platform.ts'
import { HttpCaller } from '../http/http-caller.ts'
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
  throwIfCancelled,
} from '../target.ts'
import { listTree } from './dropbox-list.ts'
import { pathOfKey } from './dropbox-names.ts'
import { removeFiles } from './dropbox-remove.ts'
import { DropboxRequests } from './dropbox-requests.ts'
import type { DropboxSettings } from './dropbox-settings.ts'
import { DropboxUploads, UPLOAD_LIMITS, type UploadLimits } from './dropbox-upload.ts'

export type DropboxPlatform = Pick<Platform, 'clock' | 'openHttpClient'>

/**
 * A folder in somebody's Dropbox as a target. Opening it costs no request: whether the sign-in is
 * accepted shows with the first call.
 *
 * @param limits when an upload is sent in parts; only tests have other ones
 * @example
 * const target = createDropboxTarget(readDropboxSettings(setting), systemPlatform)
 */
export function createDropboxTarget(
  settings: DropboxSettings,
  platform: DropboxPlatform,
  limits: UploadLimits = UPLOAD_LIMITS,
): Target {
  return new DropboxTarget(settings, platform, limits)
}

class DropboxTarget implements Target {
  readonly kind = 'dropbox'
  readonly url: string
  readonly capabilities: TargetCapabilities = {
    createIfAbsent: 'atomic',
    rangeRead: true,
    // It keeps whole seconds, and versions are milliseconds apart; their headers hold the time.
    keepsModifiedAt: false,
    // HTTP documentation, "files/upload_session/start".
    maxObjectBytes: 2 ** 41 - 2 ** 22,
    // Nothing is promised about how soon a new file is listed.
    listConsistency: 'eventual',
    requestsPerSecond: Number.POSITIVE_INFINITY,
  }
  readonly #root: string
  readonly #platform: DropboxPlatform
  readonly #caller: HttpCaller
  readonly #requests: DropboxRequests
  readonly #uploads: DropboxUploads

  constructor(settings: DropboxSettings, platform: DropboxPlatform, limits: UploadLimits) {
    this.url = settings.url
    this.#root = settings.folder.map((name) => `/${name}`).join('')
    this.#platform = platform
    this.#caller = new HttpCaller(settings.url, platform.openHttpClient)
    this.#requests = new DropboxRequests(settings, this.#caller, platform.clock)
    this.#uploads = new DropboxUploads(this.#requests, limits)
  }

  levelFolder(level: number): string {
    return `ltx/${level}`
  }

  /** Needs no temporary name: a file of Dropbox appears when its last byte has come. */
  async create(key: string, body: ObjectBody, options: CreateOptions): Promise<'created' | 'exists'> {
    const path = this.#pathOf(key)
    const doing = `store "${key}"`
    const { modifiedAtMs, signal } = options
    const answer = await this.#uploads.store({ path, body, mode: 'add', modifiedAtMs, signal, doing })
    if (answer.status < 300) return 'created'
    if (answer.tags.slice(-2).join('/') === 'conflict/file') return 'exists'
    throw this.#requests.failure(answer, doing)
  }

  async replace(key: string, body: ObjectBody, options: { signal?: AbortSignal } = {}): Promise<void> {
    const path = this.#pathOf(key)
    const doing = `replace "${key}"`
    const answer = await this.#uploads.store({ path, body, mode: 'overwrite', signal: options.signal, doing })
    if (answer.status >= 300) throw this.#requests.failure(answer, doing)
  }

  async read(key: string, options: ReadOptions = {}): Promise<AsyncIterable<Uint8Array> | undefined> {
    const path = this.#pathOf(key)
    const { range, signal } = options
    const call = { doing: `read "${key}"`, url: this.url }
    const answer = await this.#requests.content({
      call: 'files/download',
      argument: { path },
      headers: rangeHeader(range),
      signal,
      doing: call.doing,
    })
    const lookup = answer.tags.at(-1)
    if (lookup === 'not_found' || lookup === 'not_file') return undefined
    // The range begins at or behind the end of an object that is there.
    if (answer.status === 416) return answer.body
    if (answer.status >= 300) throw this.#requests.failure(answer, call.doing)
    await assertMeasured(answer, call)
    return rangedBody(answer, range, call)
  }

  async *list(prefix: string, options: ListOptions = {}): AsyncIterable<ObjectEntry> {
    assertPrefix(prefix)
    yield* listTree(this.#requests, prefix, options)
  }

  async remove(keys: string[], options: { signal?: AbortSignal } = {}): Promise<void> {
    const paths = keys.map((key) => this.#pathOf(key))
    this.#caller.assertOpen()
    throwIfCancelled(options.signal)
    await removeFiles(this.#requests, paths, { clock: this.#platform.clock, signal: options.signal })
  }

  async close(): Promise<void> {
    this.#caller.close()
  }

  #pathOf(key: string): string {
    assertKey(key)
    return this.#root + pathOfKey(key)
  }
}

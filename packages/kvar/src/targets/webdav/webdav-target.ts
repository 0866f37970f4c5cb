import type { Platform } from '../../platform/platform.ts'
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
  throwIfCancelled,
} from '../target.ts'
import { parentOf, WebdavFolders } from './webdav-folders.ts'
import { WebdavGuards } from './webdav-guard.ts'
import { decodedPath, listTree } from './webdav-list.ts'
import { WebdavRequests } from './webdav-requests.ts'
import type { WebdavSettings } from './webdav-settings.ts'
import { WebdavTemporaries } from './webdav-temporaries.ts'

export type WebdavPlatform = Pick<Platform, 'clock' | 'random' | 'openHttpClient'>

const REMOVALS_AT_ONCE = 8

/**
 * A folder of a WebDAV server (Nextcloud, ownCloud, Koofr, pCloud, Apache, nginx) as a target. Opening
 * it costs no request: whether it can be reached shows with the first call.
 *
 * @example
 * const target = createWebdavTarget(readWebdavSettings(setting), systemPlatform)
 */
export function createWebdavTarget(settings: WebdavSettings, platform: WebdavPlatform): Target {
  return new WebdavTarget(settings, platform)
}

class WebdavTarget implements Target {
  readonly kind: string
  readonly url: string
  readonly capabilities: TargetCapabilities = {
    createIfAbsent: 'atomic',
    rangeRead: true,
    // Where a server takes a time at all it keeps whole seconds, and versions are milliseconds apart.
    keepsModifiedAt: false,
    maxObjectBytes: Number.MAX_SAFE_INTEGER,
    listConsistency: 'strong',
    requestsPerSecond: Number.POSITIVE_INFINITY,
  }
  readonly #caller: HttpCaller
  readonly #requests: WebdavRequests
  readonly #folders: WebdavFolders
  readonly #guards: WebdavGuards
  readonly #temporaries: WebdavTemporaries

  constructor(settings: WebdavSettings, platform: WebdavPlatform) {
    this.kind = settings.kind
    this.url = settings.url
    this.#caller = new HttpCaller(settings.url, platform.openHttpClient)
    this.#requests = new WebdavRequests({ settings, caller: this.#caller, clock: platform.clock })
    this.#folders = new WebdavFolders(this.#requests)
    this.#guards = new WebdavGuards(this.#requests, this.#folders, platform)
    this.#temporaries = new WebdavTemporaries(this.#requests, this.#folders, platform)
  }

  levelFolder(level: number): string {
    return `ltx/${level}`
  }

  /**
   * Uploads under a name that nobody lists, then MOVE with `Overwrite: F` (RFC 4918 section 10.6), one
   * creator of a key at a time. `If-None-Match` is ignored by most servers.
   */
  async create(key: string, body: ObjectBody, options: CreateOptions): Promise<'created' | 'exists'> {
    assertKey(key)
    const doing = `store "${key}"`
    const { signal, modifiedAtMs } = options
    return this.#temporaries.use({ body, modifiedAtMs, signal, doing }, async (temporary) => {
      await this.#folders.ensure(parentOf(key))
      return this.#guards.hold(key, { signal, doing }, () =>
        this.#moveInto(key, temporary, { signal, doing }),
      )
    })
  }

  /**
   * A plain PUT, because MOVE over an object that is there first removes it on Apache, and a reader in
   * that moment would find nothing. The common servers write aside and rename (README).
   */
  async replace(key: string, body: ObjectBody, options: { signal?: AbortSignal } = {}): Promise<void> {
    assertKey(key)
    const doing = `replace "${key}"`
    this.#caller.assertOpen()
    const answer = await this.#folders.within(parentOf(key), async () =>
      this.#requests.status({
        method: 'PUT',
        path: key,
        headers: { 'content-type': 'application/octet-stream' },
        body: await sendableBody(body),
        signal: options.signal,
        doing,
      }),
    )
    if (answer.status >= 300) throw this.#requests.failure(answer, doing)
  }

  async read(key: string, options: ReadOptions = {}): Promise<AsyncIterable<Uint8Array> | undefined> {
    assertKey(key)
    const { range, signal } = options
    const call = { doing: `read "${key}"`, url: this.url }
    const headers = rangeHeader(range)
    const answer = await this.#requests.send({ method: 'GET', path: key, headers, signal, doing: call.doing })
    if (answer.status === 200 || answer.status === 206) {
      await assertMeasured(answer, call)
      return rangedBody(answer, range, call)
    }
    await discard(answer)
    if (answer.status === 404 || this.#isFolder(key, answer)) return undefined
    // The range begins at or behind the end of an object that is there.
    if (answer.status === 416) return answer.body
    throw this.#requests.failure(answer, call.doing)
  }

  async *list(prefix: string, options: ListOptions = {}): AsyncIterable<ObjectEntry> {
    assertPrefix(prefix)
    yield* listTree(this.#requests, prefix, options)
  }

  async remove(keys: string[], options: { signal?: AbortSignal } = {}): Promise<void> {
    keys.forEach(assertKey)
    this.#caller.assertOpen()
    throwIfCancelled(options.signal)
    for (let start = 0; start < keys.length; start += REMOVALS_AT_ONCE) {
      const some = keys.slice(start, start + REMOVALS_AT_ONCE)
      const removed = await Promise.allSettled(some.map((key) => this.#removeOne(key, options.signal)))
      for (const one of removed) if (one.status === 'rejected') throw one.reason
    }
  }

  async close(): Promise<void> {
    this.#caller.close()
  }

  async #moveInto(
    key: string,
    temporary: string,
    { signal, doing }: { signal: AbortSignal | undefined; doing: string },
  ): Promise<'created' | 'exists'> {
    const headers = { destination: this.#requests.address(key), overwrite: 'F' }
    const answer = await this.#folders.within(parentOf(key), () =>
      this.#requests.status({ method: 'MOVE', path: temporary, headers, signal, doing }),
    )
    if (answer.status === 412) return 'exists'
    if (answer.status < 300) return 'created'
    throw this.#requests.failure(answer, doing)
  }

  async #removeOne(key: string, signal: AbortSignal | undefined): Promise<void> {
    const doing = `remove "${key}"`
    const answer = await this.#requests.status({ method: 'DELETE', path: key, signal, doing })
    if (answer.status >= 300 && answer.status !== 404) throw this.#requests.failure(answer, doing)
  }

  /** Servers send a reader of a folder to the same address with a slash. */
  #isFolder(key: string, { status, headers }: { status: number; headers: Record<string, string> }): boolean {
    if (status !== 301 && status !== 302 && status !== 308) return false
    return decodedPath(headers.location ?? '') === `${this.#requests.settings.folder}${key}/`
  }
}

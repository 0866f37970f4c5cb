import { HttpCaller } from '../http/http-caller.ts'
import { rangedBody, rangeHeader } from '../http/http-range.ts'
import { assertMeasured } from '../http/measured-body.ts'
import {
  assertKey,
  assertPrefix,
  type CreateOptions,
  isKey,
  type ListOptions,
  type ObjectBody,
  type ObjectEntry,
  type ReadOptions,
  type Target,
  type TargetCapabilities,
  TargetError,
  throwIfCancelled,
} from '../target.ts'
import {
  type DriveFile,
  findFiles,
  folderProperties,
  folderQuery,
  oldest,
  quoted,
} from './google-drive-files.ts'
import { type DriveAnswer, type GoogleDrivePlatform, GoogleDriveRequests } from './google-drive-requests.ts'
import { GoogleDriveRoot } from './google-drive-root.ts'
import type { GoogleDriveSettings } from './google-drive-settings.ts'
import {
  DRIVE_UPLOAD_LIMITS,
  type DriveUpload,
  type DriveUploadLimits,
  storeFile,
} from './google-drive-upload.ts'

/** Keys that are looked up with one query; its length is limited too. */
const KEYS_AT_ONCE = 20
const REMOVALS_AT_ONCE = 8

interface Call {
  signal: AbortSignal | undefined
  doing: string
}

/**
 * A folder of a Google Drive as a target. All objects lie in it side by side, named by their keys.
 * Opening it costs no request: whether the sign-in is accepted shows with the first call.
 *
 * @param limits when an upload is sent in pieces; only tests have other ones
 * @example
 * const target = createGoogleDriveTarget(readGoogleDriveSettings(setting), systemPlatform)
 */
export function createGoogleDriveTarget(
  settings: GoogleDriveSettings,
  platform: GoogleDrivePlatform,
  limits: DriveUploadLimits = DRIVE_UPLOAD_LIMITS,
): Target {
  return new GoogleDriveTarget(settings, platform, limits)
}

class GoogleDriveTarget implements Target {
  readonly kind = 'gdrive'
  readonly url: string
  readonly capabilities: TargetCapabilities = {
    // Names are not unique, so nothing is refused: two writers that do not see each other both win.
    createIfAbsent: 'checked',
    rangeRead: true,
    keepsModifiedAt: true,
    // Drive API, "Upload file data".
    maxObjectBytes: 5 * 1024 ** 4,
    // Searches may not know yet what was stored a moment ago.
    listConsistency: 'eventual',
    // Drive API, "Usage limits": sustained writes.
    requestsPerSecond: 3,
  }
  readonly #caller: HttpCaller
  readonly #requests: GoogleDriveRequests
  readonly #root: GoogleDriveRoot
  readonly #limits: DriveUploadLimits

  constructor(settings: GoogleDriveSettings, platform: GoogleDrivePlatform, limits: DriveUploadLimits) {
    this.url = settings.url
    this.#caller = new HttpCaller(settings.url, platform.openHttpClient)
    this.#requests = new GoogleDriveRequests(settings, this.#caller, platform)
    this.#root = new GoogleDriveRoot(this.#requests)
    this.#limits = limits
  }

  levelFolder(level: number): string {
    return `ltx/${level}`
  }

  /** Looks, stores, looks again: of several the oldest counts, and whoever is later takes its own away. */
  async create(key: string, body: ObjectBody, options: CreateOptions): Promise<'created' | 'exists'> {
    assertKey(key)
    const call = this.#begin(`store "${key}"`, options.signal)
    const root = await this.#root.make(call.signal)
    if ((await this.#named([key], root, call)).length > 0) return 'exists'
    const modifiedTime = new Date(options.modifiedAtMs).toISOString()
    const own = await this.#store(key, body, { root, call, modifiedTime })
    const first = oldest([...(await this.#named([key], root, call)), own])
    if (first === undefined || first.id === own.id) return 'created'
    await this.#removeFile(own.id, call)
    return 'exists'
  }

  async replace(key: string, body: ObjectBody, options: { signal?: AbortSignal } = {}): Promise<void> {
    assertKey(key)
    const call = this.#begin(`replace "${key}"`, options.signal)
    const root = await this.#root.make(call.signal)
    const there = oldest(await this.#named([key], root, call))
    if (there === undefined) await this.#store(key, body, { root, call })
    else await this.#upload({ id: there.id, metadata: {}, body, ...call })
  }

  async read(key: string, options: ReadOptions = {}): Promise<AsyncIterable<Uint8Array> | undefined> {
    assertKey(key)
    const call = this.#begin(`read "${key}"`, options.signal)
    const root = await this.#root.find(call.signal)
    const there = root === undefined ? undefined : oldest(await this.#named([key], root, call))
    return there === undefined ? undefined : this.#download(there, options, call)
  }

  async *list(prefix: string, options: ListOptions = {}): AsyncIterable<ObjectEntry> {
    assertPrefix(prefix)
    const call = this.#begin(`list "${prefix}"`, options.signal)
    const root = await this.#root.find(call.signal)
    if (root === undefined) return
    const { startAfter } = options
    for (const { name: key, sizeBytes, modifiedAtMs } of await this.#listed(prefix, root, call)) {
      if (startAfter !== undefined && key <= startAfter) continue
      throwIfCancelled(options.signal)
      yield { key, sizeBytes, modifiedAtMs }
    }
  }

  async remove(keys: string[], options: { signal?: AbortSignal } = {}): Promise<void> {
    keys.forEach(assertKey)
    const call = this.#begin(`remove ${keys.length} objects`, options.signal)
    const root = keys.length === 0 ? undefined : await this.#root.find(call.signal)
    if (root === undefined) return
    for (let start = 0; start < keys.length; start += KEYS_AT_ONCE) {
      const found = await this.#named(keys.slice(start, start + KEYS_AT_ONCE), root, call)
      for (let next = 0; next < found.length; next += REMOVALS_AT_ONCE) {
        const some = found.slice(next, next + REMOVALS_AT_ONCE)
        const removed = await Promise.allSettled(some.map(({ id }) => this.#removeFile(id, call)))
        for (const one of removed) if (one.status === 'rejected') throw one.reason
      }
    }
  }

  async close(): Promise<void> {
    this.#caller.close()
  }

  #begin(doing: string, signal: AbortSignal | undefined): Call {
    this.#caller.assertOpen()
    throwIfCancelled(signal)
    return { doing, signal }
  }

  /** Every file with one of these names. The search itself takes capital letters for small ones. */
  async #named(keys: string[], root: string, call: Call): Promise<DriveFile[]> {
    const names = keys.map((key) => `name = ${quoted(key)}`).join(' or ')
    const found = await this.#find(`(${names})`, root, call)
    return found.filter(({ name }) => keys.includes(name))
  }

  /** One file for each key, in the order of keys. */
  async #listed(prefix: string, root: string, call: Call): Promise<DriveFile[]> {
    const byKey = new Map<string, DriveFile>()
    for (const file of await this.#find(folderQuery(prefix), root, call)) {
      if (!file.name.startsWith(prefix) || !isKey(file.name)) continue
      byKey.set(
        file.name,
        oldest([file, ...(byKey.has(file.name) ? [byKey.get(file.name) as DriveFile] : [])]) as DriveFile,
      )
    }
    return [...byKey.values()].sort((a, b) => (a.name < b.name ? -1 : 1))
  }

  async #find(query: string | undefined, root: string, call: Call): Promise<DriveFile[]> {
    const inRoot = `${quoted(root)} in parents`
    try {
      return await findFiles(this.#requests, query === undefined ? inRoot : `${query} and ${inRoot}`, call)
    } catch (thrown) {
      // Looking for files in a folder that is no more is the one search that says "not found".
      const isGone = thrown instanceof TargetError && thrown.data.status === 404
      throw isGone ? this.#folderGone(call, thrown) : thrown
    }
  }

  #store(
    key: string,
    body: ObjectBody,
    { root, call, modifiedTime }: { root: string; call: Call; modifiedTime?: string },
  ): Promise<DriveFile> {
    const metadata = {
      name: key,
      parents: [root],
      mimeType: 'application/octet-stream',
      appProperties: folderProperties(key),
      ...(modifiedTime === undefined ? {} : { modifiedTime }),
    }
    return this.#upload({ metadata, body, ...call })
  }

  /** What is stored into a folder that lies in the bin lies there too, and goes with it. */
  async #upload(upload: DriveUpload): Promise<DriveFile> {
    const stored = await storeFile(this.#requests, upload, this.#limits)
    if (stored.isTrashed) throw this.#folderGone(upload)
    return stored
  }

  #folderGone({ doing }: Pick<Call, 'doing'>, cause?: unknown): TargetError {
    return new TargetError('permanent', `Cannot ${doing} on ${this.url}: somebody deleted the folder`, {
      hint: 'take it out of the bin of Google Drive; if it is gone for good, start the app anew',
      data: { url: this.url },
      ...(cause === undefined ? {} : { cause }),
    })
  }

  async #download(
    file: DriveFile,
    { range }: ReadOptions,
    { signal, doing }: Call,
  ): Promise<AsyncIterable<Uint8Array> | undefined> {
    const answer = await this.#requests.send({
      method: 'GET',
      url: this.#addressOf(file.id),
      query: { alt: 'media' },
      headers: rangeHeader(range),
      signal,
      doing,
    })
    if (answer.status === 404) return undefined
    // The range begins at or behind the end of an object that is there.
    if (answer.status === 416) return answer.body
    if (answer.status >= 300) throw this.#requests.failure(answer, doing)
    await assertMeasured(answer, { doing, url: this.url })
    return rangedBody(answer, range, { doing, url: this.url })
  }

  /** For good, not into the bin, where it would go on taking room. */
  async #removeFile(id: string, { signal, doing }: Call): Promise<void> {
    const answer: DriveAnswer = await this.#requests.send({
      method: 'DELETE',
      url: this.#addressOf(id),
      query: {},
      signal,
      doing,
    })
    if (answer.status >= 300 && answer.status !== 404) throw this.#requests.failure(answer, doing)
    await answer.body.return?.()
  }

  #addressOf(id: string): string {
    return `${this.#requests.settings.addresses.api}/files/${encodeURIComponent(id)}`
  }
}

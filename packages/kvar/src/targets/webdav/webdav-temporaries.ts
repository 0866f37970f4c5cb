import { sleep } from '../../platform/clock.ts'
import type { Platform } from '../../platform/platform.ts'
import { sendableBody } from '../http/http-body.ts'
import { type ObjectBody, throwIfCancelled } from '../target.ts'
import type { WebdavFolders } from './webdav-folders.ts'
import { listFolder } from './webdav-list.ts'
import type { WebdavRequests } from './webdav-requests.ts'

/** A dot name, so no listing shows it. */
export const TEMPORARY_FOLDER = '.kvar-tmp/'
const LEFTOVER_AGE_MS = 3_600_000
const LEFTOVERS_LIMIT = 100
/** How long an object that failed is cleaned up after; what stays goes an hour later. */
const CLEANING_LIMIT_MS = 5000

export interface TemporaryUpload {
  body: ObjectBody
  modifiedAtMs: number
  signal: AbortSignal | undefined
  doing: string
}

/** Objects that are being uploaded: `.kvar-tmp/<ms>-<random>`. */
export class WebdavTemporaries {
  readonly #requests: WebdavRequests
  readonly #folders: WebdavFolders
  readonly #platform: Pick<Platform, 'clock' | 'random'>
  #isTidy = false

  constructor(
    requests: WebdavRequests,
    folders: WebdavFolders,
    platform: Pick<Platform, 'clock' | 'random'>,
  ) {
    this.#requests = requests
    this.#folders = folders
    this.#platform = platform
  }

  /** Uploads a body whole, hands its path to `place`, and removes it unless it was moved away. */
  async use(
    upload: TemporaryUpload,
    place: (path: string) => Promise<'created' | 'exists'>,
  ): Promise<'created' | 'exists'> {
    const path = `${TEMPORARY_FOLDER}${this.#freshName()}`
    let outcome: 'created' | 'exists' | undefined
    let isBegun = false
    try {
      throwIfCancelled(upload.signal)
      await this.#tidyOnce(upload)
      isBegun = true
      await this.#put(path, upload)
      outcome = await place(path)
      return outcome
    } finally {
      if (isBegun && outcome !== 'created') await this.#forget(path)
    }
  }

  async #put(path: string, upload: TemporaryUpload): Promise<void> {
    const { body, modifiedAtMs, signal, doing } = upload
    // Nextcloud and ownCloud show this time to people, in whole seconds (their documentation, "WebDAV").
    const time = { 'x-oc-mtime': String(Math.floor(modifiedAtMs / 1000)) }
    const answer = await this.#folders.within(TEMPORARY_FOLDER, async () =>
      this.#requests.status({
        method: 'PUT',
        path,
        headers: { 'content-type': 'application/octet-stream', ...time },
        body: await sendableBody(body),
        signal,
        doing,
      }),
    )
    if (answer.status >= 300) throw this.#requests.failure(answer, doing)
  }

  /** Not part of the outcome, and not ended by the caller's signal, which may be why we are here. */
  async #forget(path: string): Promise<void> {
    const over = new AbortController()
    const limit = sleep(this.#platform.clock, CLEANING_LIMIT_MS, over.signal).then(() => over.abort())
    const doing = 'remove an unfinished upload'
    await this.#requests.status({ method: 'DELETE', path, signal: over.signal, doing }).catch(() => undefined)
    over.abort()
    await limit
  }

  /** Once in the life of a target, what crashed uploads have left is removed, by the time in its name. */
  async #tidyOnce({ signal }: TemporaryUpload): Promise<void> {
    if (this.#isTidy) return
    this.#isTidy = true
    const found = await listFolder(this.#requests, TEMPORARY_FOLDER, signal)
    const youngestMs = this.#platform.clock.nowMs() - LEFTOVER_AGE_MS
    const old = found.filter(({ name }) => /^\d{13}-/.test(name) && Number(name.slice(0, 13)) < youngestMs)
    for (const { name } of old.slice(0, LEFTOVERS_LIMIT)) await this.#forget(TEMPORARY_FOLDER + name)
  }

  #freshName(): string {
    const { clock, random } = this.#platform
    return `${String(Math.floor(clock.nowMs())).padStart(13, '0')}-${Buffer.from(random.bytes(8)).toString('hex')}`
  }
}

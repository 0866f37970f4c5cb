import { TargetError } from '../target.ts'
import type { WebdavRequests } from './webdav-requests.ts'

/** Makes folders, and remembers those that are there: MKCOL is one request for each level. */
export class WebdavFolders {
  readonly #requests: WebdavRequests
  readonly #known = new Map<string, Promise<void>>()

  constructor(requests: WebdavRequests) {
    this.#requests = requests
  }

  /** @param folder inside the target, with a slash at its end; empty for the target's own folder */
  ensure(folder: string): Promise<void> {
    const known = this.#known.get(folder)
    if (known !== undefined) return known
    const making = this.#make(folder)
    this.#known.set(folder, making)
    making.catch(() => this.#known.delete(folder))
    return making
  }

  /**
   * Does something inside a folder that has to be there; once more if it turns out that somebody has
   * removed the folder since it was made.
   */
  async within<T extends { status: number }>(folder: string, work: () => Promise<T>): Promise<T> {
    await this.ensure(folder)
    const answer = await work()
    if (answer.status !== 409 && answer.status !== 404) return answer
    this.#known.clear()
    await this.ensure(folder)
    return work()
  }

  /**
   * Makes a folder whose parent is there: `made` for exactly one of those who try at the same time,
   * because the file system makes it in one step; `there` for the others.
   */
  async makeAnew(
    folder: string,
    options: { signal?: AbortSignal | undefined; doing: string },
  ): Promise<'made' | 'there'> {
    const answer = await this.#requests.status({ method: 'MKCOL', path: folder, ...options })
    if (answer.status < 300) return 'made'
    if (await this.#isRefusedAsThere(answer, folder, options)) return 'there'
    throw this.#requests.failure(answer, options.doing)
  }

  /** Without the caller's signal: others may wait for the same folder. */
  async #make(folder: string): Promise<void> {
    const doing = folder === '' ? 'make the folder' : `make the folder "${folder}"`
    const first = await this.#requests.status({ method: 'MKCOL', path: folder, doing })
    if (first.status < 300 || (await this.#isRefusedAsThere(first, folder, { doing }))) return
    // The folder above is missing (RFC 4918 section 9.3.1).
    if (first.status !== 409 && first.status !== 404) throw this.#requests.failure(first, doing)
    if (folder === '') throw noPlace(this.#requests.settings.url)
    await this.ensure(parentOf(folder))
    await this.makeAnew(folder, { doing })
  }

  /** Servers say 405 for a folder that is there, but Apache says 403 to whoever comes second in the same moment. */
  async #isRefusedAsThere(
    { status }: { status: number },
    folder: string,
    options: { signal?: AbortSignal | undefined; doing: string },
  ): Promise<boolean> {
    if (status === 405) return true
    if (status === 409 || status === 404 || status === 401 || status >= 500) return false
    const headers = { depth: '0' }
    const look = await this.#requests.status({ method: 'PROPFIND', path: folder, headers, ...options })
    return look.status === 207
  }
}

/** `a/b/` for `a/b/c/` and for `a/b/c`; empty at the top. */
export function parentOf(path: string): string {
  return path.slice(0, path.lastIndexOf('/', path.length - 2) + 1)
}

/** Only the last folder of the target is made: a mistyped address should not grow a tree somewhere. */
function noPlace(url: string): TargetError {
  return new TargetError('permanent', `Cannot make the folder of ${url}: the one above it does not exist`, {
    hint: 'check the address, and make the folder above by hand',
    data: { url },
  })
}

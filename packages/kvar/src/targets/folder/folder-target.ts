import { createHash } from 'node:crypto'
import { dirname, join, resolve } from 'node:path'
import { KvarError } from '../../errors.ts'
import { type FileFacts, type OpenFile, systemErrorCode } from '../../platform/files.ts'
import { folderUrl } from '../../settings/target-url.ts'
import {
  assertKey,
  assertPrefix,
  type CreateOptions,
  type ListOptions,
  type ObjectBody,
  type ObjectEntry,
  openBody,
  type ReadOptions,
  type Target,
  type TargetCapabilities,
  TargetError,
  throwIfCancelled,
} from '../target.ts'
import { classifyFileError } from './folder-errors.ts'
import { listFolder } from './folder-list.ts'
import { FolderStream } from './folder-read.ts'
import { type FolderPlatform, FolderRoot } from './folder-root.ts'

/**
 * A folder of this machine as a target: an external disk, a network share, a folder that some other
 * program synchronises.
 *
 * @param options.path absolute; made with mode 0700 when it is missing
 * @throws TargetError when the folder cannot be made or read
 * @example
 * const target = await createFolderTarget({ path: '/mnt/usb/app', platform: systemPlatform })
 */
export async function createFolderTarget(options: {
  path: string
  platform: FolderPlatform
}): Promise<Target> {
  const path = resolve(options.path)
  const url = folderUrl(path)
  try {
    return new FolderTarget(await FolderRoot.open(path, url, options.platform), options.platform)
  } catch (thrown) {
    throw classifyFileError(thrown, 'open the folder', url)
  }
}

/** How long a guard of the way without links may stand before its maker counts as dead. */
const GUARD_AGE_MS = 60_000

class FolderTarget implements Target {
  readonly kind = 'folder'
  readonly url: string
  readonly capabilities: TargetCapabilities
  readonly #root: FolderRoot
  readonly #platform: FolderPlatform
  readonly #streams = new Set<FolderStream>()
  readonly #temporaries = new Set<string>()
  #isClosed = false

  constructor(root: FolderRoot, platform: FolderPlatform) {
    this.url = root.url
    this.#root = root
    this.#platform = platform
    this.capabilities = {
      createIfAbsent: root.canLink ? 'atomic' : 'checked',
      rangeRead: true,
      // File systems without links (FAT) count time in steps of up to two seconds.
      keepsModifiedAt: root.canLink,
      maxObjectBytes: Number.MAX_SAFE_INTEGER,
      listConsistency: 'strong',
      requestsPerSecond: Number.POSITIVE_INFINITY,
      deviceId: root.deviceId,
    }
  }

  levelFolder(level: number): string {
    return `ltx/${level}`
  }

  async create(key: string, body: ObjectBody, options: CreateOptions): Promise<'created' | 'exists'> {
    assertKey(key)
    return this.#guarded(`store "${key}"`, () =>
      this.#withTemporary(body, options, async (temporary) => {
        const outcome = await this.#place(temporary, key)
        if (outcome === 'exists') await this.#assertObject(key)
        // For "exists" too: its maker may have died before the name was on the disk, and the caller
        // may take it for its own earlier try. The temporary name may go meanwhile.
        const synced = this.#platform.files.syncFolder(dirname(this.#path(key)))
        await Promise.all([synced, this.#forget(temporary)])
        return outcome
      }),
    )
  }

  async replace(key: string, body: ObjectBody, options: { signal?: AbortSignal } = {}): Promise<void> {
    assertKey(key)
    await this.#guarded(`replace "${key}"`, () =>
      this.#withTemporary(body, options, async (temporary) => {
        const path = this.#path(key)
        await this.#root.ensureFolder(dirname(path))
        await this.#platform.files.rename(temporary, path)
        await this.#platform.files.syncFolder(dirname(path))
      }),
    )
  }

  async read(key: string, options: ReadOptions = {}): Promise<AsyncIterable<Uint8Array> | undefined> {
    assertKey(key)
    return this.#guarded(`read "${key}"`, async () => {
      throwIfCancelled(options.signal)
      const file = this.#openObject(key)
      if (file !== undefined) return this.#stream(key, file, options)
      await this.#root.assertPresent()
      return undefined
    })
  }

  async *list(prefix: string, options: ListOptions = {}): AsyncIterable<ObjectEntry> {
    assertPrefix(prefix)
    try {
      this.#assertOpen()
      yield* listFolder(this.#platform.files, this.#root.path, prefix, options)
      // Last, because a disk that was unmounted half-way would cut the list short.
      await this.#root.assertPresent()
    } catch (thrown) {
      throw classifyFileError(thrown, 'list objects', this.url)
    }
  }

  async remove(keys: string[], options: { signal?: AbortSignal } = {}): Promise<void> {
    keys.forEach(assertKey)
    await this.#guarded('remove objects', async () => {
      await this.#syncNeighbours(keys)
      for (const key of keys) {
        throwIfCancelled(options.signal)
        await this.#platform.files.remove(this.#path(key))
      }
      await this.#root.assertPresent()
      for (const folder of new Set(keys.map((key) => dirname(this.#path(key)))))
        await this.#syncIfThere(folder)
    })
  }

  async close(): Promise<void> {
    this.#isClosed = true
    for (const stream of this.#streams) stream.cutOff()
  }

  #path(key: string): string {
    return join(this.#root.path, key)
  }

  #assertOpen(): void {
    if (this.#isClosed) throw new KvarError('ASSERTION', `Kvar contradicts itself: ${this.url} was closed`)
  }

  /**
   * The border: nothing but classified errors leaves it. What vanished under our hands (a folder that
   * somebody removed, an unmounted disk) is told apart here, so that the way of every day needs no looks.
   */
  async #guarded<T>(doing: string, work: () => Promise<T>): Promise<T> {
    this.#assertOpen()
    try {
      return await work()
    } catch (thrown) {
      if (thrown instanceof BodyFailure) throw thrown.cause
      if (systemErrorCode(thrown) === 'ENOENT') {
        this.#root.forgetFolders()
        await this.#root.assertPresent()
      }
      throw classifyFileError(thrown, doing, this.url)
    }
  }

  /** Writes a body, whole and on the disk, under a name that nobody lists; the name goes when `use` is done. */
  async #withTemporary<T>(
    body: ObjectBody,
    options: { modifiedAtMs?: number; signal?: AbortSignal },
    use: (temporary: string) => Promise<T>,
  ): Promise<T> {
    throwIfCancelled(options.signal)
    const temporary = await this.#root.temporaryPath()
    this.#temporaries.add(temporary)
    try {
      await this.#writeWhole(temporary, body, options)
      throwIfCancelled(options.signal)
      return await use(temporary)
    } finally {
      await this.#forget(temporary)
    }
  }

  /** A leftover harms nobody and goes an hour later; failing here would turn success into failure. */
  async #forget(temporary: string): Promise<void> {
    if (this.#temporaries.delete(temporary))
      await this.#platform.files.remove(temporary).catch(() => undefined)
  }

  async #writeWhole(
    path: string,
    body: ObjectBody,
    options: { modifiedAtMs?: number; signal?: AbortSignal },
  ): Promise<void> {
    const { files } = this.#platform
    const file = files.openSync(path, 'createNew')
    try {
      await writeBody(file, body, options.signal)
      // Before the sync, which makes it durable with the content. A microsecond is added because the
      // system call takes seconds as a fraction, which would often come out one millisecond short.
      if (options.modifiedAtMs !== undefined) await files.setModifiedAt(path, options.modifiedAtMs + 0.001)
      await file.sync()
    } finally {
      file.closeSync()
    }
  }

  async #place(temporary: string, key: string): Promise<'created' | 'exists'> {
    const path = this.#path(key)
    await this.#root.ensureFolder(dirname(path))
    if (!this.#root.canLink) return this.#placeWithoutLinks(temporary, path)
    const outcome = await this.#platform.files.link(temporary, path)
    if (outcome !== 'unsupported') return outcome
    throw new TargetError(
      'denied',
      `Cannot store "${key}" in ${this.url}: the file system refused a second name`,
      {
        hint: 'give this user the right to write the folder',
      },
    )
  }

  /**
   * For FAT, exFAT and the like: look, then rename, alone by a guard file that only one can create.
   * A whole file appears or none, but two machines could both win if one stood still for longer than
   * the guard lives: hence `checked`, and such a folder never fences.
   */
  async #placeWithoutLinks(temporary: string, path: string): Promise<'created' | 'exists'> {
    const { files } = this.#platform
    const guard = join(dirname(temporary), `guard-${createHash('sha256').update(path).digest('hex')}`)
    await this.#takeGuard(guard)
    try {
      if ((await files.stat(path)) !== undefined) return 'exists'
      await files.rename(temporary, path)
      return 'created'
    } finally {
      await files.remove(guard).catch(() => undefined)
    }
  }

  async #takeGuard(guard: string): Promise<void> {
    const { files, clock } = this.#platform
    const facts = await files.stat(guard)
    if (facts !== undefined && clock.nowMs() - facts.modifiedAtMs > GUARD_AGE_MS) await files.remove(guard)
    try {
      files.openSync(guard, 'createNew').closeSync()
    } catch (thrown) {
      if (systemErrorCode(thrown) !== 'EEXIST') throw thrown
      throw new TargetError('temporary', `Somebody else is storing the same object in ${this.url}`, {
        cause: thrown,
      })
    }
  }

  async #assertObject(key: string): Promise<void> {
    if ((await this.#platform.files.stat(this.#path(key)))?.isFolder !== true) return
    throw classifyFileError({ code: 'EISDIR' }, `store "${key}"`, this.url)
  }

  #openObject(key: string): OpenFile | undefined {
    try {
      return this.#platform.files.openSync(this.#path(key), 'read')
    } catch (thrown) {
      const code = systemErrorCode(thrown)
      if (code === 'ENOENT' || code === 'ENOTDIR') return undefined
      throw thrown
    }
  }

  #stream(key: string, file: OpenFile, options: ReadOptions): FolderStream | undefined {
    const { isFolder, sizeBytes } = factsOrClose(file)
    if (isFolder) {
      file.closeSync()
      return undefined
    }
    const stream = new FolderStream(file, sizeBytes, options, {
      clock: this.#platform.clock,
      closed: (ended) => this.#streams.delete(ended),
      classify: (thrown) => classifyFileError(thrown, `read "${key}"`, this.url),
    })
    this.#streams.add(stream)
    return stream
  }

  /**
   * What takes the place of removed objects lies in a folder beside theirs (a range of `ltx/1` for versions of
   * `ltx/0`). Its maker may have died before it forced the name to the disk: no power cut may leave neither.
   */
  async #syncNeighbours(keys: string[]): Promise<void> {
    const { files } = this.#platform
    for (const parent of new Set(keys.map((key) => dirname(dirname(key))))) {
      const path = this.#path(parent)
      for (const { name, isFolder } of (await files.list(path)) ?? []) {
        if (isFolder && !name.startsWith('.')) await this.#syncIfThere(join(path, name))
      }
    }
  }

  async #syncIfThere(folder: string): Promise<void> {
    if ((await this.#platform.files.stat(folder)) !== undefined) await this.#platform.files.syncFolder(folder)
  }
}

function factsOrClose(file: OpenFile): FileFacts {
  try {
    return file.factsSync()
  } catch (thrown) {
    file.closeSync()
    throw thrown
  }
}

async function writeBody(file: OpenFile, body: ObjectBody, signal: AbortSignal | undefined): Promise<void> {
  const expectedBytes = body instanceof Uint8Array ? body.length : body.sizeBytes
  let writtenBytes = 0
  for await (const chunk of chunksOf(body)) {
    throwIfCancelled(signal)
    file.writeSync(chunk, writtenBytes)
    writtenBytes += chunk.length
  }
  if (writtenBytes === expectedBytes) return
  throw new TargetError(
    'permanent',
    `A body of ${expectedBytes} bytes gave ${writtenBytes}: nothing was stored`,
  )
}

/** What a body's source threw: the caller's own trouble, which must not be taken for the target's. */
class BodyFailure extends Error {}

async function* chunksOf(body: ObjectBody): AsyncIterable<Uint8Array> {
  try {
    yield* openBody(body)
  } catch (cause) {
    throw new BodyFailure('A body could not be read', { cause })
  }
}

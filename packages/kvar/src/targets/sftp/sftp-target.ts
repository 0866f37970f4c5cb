import { posix } from 'node:path'
import { beforeDeadline } from '../../platform/clock.ts'
import { BodyFailure, bodyBytes } from '../checked-body.ts'
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
import { SftpConnection, type SftpPlatform } from './sftp-connection.ts'
import {
  classifySftpError,
  DISK_FULL,
  explained,
  folderInTheWay,
  noAnswer,
  notWritable,
  STATUS,
  statusOf,
} from './sftp-errors.ts'
import { listObjects } from './sftp-list.ts'
import { asideOf, moveOver, openMutable, openObject } from './sftp-replace.ts'
import { openFolder, SftpRoot, syncAndClose } from './sftp-root.ts'
import type { SftpSession } from './sftp-session.ts'
import type { SftpSettings } from './sftp-settings.ts'
import { SftpStream } from './sftp-stream.ts'
import { type WriteOptions, writeFile } from './sftp-write.ts'

const OPEN_LIMIT_MS = 30_000
/** What a file system keeps back beside a file's own bytes. */
const DISK_SLACK_BYTES = 64 * 1024

/**
 * A folder on a server that is reached by SSH.
 *
 * @param options.home where known_hosts and `~/` keys are looked for; the home of our own user if left out
 * @throws TargetError when the server cannot be reached or refuses us, or shows a host key that nobody
 *   accepted; KvarError `SETTING_INVALID` when the package `ssh2` or the key's file is missing
 * @example
 * const target = await createSftpTarget(readSftpSettings(setting), systemPlatform)
 */
export async function createSftpTarget(
  settings: SftpSettings,
  platform: SftpPlatform,
  options: { home?: string } = {},
): Promise<Target> {
  const connection = new SftpConnection(settings, platform, options.home)
  try {
    const opening = connection.use(undefined, (session) => SftpRoot.open(session, settings, platform))
    const root = await beforeDeadline(platform.clock, OPEN_LIMIT_MS, opening)
    if (root !== 'late') return new SftpTarget(root, connection)
    opening.catch(() => undefined)
    throw noAnswer(settings.url, OPEN_LIMIT_MS)
  } catch (thrown) {
    connection.close()
    throw classifySftpError(thrown, 'open the folder', settings.url)
  }
}

class SftpTarget implements Target {
  readonly kind = 'sftp'
  readonly url: string
  readonly capabilities: TargetCapabilities
  readonly #root: SftpRoot
  readonly #connection: SftpConnection

  constructor(root: SftpRoot, connection: SftpConnection) {
    this.url = root.url
    this.#root = root
    this.#connection = connection
    this.capabilities = {
      // Without links it is looked up, and a rename has to fail where the protocol says so.
      createIfAbsent: root.abilities.canLink ? 'atomic' : 'checked',
      rangeRead: true,
      // The protocol has whole seconds.
      keepsModifiedAt: false,
      maxObjectBytes: Number.MAX_SAFE_INTEGER,
      listConsistency: 'strong',
      requestsPerSecond: Number.POSITIVE_INFINITY,
    }
  }

  levelFolder(level: number): string {
    return `ltx/${level}`
  }

  async create(key: string, body: ObjectBody, options: CreateOptions): Promise<'created' | 'exists'> {
    assertKey(key)
    return this.#write(`store "${key}"`, body, options, (session) =>
      this.#root.abilities.canLink
        ? this.#createByLink(session, key, body, options)
        : this.#createByRename(session, key, body, options),
    )
  }

  async replace(key: string, body: ObjectBody, options: { signal?: AbortSignal } = {}): Promise<void> {
    assertKey(key)
    await this.#write(`replace "${key}"`, body, options, async (session) => {
      const [temporary, path] = [this.#root.temporaryPath(), this.#root.pathOf(key)]
      await this.#discardedAfter(session, temporary, async () => {
        await this.#writeTemporary(session, temporary, path, body, options)
        if (this.#root.abilities.canReplace) await session.replace(temporary, path)
        else await moveOver(session, temporary, path)
        await this.#syncFolderOf(session, path)
      })
    })
  }

  async read(key: string, options: ReadOptions = {}): Promise<AsyncIterable<Uint8Array> | undefined> {
    assertKey(key)
    const doing = `read "${key}"`
    return this.#guarded(doing, options.signal, (session) => this.#openStream(session, key, doing, options))
  }

  async *list(prefix: string, options: ListOptions = {}): AsyncIterable<ObjectEntry> {
    assertPrefix(prefix)
    const session = await this.#guarded('list objects', options.signal, async (current) => current)
    this.#connection.hold()
    try {
      yield* listObjects(session, this.#root.path, prefix, options)
      // Last, because a disk that was unmounted half-way would cut the list short.
      await this.#root.assertPresent(session)
    } catch (thrown) {
      throw classifySftpError(thrown, 'list objects', this.url)
    } finally {
      this.#connection.release()
    }
  }

  async remove(keys: string[], options: { signal?: AbortSignal } = {}): Promise<void> {
    keys.forEach(assertKey)
    await this.#guarded('remove objects', options.signal, async (session) => {
      const paths = keys.map((key) => this.#root.pathOf(key))
      for (const path of paths) {
        throwIfCancelled(options.signal)
        await session.remove(path)
        if (!this.#root.abilities.canReplace) await session.remove(asideOf(path))
      }
      await this.#root.assertPresent(session)
      for (const folder of new Set(paths.map((path) => posix.dirname(path)))) {
        const handle = await openFolder(session, folder)
        if (handle !== undefined) await syncAndClose(session, handle)
      }
    })
  }

  async close(): Promise<void> {
    this.#connection.close()
  }

  /**
   * Three round trips: open, write with everything that belongs to it, name. The folder is synced also
   * before "exists": its maker may have died before the name was on the disk, and the caller may take the
   * object for its own earlier try.
   */
  async #createByLink(
    session: SftpSession,
    key: string,
    body: ObjectBody,
    options: CreateOptions,
  ): Promise<'created' | 'exists'> {
    const [temporary, path] = [this.#root.temporaryPath(), this.#root.pathOf(key)]
    await this.#root.ensureFolder(session, posix.dirname(path))
    const opening = openFolder(session, posix.dirname(path))
    opening.catch(() => undefined)
    return this.#discardedAfter(session, temporary, async () => {
      try {
        await writeFile(session, temporary, body, options)
        throwIfCancelled(options.signal)
      } catch (thrown) {
        void opening.then((handle) => handle && session.close(handle)).catch(() => undefined)
        throw thrown
      }
      const handle = await opening
      const linking = outcomeOf(session.link(temporary, path))
      if (handle !== undefined) await syncAndClose(session, handle)
      return this.#settled(session, path, await linking)
    })
  }

  /**
   * For servers without links. By the protocol a rename fails when the name is taken; not all keep to
   * that, and one that looks first can be overtaken: hence `checked`, and such a target never fences. A
   * whole object appears or none.
   */
  async #createByRename(
    session: SftpSession,
    key: string,
    body: ObjectBody,
    options: CreateOptions,
  ): Promise<'created' | 'exists'> {
    const [temporary, path] = [this.#root.temporaryPath(), this.#root.pathOf(key)]
    return this.#discardedAfter(session, temporary, async () => {
      await this.#writeTemporary(session, temporary, path, body, options)
      const isTaken = (await session.lstat(path)) !== undefined
      const failed = isTaken ? TAKEN : await outcomeOf(session.rename(temporary, path))
      await this.#syncFolderOf(session, path)
      return this.#settled(session, path, failed)
    })
  }

  /** What became of an attempt to give a name: servers say only "failure" when it was taken. */
  async #settled(session: SftpSession, path: string, failed: unknown): Promise<'created' | 'exists'> {
    if (failed === undefined) return 'created'
    const there = failed === TAKEN || statusOf(failed) !== undefined ? await session.lstat(path) : undefined
    if (there === undefined) throw failed
    if (there.isDirectory()) throw folderInTheWay(path)
    return 'exists'
  }

  async #writeTemporary(
    session: SftpSession,
    temporary: string,
    path: string,
    body: ObjectBody,
    options: WriteOptions,
  ): Promise<void> {
    await this.#root.ensureFolder(session, posix.dirname(path))
    await writeFile(session, temporary, body, options)
    throwIfCancelled(options.signal)
  }

  async #syncFolderOf(session: SftpSession, path: string): Promise<void> {
    const handle = await openFolder(session, posix.dirname(path))
    if (handle !== undefined) await syncAndClose(session, handle)
  }

  /** A leftover harms nobody and goes an hour later; failing here would turn success into failure. */
  async #discardedAfter<T>(session: SftpSession, temporary: string, work: () => Promise<T>): Promise<T> {
    try {
      return await work()
    } finally {
      session.remove(temporary).catch(() => undefined)
    }
  }

  async #openStream(session: SftpSession, key: string, doing: string, options: ReadOptions) {
    const open = this.#root.abilities.canReplace ? openObject : openMutable
    const handle = await open(session, this.#root.pathOf(key))
    if (handle === undefined) {
      await this.#root.assertPresent(session)
      return undefined
    }
    const facts = await session.factsOf(handle)
    if (facts.isDirectory()) {
      await session.close(handle)
      return undefined
    }
    this.#connection.hold()
    return new SftpStream(session, { handle, sizeBytes: facts.size }, options, {
      closed: () => this.#connection.release(),
      classify: (thrown) => classifySftpError(thrown, doing, this.url),
      assertOpen: () => this.#connection.assertOpen(),
    })
  }

  async #write<T>(
    doing: string,
    body: ObjectBody,
    options: { signal?: AbortSignal },
    work: (session: SftpSession) => Promise<T>,
  ): Promise<T> {
    return this.#guarded(doing, options.signal, async (session) => {
      if (!this.#root.abilities.canWrite) throw notWritable(doing, this.url)
      try {
        return await work(session)
      } catch (thrown) {
        if (statusOf(thrown) !== STATUS.FAILURE) throw thrown
        // A full disk is only a "failure" in this protocol, so the disk is asked.
        const freeBytes = await session.freeBytes(this.#root.path)
        const isFull = freeBytes !== undefined && freeBytes < bodyBytes(body) + DISK_SLACK_BYTES
        throw isFull ? explained(DISK_FULL, thrown, doing, this.url) : thrown
      }
    })
  }

  /** The border: nothing but classified errors and the body's own leaves it. */
  async #guarded<T>(
    doing: string,
    signal: AbortSignal | undefined,
    work: (session: SftpSession) => Promise<T>,
  ): Promise<T> {
    try {
      return await this.#connection.use(signal, (session) => this.#watched(session, work))
    } catch (thrown) {
      if (thrown instanceof BodyFailure) throw thrown.cause
      throw classifySftpError(thrown, doing, this.url)
    }
  }

  /** What vanished under our hands is told apart here, so that the way of every day needs no looks. */
  async #watched<T>(session: SftpSession, work: (session: SftpSession) => Promise<T>): Promise<T> {
    try {
      return await work(session)
    } catch (thrown) {
      if (statusOf(thrown) === STATUS.NO_SUCH_FILE) {
        this.#root.forgetFolders()
        await this.#root.assertPresent(session)
      }
      throw thrown
    }
  }
}

/** Stands for a name that was seen to be taken before anything was tried. */
const TAKEN = Symbol('taken')

/** What a request failed with; undefined when it was done. */
function outcomeOf(work: Promise<void>): Promise<unknown> {
  return work.then(
    () => undefined,
    (thrown: unknown) => thrown,
  )
}

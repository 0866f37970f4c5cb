import { posix } from 'node:path'
import type { SftpPlatform } from './sftp-connection.ts'
import { fileInTheWay, rootVanished, STATUS, statusOf } from './sftp-errors.ts'
import type { SftpHandle, SftpSession } from './sftp-session.ts'
import type { SftpSettings } from './sftp-settings.ts'

const MARKER = '.kvar-target'
const MARKER_TEXT = `This folder is a target of Kvar: it holds the version log of a database.
Do not change anything in it by hand. Without this file Kvar cannot tell an unmounted disk from an empty log.
`
const TEMPORARY_FOLDER = '.kvar-tmp'
const LEFTOVER_AGE_MS = 3_600_000

/** What a server was seen to do when it was tried. */
export interface SftpAbilities {
  canWrite: boolean
  /** A second name for a file, refused when it is taken: the atomic create-if-absent. */
  canLink: boolean
  /** Replacing a file in one step. */
  canReplace: boolean
}

/**
 * The folder of a target on the server: whether it is (still) there, which of its folders are known to
 * exist, and where unfinished objects lie. The same layout as a folder target has, so that one can be
 * copied to the other.
 */
export class SftpRoot {
  readonly path: string
  readonly url: string
  readonly abilities: SftpAbilities
  /** What must exist as long as the root is there: the marker, or where we may not write the root. */
  readonly #witness: string
  readonly #platform: SftpPlatform
  readonly #known = new Set<string>()

  private constructor(path: string, url: string, rest: OpenedRoot) {
    this.path = path
    this.url = url
    this.abilities = rest.abilities
    this.#witness = rest.witness
    this.#platform = rest.platform
  }

  /** Makes the folder if it is missing, tries what the server can do, adopts it, and clears away leftovers. */
  static async open(session: SftpSession, settings: SftpSettings, platform: SftpPlatform): Promise<SftpRoot> {
    const base = settings.isBelowHome ? await session.realPath('.') : '/'
    const path = posix.join(base, settings.path)
    const marker = posix.join(path, MARKER)
    try {
      await makeFolders(session, posix.join(path, TEMPORARY_FOLDER))
      const abilities = await tryAbilities(session, path, platform)
      await adopt(session, marker)
      await removeLeftovers(session, path, platform)
      return new SftpRoot(path, settings.url, { abilities, witness: marker, platform })
    } catch (thrown) {
      // A user who may only read can restore, which is a good use of it; writes will be refused one by one.
      if (!isRefusal(thrown) || (await session.lstat(path)) === undefined) throw thrown
      const witness = (await session.lstat(marker)) === undefined ? path : marker
      const abilities = { canWrite: false, canLink: false, canReplace: false }
      return new SftpRoot(path, settings.url, { abilities, witness, platform })
    }
  }

  /** Fails when the root has vanished since it was opened: an unmounted disk leaves an empty folder behind. */
  async assertPresent(session: SftpSession): Promise<void> {
    if ((await session.lstat(this.#witness)) === undefined) throw rootVanished(this.url)
  }

  pathOf(key: string): string {
    return posix.join(this.path, key)
  }

  /** A free name for an unfinished object; the time in it tells leftovers apart. */
  temporaryPath(): string {
    return posix.join(this.path, TEMPORARY_FOLDER, temporaryName(this.#platform))
  }

  /** Known folders cost nothing; after any surprise `forgetFolders` makes them unknown again. */
  async ensureFolder(session: SftpSession, folder: string): Promise<void> {
    if (this.#known.has(folder)) return
    await this.assertPresent(session)
    await makeFolders(session, folder)
    this.#known.add(folder)
  }

  forgetFolders(): void {
    this.#known.clear()
  }
}

interface OpenedRoot {
  abilities: SftpAbilities
  witness: string
  platform: SftpPlatform
}

function temporaryName({ clock, random }: SftpPlatform): string {
  return `${Math.floor(clock.nowMs())}-${Buffer.from(random.bytes(8)).toString('hex')}`
}

function isRefusal(thrown: unknown): boolean {
  const status = statusOf(thrown)
  return status === STATUS.PERMISSION_DENIED || status === STATUS.WRITE_PROTECT
}

/** Makes a folder with its parents, and syncs the folder that each new name is in. */
async function makeFolders(session: SftpSession, folder: string): Promise<void> {
  const facts = await session.lstat(folder)
  if (facts !== undefined && !facts.isFile()) return
  const parent = posix.dirname(folder)
  if (parent !== folder) await makeFolders(session, parent)
  try {
    await session.makeFolder(folder)
  } catch (thrown) {
    const there = await session.lstat(folder)
    if (there?.isFile()) throw fileInTheWay(folder, thrown)
    // Somebody else may have been quicker.
    if (there === undefined) throw thrown
  }
  await syncFolder(session, parent)
}

/** Makes the names in a folder survive a power cut, where the server can: OpenSSH opens folders as files. */
export async function syncFolder(session: SftpSession, folder: string): Promise<void> {
  const handle = await openFolder(session, folder)
  if (handle !== undefined) await syncAndClose(session, handle)
}

/** A folder as something to sync; undefined where the server does not open folders. */
export function openFolder(session: SftpSession, folder: string): Promise<SftpHandle | undefined> {
  return session.open(folder, 'read').catch((thrown: unknown) => {
    if (statusOf(thrown) === undefined) throw thrown
    return undefined
  })
}

/** Both requests go out at once. A server without fsync has done what it can. */
export async function syncAndClose(session: SftpSession, handle: SftpHandle): Promise<void> {
  const syncing = session.sync(handle).catch((thrown: unknown) => {
    if (statusOf(thrown) !== STATUS.UNSUPPORTED) throw thrown
  })
  await Promise.all([syncing, session.close(handle)])
}

async function adopt(session: SftpSession, marker: string): Promise<void> {
  if ((await session.lstat(marker)) !== undefined) return
  try {
    const handle = await session.open(marker, 'createNew')
    await session.write(handle, Buffer.from(MARKER_TEXT), 0)
    await syncAndClose(session, handle)
    await syncFolder(session, posix.dirname(marker))
  } catch (thrown) {
    if ((await session.lstat(marker)) === undefined) throw thrown
  }
}

/**
 * Tries the very operations that `create` and `replace` rest on. A server that gives a second name
 * although it is taken would let two writers win, and is treated as one that cannot.
 */
async function tryAbilities(
  session: SftpSession,
  path: string,
  platform: SftpPlatform,
): Promise<SftpAbilities> {
  const name = () => posix.join(path, TEMPORARY_FOLDER, temporaryName(platform))
  const [first, second, third] = [name(), name(), name()]
  try {
    for (const file of [first, second]) await session.close(await session.open(file, 'createNew'))
    const canLink =
      (await succeeds(session.link(first, third))) && !(await succeeds(session.link(first, second)))
    const canReplace = await succeeds(session.replace(first, second))
    return { canWrite: true, canLink, canReplace }
  } finally {
    for (const file of [first, second, third]) await session.remove(file)
  }
}

/** Whether a request is answered with "done"; a lost connection is no answer. */
async function succeeds(work: Promise<void>): Promise<boolean> {
  try {
    await work
    return true
  } catch (thrown) {
    if (statusOf(thrown) === undefined) throw thrown
    return false
  }
}

async function removeLeftovers(session: SftpSession, path: string, { clock }: SftpPlatform): Promise<void> {
  const folder = posix.join(path, TEMPORARY_FOLDER)
  for (const { filename } of (await session.list(folder)) ?? []) {
    const begunAtMs = Number(/^(\d+)-[0-9a-f]+$/.exec(filename)?.[1])
    if (clock.nowMs() - begunAtMs > LEFTOVER_AGE_MS) await session.remove(posix.join(folder, filename))
  }
}

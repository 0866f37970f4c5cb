import { dirname, join } from 'node:path'
import { type Files, syncFile, systemErrorCode } from '../../platform/files.ts'
import type { Platform } from '../../platform/platform.ts'
import { rootVanished } from './folder-errors.ts'

export type FolderPlatform = Pick<Platform, 'files' | 'clock' | 'random'>

const MARKER = '.kvar-target'
const MARKER_TEXT = `This folder is a target of Kvar: it holds the version log of a database.
Do not change anything in it by hand. Without this file Kvar cannot tell an unmounted disk from an empty log.
`
const TEMPORARY_FOLDER = '.kvar-tmp'
const LEFTOVER_AGE_MS = 3_600_000
const FOLDER_MODE = 0o700
const REFUSED_WRITES = new Set(['EROFS', 'EACCES', 'EPERM'])

/**
 * The folder itself: whether it is (still) there, which of its folders are known to be on disk, and
 * where unfinished objects lie.
 *
 * ```
 * <root>/.kvar-target              says that this folder was adopted
 * <root>/.kvar-tmp/<ms>-<random>   an object being written
 * <root>/ltx/0/…                   objects
 * ```
 */
export class FolderRoot {
  readonly path: string
  readonly url: string
  readonly deviceId: number
  /** Whether the file system can give a file a second name: the atomic create-if-absent. */
  readonly canLink: boolean
  /** What must exist as long as the root is there: the marker, or on read-only media the root. */
  readonly #witness: string
  readonly #platform: FolderPlatform
  readonly #known = new Map<string, Promise<void>>()

  private constructor(facts: Pick<FolderRoot, 'path' | 'url' | 'deviceId' | 'canLink'>, rest: OpenedRoot) {
    this.path = facts.path
    this.url = facts.url
    this.deviceId = facts.deviceId
    this.canLink = facts.canLink
    this.#witness = rest.witness
    this.#platform = rest.platform
  }

  /** Makes the folder if it is missing, adopts it, and clears away what crashes have left. */
  static async open(path: string, url: string, platform: FolderPlatform): Promise<FolderRoot> {
    const { files } = platform
    if ((await files.stat(path)) === undefined) await makeDurableFolder(files, path)
    const deviceId = (await files.stat(path))?.deviceId ?? 0
    try {
      await files.makeFolder(join(path, TEMPORARY_FOLDER), FOLDER_MODE)
      const canLink = await probeLinks(path, platform)
      await adopt(files, path)
      await removeLeftovers(path, platform)
      return new FolderRoot({ path, url, deviceId, canLink }, { witness: join(path, MARKER), platform })
    } catch (thrown) {
      // Restoring from a medium that cannot be written is a good use of it; writes will be refused one by one.
      if (!REFUSED_WRITES.has(systemErrorCode(thrown) ?? '')) throw thrown
      const marker = await files.stat(join(path, MARKER))
      const witness = marker === undefined ? path : join(path, MARKER)
      return new FolderRoot({ path, url, deviceId, canLink: false }, { witness, platform })
    }
  }

  /** Fails when the root has vanished since it was opened: an unmounted disk leaves an empty folder behind. */
  async assertPresent(): Promise<void> {
    if ((await this.#platform.files.stat(this.#witness)) === undefined) throw rootVanished(this.url)
  }

  /** A free name for an unfinished object. The time in it tells leftovers apart: their own may be any version's. */
  async temporaryPath(): Promise<string> {
    const folder = join(this.path, TEMPORARY_FOLDER)
    await this.ensureFolder(folder)
    return join(folder, temporaryName(this.#platform))
  }

  /**
   * Makes sure that a folder exists and that its name and its parents' names survive a power cut.
   * Known ones cost nothing; after any surprise `forgetFolders` makes them unknown again.
   */
  ensureFolder(folder: string): Promise<void> {
    const known = this.#known.get(folder)
    if (known !== undefined) return known
    const making = this.#makeFolder(folder)
    this.#known.set(folder, making)
    making.catch(() => this.#known.delete(folder))
    return making
  }

  forgetFolders(): void {
    this.#known.clear()
  }

  async #makeFolder(folder: string): Promise<void> {
    await this.assertPresent()
    await this.#platform.files.makeFolder(folder, FOLDER_MODE)
    // Even if it existed: whoever made it may have crashed before its name was on the disk.
    for (let at = folder; at !== this.path; at = dirname(at))
      await this.#platform.files.syncFolder(dirname(at))
  }
}

interface OpenedRoot {
  witness: string
  platform: FolderPlatform
}

function temporaryName({ clock, random }: FolderPlatform): string {
  return `${Math.floor(clock.nowMs())}-${Buffer.from(random.bytes(8)).toString('hex')}`
}

/** Makes a folder with its parents and syncs every folder that got a new name in it. */
async function makeDurableFolder(files: Files, path: string): Promise<void> {
  const parents = []
  for (let parent = dirname(path); ; parent = dirname(parent)) {
    parents.push(parent)
    if (parent === dirname(parent) || (await files.stat(parent)) !== undefined) break
  }
  await files.makeFolder(path, FOLDER_MODE)
  for (const parent of parents) await files.syncFolder(parent)
}

async function adopt(files: Files, path: string): Promise<void> {
  const marker = join(path, MARKER)
  if ((await files.stat(marker)) !== undefined) return
  await files.writeFile(marker, MARKER_TEXT)
  await syncFile(files, marker)
  await files.syncFolder(path)
}

/** Tries the very operation that `create` rests on; FAT, exFAT and some network disks refuse it. */
async function probeLinks(path: string, platform: FolderPlatform): Promise<boolean> {
  const from = join(path, TEMPORARY_FOLDER, temporaryName(platform))
  const to = join(path, TEMPORARY_FOLDER, temporaryName(platform))
  try {
    await platform.files.writeFile(from, '')
    return (await platform.files.link(from, to)) === 'created'
  } finally {
    await platform.files.remove(from)
    await platform.files.remove(to)
  }
}

async function removeLeftovers(path: string, { files, clock }: FolderPlatform): Promise<void> {
  const folder = join(path, TEMPORARY_FOLDER)
  for (const { name, isFolder } of (await files.list(folder)) ?? []) {
    const begunAtMs = Number(/^(\d+)-[0-9a-f]+$/.exec(name)?.[1])
    if (!isFolder && clock.nowMs() - begunAtMs > LEFTOVER_AGE_MS) await files.remove(join(folder, name))
  }
}

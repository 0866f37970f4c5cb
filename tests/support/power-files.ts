import * as fs from 'node:fs'
import { dirname, join } from 'node:path'
import type { FileCall, FileTap } from './crash-files.ts'
import { setTime } from './crash-files-image.ts'
import { type CutChoices, cutContent, survivingSteps } from './power-files-fate.ts'

/*
 * What a power cut may take. The files are real ones on a disk in memory; this book is kept beside it,
 * of everything that the keeper did and did not yet force to the disk:
 *
 *   content   what was written to a file since its last fsync may be kept, dropped, torn or garbled
 *   names     what became of names in a folder since that folder's last fsync may have happened or
 *             not, each step apart from the others
 *
 * A rename within one folder is one step, as POSIX has it. One between two folders is two: the name may
 * be in both, but never in none. SQLite's own files are left as they are; a file of ours that SQLite
 * has written to since counts as forced by it.
 */

/** A file or folder that the keeper made or touched. A file stays reachable by a name in the graveyard. */
export class Inode {
  readonly keptAt: string | undefined
  /** The content at its last fsync; undefined while all of it is safe. */
  safe: Buffer | undefined
  /** The kernel's stamp of our own last write. */
  stampNs = 0n

  constructor(keptAt: string | undefined) {
    this.keptAt = keptAt
  }
}

/** Something that happened to names of one folder, and that its next fsync makes safe. */
export interface NameStep {
  folder: string
  /** `undefined`: the name went. */
  names: Array<{ path: string; inode: Inode | undefined }>
  /** Never safe before that one. */
  after?: NameStep
}

const WRITES = new Set(['openSync', 'writeFile', 'copyFile'])

export class PowerBook implements FileTap {
  readonly #graveyard: string
  readonly #inodes = new Map<bigint, Inode>()
  /** What bears a name for sure, of the names that steps wait for. */
  readonly #safeNames = new Map<string, Inode | undefined>()
  #steps: NameStep[] = []
  #moving: Inode | undefined
  #newFolders: string[] = []

  /** @param graveyard a folder on the same disk, outside of everything the keeper sees */
  constructor(graveyard: string) {
    this.#graveyard = graveyard
    fs.mkdirSync(graveyard, { recursive: true })
  }

  readonly before = (call: FileCall): void => {
    const { verb, path, to, given } = call
    if (!call.changes) return
    if (WRITES.has(verb)) {
      const former = this.#inodeAt(to ?? path)
      if (former === undefined) this.#remember(to ?? path)
      if (former !== undefined && given[1] !== 'createNew') this.#soil(former)
    } else if (verb === 'writeSync' || verb === 'truncateSync') this.#soil(this.#inodeAt(path))
    else if (verb === 'makeFolder') {
      this.#newFolders = missingFolders(path)
      for (const folder of this.#newFolders) this.#remember(folder)
    } else if (verb === 'rename' || verb === 'link' || verb === 'remove') {
      this.#moving = this.#inodeAt(path)
      this.#remember(path)
      if (to !== undefined) this.#remember(to)
    }
  }

  readonly after = ({ verb, path, to, changes }: FileCall, answer: unknown): void => {
    if (!changes) return
    if (WRITES.has(verb)) this.#written(to ?? path)
    else if (verb === 'writeSync' || verb === 'truncateSync' || verb === 'setModifiedAt') this.#stamp(path)
    else if (verb === 'sync' || verb === 'syncSync') this.#force(path)
    else if (verb === 'link') {
      if (answer === 'created') this.#step([{ path: to as string, inode: this.#moving }])
    } else if (verb === 'remove') this.#step([{ path, inode: undefined }])
    else if (verb === 'rename') this.#renamed(path, to as string)
    else if (verb === 'makeFolder')
      for (const folder of this.#newFolders) this.#step([{ path: folder, inode: new Inode(undefined) }])
    else if (verb === 'syncFolder') this.#syncFolder(path)
    else throw new Error(`the book of a disk knows nothing of ${verb}`)
  }

  /** Makes of the real files what a power cut at this moment may have left. @returns what was done, for a failing test */
  cut(choices: CutChoices): string[] {
    const isForgetful = choices.chance(0.3)
    const story = isForgetful ? ['nothing is left of what was not forced'] : []
    for (const inode of this.#inodes.values()) {
      if (inode.safe === undefined || inode.keptAt === undefined || stampOf(inode.keptAt) !== inode.stampNs)
        continue
      const { how, bytes } = isForgetful
        ? { how: 'dropped', bytes: inode.safe }
        : cutContent(fs.readFileSync(inode.keptAt), inode.safe, choices)
      story.push(`content ${how}: ${this.#namesOf(inode)}`)
      overwrite(inode.keptAt, bytes)
    }
    const survived = isForgetful ? new Set<NameStep>() : survivingSteps(this.#steps, choices)
    const left = new Map<string, Inode | undefined>()
    for (const step of this.#steps)
      for (const { path } of step.names) left.set(path, this.#safeNames.get(path))
    for (const step of survived) for (const { path, inode } of step.names) left.set(path, inode)
    for (const step of this.#steps)
      if (!survived.has(step)) story.push(`lost: ${step.names.map(nameText).join(' and ')}`)
    // Folders come before what lies in them.
    for (const [path, inode] of [...left].sort(([a], [b]) => (a < b ? -1 : 1))) putName(path, inode)
    return story
  }

  #namesOf(inode: Inode): string {
    const steps = this.#steps.flatMap((step) => step.names)
    return [...new Set(steps.filter((one) => one.inode === inode).map((one) => one.path))].join(' ')
  }

  /** What bears a name now; its content counts as safe when nothing is known of it. */
  #inodeAt(path: string): Inode | undefined {
    const stats = fs.statSync(path, { bigint: true, throwIfNoEntry: false })
    if (stats === undefined) return undefined
    const known = this.#inodes.get(stats.ino)
    if (known !== undefined || stats.isDirectory()) return known
    const inode = new Inode(join(this.#graveyard, String(stats.ino)))
    fs.linkSync(path, inode.keptAt as string)
    this.#inodes.set(stats.ino, inode)
    return inode
  }

  #remember(path: string): void {
    if (!this.#steps.some((step) => step.names.some((one) => one.path === path)))
      this.#safeNames.set(path, this.#inodeAt(path))
  }

  #soil(inode: Inode | undefined): void {
    if (inode?.keptAt === undefined) return
    // What SQLite wrote since is safe, and what we forced before it as well.
    const isForced = inode.safe !== undefined && stampOf(inode.keptAt) !== inode.stampNs
    if (inode.safe === undefined || isForced) inode.safe = fs.readFileSync(inode.keptAt)
  }

  #written(path: string): void {
    const known = this.#inodes.has(fs.statSync(path, { bigint: true }).ino)
    const inode = this.#inodeAt(path) as Inode
    if (!known) {
      inode.safe = Buffer.alloc(0)
      this.#step([{ path, inode }])
    }
    this.#stamp(path)
  }

  #stamp(path: string): void {
    const inode = this.#inodeAt(path)
    if (inode?.keptAt !== undefined) inode.stampNs = stampOf(inode.keptAt)
  }

  #force(path: string): void {
    const inode = this.#inodeAt(path)
    if (inode !== undefined) inode.safe = undefined
  }

  #renamed(from: string, to: string): void {
    const [arrives, leaves] = [
      { path: to, inode: this.#moving },
      { path: from, inode: undefined },
    ]
    if (dirname(from) === dirname(to)) this.#step([arrives, leaves])
    else this.#step([leaves], this.#step([arrives]))
  }

  #step(names: NameStep['names'], after?: NameStep): NameStep {
    const folder = dirname(names[0]?.path ?? '')
    const step = { folder, names, ...(after === undefined ? {} : { after }) }
    this.#steps.push(step)
    return step
  }

  #syncFolder(folder: string): void {
    const isSafe = new Set<NameStep>()
    for (const step of this.#steps) if (step.folder === folder) markSafe(step, isSafe)
    for (const step of this.#steps)
      if (isSafe.has(step)) for (const { path, inode } of step.names) this.#safeNames.set(path, inode)
    this.#steps = this.#steps.filter((step) => !isSafe.has(step))
  }
}

function markSafe(step: NameStep, isSafe: Set<NameStep>): void {
  isSafe.add(step)
  if (step.after !== undefined) markSafe(step.after, isSafe)
}

function missingFolders(path: string): string[] {
  if (fs.existsSync(path)) return []
  return [...missingFolders(dirname(path)), path]
}

function stampOf(path: string): bigint {
  return fs.statSync(path, { bigint: true }).mtimeNs
}

function overwrite(path: string, bytes: Uint8Array): void {
  const stamp = stampOf(path)
  fs.writeFileSync(path, bytes)
  setTime(path, stamp)
}

function putName(path: string, inode: Inode | undefined): void {
  const there = fs.statSync(path, { throwIfNoEntry: false })
  if (inode === undefined || !there?.isDirectory()) fs.rmSync(path, { recursive: true, force: true })
  if (inode?.keptAt !== undefined && fs.existsSync(dirname(path))) fs.linkSync(inode.keptAt, path)
}

function nameText({ path, inode }: NameStep['names'][number]): string {
  return `${inode === undefined ? 'removal of ' : ''}${path}`
}

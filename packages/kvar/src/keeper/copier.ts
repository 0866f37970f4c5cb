import { installBackupCopy } from '../copies/backup-copy.ts'
import { readJsonStamp, writeJsonCopy } from '../copies/json-copy.ts'
import { isOurJson, markOf, sameMark, setAsideForeign } from '../copies/ownership.ts'
import { KvarError, toKvarError } from '../errors.ts'
import type { Timer } from '../platform/clock.ts'
import { syncFile } from '../platform/files.ts'
import type { Platform } from '../platform/platform.ts'
import type { CopyKind } from '../settings/keeper-settings.ts'
import { backupCopyPath, jsonCopyPath } from '../settings/names.ts'
import type { Image } from './image-writer.ts'
import type { CopyMemory, KeeperMemory } from './state-store.ts'

/** The pause after a copy, as a multiple of the time it took: copies cost at most a twentieth of a core. */
const PAUSE_FACTOR = 20
/** A copy that failed is tried again after this time, or with the next change. */
const RETRY_MS = 10_000

/** An image of exactly one version. */
export interface VersionImage extends Image {
  version: number
  timeMs: number
  sequence: number
}

export interface CopierOptions {
  databasePath: string
  kinds: CopyKind[]
  platform: Platform
  memory: KeeperMemory
  saveMemory: () => Promise<void>
  /** Makes the image all copies come from. */
  makeImage: (path: string) => Promise<VersionImage>
  imagePath: string
  /** Called with the image before it becomes the `.backup`, for whoever else needs it. */
  useImage: (image: VersionImage) => Promise<void>
  changed: () => void
}

/** Keeps the JSON and the `.backup` beside the database up to date: never two at once, never a torn one. */
export class Copier {
  readonly #options: CopierOptions
  readonly problems: Partial<Record<CopyKind, KvarError>> = {}
  /** Captured states; the first one, before any change, is 0. */
  #wanted = -1
  #written = -1
  #running: Promise<void> | undefined
  #timer: Timer | undefined
  #notBeforeMs = 0
  #stopped = false

  constructor(options: CopierOptions) {
    this.#options = options
  }

  /** Asks for copies of a captured state; they follow within the promised bound. */
  request(sequence: number): void {
    if (this.#options.kinds.length === 0 || sequence <= this.#wanted) return
    this.#wanted = sequence
    this.#schedule()
  }

  /**
   * Writes copies now that show at least the given state, whatever the pause.
   *
   * @throws KvarError when a copy cannot be written
   */
  async writeNow(sequence: number): Promise<void> {
    if (this.#options.kinds.length === 0) return
    this.#wanted = Math.max(this.#wanted, sequence)
    while (this.#written < sequence || Object.keys(this.problems).length > 0) {
      await (this.#running ?? this.#run())
      const failed = Object.values(this.problems)[0]
      if (failed !== undefined) throw failed
    }
  }

  #schedule(): void {
    if (this.#running !== undefined || this.#timer !== undefined || this.#stopped) return
    const { clock } = this.#options.platform
    const delayMs = Math.max(0, this.#notBeforeMs - clock.monotonicMs())
    this.#timer = clock.startTimer(delayMs, () => {
      this.#timer = undefined
      if (this.#running === undefined) void this.#run()
    })
  }

  #run(): Promise<void> {
    this.#timer?.cancel()
    this.#timer = undefined
    this.#running = this.#writeAll().finally(() => {
      this.#running = undefined
      if (this.#written < this.#wanted) this.#schedule()
      this.#options.changed()
    })
    return this.#running
  }

  async #writeAll(): Promise<void> {
    const { clock } = this.#options.platform
    const begunMs = clock.monotonicMs()
    let failed = false
    try {
      const image = await this.#options.makeImage(this.#options.imagePath)
      await this.#options.useImage(image)
      for (const kind of ['json', 'backup'] as const) {
        if (this.#options.kinds.includes(kind)) failed = !(await this.#writeOne(kind, image)) || failed
      }
      await this.#options.platform.files.remove(this.#options.imagePath)
      // A copy that failed is wanted still: the pause decides when it is tried again.
      if (!failed) this.#written = Math.max(this.#written, image.sequence)
    } catch (thrown) {
      failed = true
      for (const kind of this.#options.kinds) this.problems[kind] = toKvarError(thrown)
    }
    const tookMs = clock.monotonicMs() - begunMs
    this.#notBeforeMs = clock.monotonicMs() + Math.max(tookMs * PAUSE_FACTOR, failed ? RETRY_MS : 0)
  }

  async #writeOne(kind: CopyKind, image: VersionImage): Promise<boolean> {
    try {
      await (kind === 'json' ? this.#writeJson(image) : this.#writeBackup(image))
      delete this.problems[kind]
      return true
    } catch (thrown) {
      this.problems[kind] = toKvarError(thrown)
      return false
    }
  }

  async #writeJson(image: VersionImage): Promise<void> {
    const { databasePath, platform, memory } = this.#options
    const path = jsonCopyPath(databasePath)
    const isOurs = isOurJson(await readJsonStamp(path, platform), memory.lineage)
    await setAsideForeign({ path, isOurs, timeMs: platform.clock.nowMs(), platform })
    const stamp = { lineage: memory.lineage, version: image.version, timeMs: image.timeMs }
    await writeJsonCopy({ imagePath: image.path, outPath: path, stamp, platform })
    memory.copies.json = { version: image.version, timeMs: platform.clock.nowMs(), marks: [] }
    await this.#options.saveMemory()
  }

  async #writeBackup(image: VersionImage): Promise<void> {
    const { databasePath, platform, memory } = this.#options
    const path = backupCopyPath(databasePath)
    const marks = memory.copies.backup?.marks ?? []
    const there = platform.files.statSync(path)
    const isOurs = there !== undefined && marks.some((mark) => sameMark(mark, markOf(there)))
    await setAsideForeign({ path, isOurs, timeMs: platform.clock.nowMs(), platform })
    await syncFile(platform.files, image.path)
    await platform.files.setModifiedAt(image.path, image.timeMs)
    const facts = platform.files.statSync(image.path)
    if (facts === undefined) throw new KvarError('ASSERTION', 'Kvar contradicts itself: the image vanished')
    // Noted before the rename: after a crash in between, either file is known to be ours.
    const noted: CopyMemory = {
      version: image.version,
      timeMs: platform.clock.nowMs(),
      marks: [...marks.slice(-1), markOf(facts)],
    }
    memory.copies.backup = noted
    await this.#options.saveMemory()
    await installBackupCopy({ imagePath: image.path, outPath: path, platform })
  }

  async stop(): Promise<void> {
    this.#stopped = true
    this.#timer?.cancel()
    await this.#running
  }
}

import { imageSource } from '../log/page-source.ts'
import { SNAPSHOT_LIMITS, snapshotDue, storeSnapshot } from '../log/snapshot.ts'
import type { VersionLog } from '../log/version-log.ts'
import type { Platform } from '../platform/platform.ts'
import type { VersionImage } from './copier.ts'

/** A snapshot of a tiny database would be due after every few versions; it waits for at least so many. */
const SNAPSHOT_AFTER_VERSIONS = 64

interface LastSnapshot {
  version: number
  timestampMs: number
  sizeBytes: number
}

/** Stores snapshots on the ledger, from the images that are made for the copies anyway. */
export class Snapshots {
  readonly #log: VersionLog
  readonly #platform: Platform
  #last: LastSnapshot | undefined
  /** Bytes of the versions after the last snapshot. */
  #deltaBytes = 0

  constructor(log: VersionLog, platform: Platform) {
    this.#log = log
    this.#platform = platform
  }

  /** Counts a version that was confirmed. */
  count(sizeBytes: number): void {
    this.#deltaBytes += sizeBytes
  }

  /** Stores the image if a snapshot is due. The log holds the image's version. */
  async storeIfDue(image: VersionImage): Promise<void> {
    this.#last ??= await this.#findLast()
    if (this.#last === undefined || !this.#isDue(this.#last, image)) return
    const pages = imageSource({ platform: this.#platform, ...image })
    await storeSnapshot({ log: this.#log, version: image.version, pages })
    this.#last = { version: image.version, timestampMs: image.timeMs, sizeBytes: this.#last.sizeBytes }
    this.#deltaBytes = 0
  }

  #isDue(last: LastSnapshot, image: VersionImage): boolean {
    const nowMs = this.#platform.clock.nowMs()
    const head = { version: image.version, timestampMs: image.timeMs }
    if (image.version <= last.version) return false
    if (nowMs - last.timestampMs >= SNAPSHOT_LIMITS.ageMs) return true
    const enough = image.version - last.version >= SNAPSHOT_AFTER_VERSIONS
    return enough && snapshotDue({ last, head, deltaBytes: this.#deltaBytes, nowMs })
  }

  async #findLast(): Promise<LastSnapshot | undefined> {
    const files = await this.#log.listFiles()
    const whole = files.filter((file) => file.minVersion === 1).sort((a, b) => a.maxVersion - b.maxVersion)
    const last = whole.at(-1)
    if (last === undefined) return undefined
    const after = files.filter((file) => file.level === 0 && file.minVersion > last.maxVersion)
    this.#deltaBytes = after.reduce((sum, file) => sum + file.sizeBytes, 0)
    return { version: last.maxVersion, timestampMs: last.modifiedAtMs, sizeBytes: last.sizeBytes }
  }
}

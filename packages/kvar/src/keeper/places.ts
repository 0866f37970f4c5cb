import type { VersionLog } from '../log/version-log.ts'
import type { Platform } from '../platform/platform.ts'
import { hostName } from '../platform/processes.ts'
import type { KeeperSettings } from '../settings/keeper-settings.ts'
import type { VersionImage } from './copier.ts'
import { FollowerTask } from './follower-task.ts'
import { LogKeeping } from './log-keeping.ts'
import { RecentVersions } from './recent-versions.ts'
import type { StateStore } from './state-store.ts'
import type { TargetInUse, TargetSet } from './target-set.ts'
import type { PreparedVersion } from './version-cutter.ts'

export interface PlacesOptions {
  settings: KeeperSettings
  platform: Platform
  store: StateStore
  targets: TargetSet
  nodeId: bigint
  ledgerLog: VersionLog
  changed: () => void
}

/** What becomes of a version once the ledger holds it: followers receive it, and each log is kept small. */
export class Places {
  readonly followers: FollowerTask[]
  readonly #options: PlacesOptions
  readonly #recent: RecentVersions
  /** By the target's URL, the ledger among them. */
  readonly #keepings = new Map<string, LogKeeping>()

  constructor(options: PlacesOptions) {
    this.#options = options
    this.#recent = new RecentVersions(options.settings.limits.outboxBytes)
    this.followers = options.targets.followers.map((target) => this.#makeFollower(target))
  }

  /** Keeps the bytes of a confirmed version for the followers, if they are in memory. */
  remember(version: PreparedVersion): void {
    if (version.bytes instanceof Uint8Array) this.#recent.add(version.version, version.bytes)
  }

  /** Says what the ledger holds now. */
  follow(confirmed: number): void {
    const { ledger } = this.#options.targets
    if (ledger !== undefined) this.#keepingOf(ledger).confirmed(confirmed)
    for (const follower of this.followers) follower.follow(confirmed)
  }

  /** The image of a version that a target has confirmed may become its snapshot there. */
  async offer(image: VersionImage): Promise<void> {
    for (const keeping of this.#keepings.values()) await keeping.offer(image)
  }

  /** URLs of the targets that hold a version that the ledger has confirmed. */
  holding(version: number): string[] {
    const following = this.followers.filter((follower) => follower.confirmed >= version)
    return [this.#options.targets.ledger, ...following.map((one) => one.target)].flatMap(
      (one) => one?.url ?? [],
    )
  }

  /** Logs that a restore can be rehearsed from. */
  toRehearse(): Array<{ url: string; log: () => Promise<VersionLog> }> {
    const following = this.followers.filter((follower) => follower.confirmed > 0).map((one) => one.target)
    return [this.#options.targets.ledger, ...following].flatMap((target) =>
      target === undefined ? [] : [{ url: target.url, log: () => target.log() }],
    )
  }

  notes(): string[] {
    const kept = [...this.#keepings.values()].flatMap((keeping) => keeping.notes())
    return [...this.#options.targets.notes(), ...kept]
  }

  async stopKeeping(): Promise<void> {
    await Promise.all([...this.#keepings.values()].map((keeping) => keeping.stop()))
  }

  async stop(): Promise<void> {
    for (const follower of this.followers) follower.stop()
    await this.stopKeeping()
  }

  #makeFollower(target: TargetInUse): FollowerTask {
    const { settings, platform, store, nodeId, ledgerLog, changed } = this.#options
    return new FollowerTask({
      target,
      ledgerLog,
      platform,
      scratchPath: store.path(`follower-${settings.targets.indexOf(target.setting)}.tmp`),
      nodeId,
      host: hostName(),
      catchUpVersions: settings.limits.catchUpVersions,
      recent: (version) => this.#recent.get(version),
      changed: () => {
        this.#keepFollower(target)
        changed()
      },
    })
  }

  #keepFollower(target: TargetInUse): void {
    const follower = this.followers.find((one) => one.target === target)
    if (follower === undefined || follower.problem !== undefined) return
    this.#keepingOf(target).confirmed(follower.confirmed)
  }

  /** Each target's log is kept small by itself, out of its own files. */
  #keepingOf(target: TargetInUse): LogKeeping {
    const { settings, platform, store, targets, ledgerLog, changed } = this.#options
    const known = this.#keepings.get(target.url)
    if (known !== undefined) return known
    const keeping = new LogKeeping({
      url: target.url,
      log: async () => (target === targets.ledger ? ledgerLog : target.log()),
      keep: settings.keep,
      platform,
      scratchPath: store.path(`keeping-${settings.targets.indexOf(target.setting)}.tmp`),
      recent: (version) => this.#recent.get(version),
      imagesComing: settings.copies.length > 0,
      changed,
    })
    this.#keepings.set(target.url, keeping)
    return keeping
  }
}

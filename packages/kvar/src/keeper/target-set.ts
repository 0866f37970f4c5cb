import { dirname } from 'node:path'
import { KvarError, toKvarError } from '../errors.ts'
import { PROOF_PREFIX } from '../log/log-layout.ts'
import { VersionLog } from '../log/version-log.ts'
import type { Platform } from '../platform/platform.ts'
import type { KeeperSettings } from '../settings/keeper-settings.ts'
import { mayFence } from '../settings/target-schemes.ts'
import type { TargetSetting } from '../settings/target-url.ts'
import { type FenceProof, probeFence } from '../targets/fence-probe.ts'
import { openTarget, type TargetOpener } from '../targets/open-target.ts'
import type { Target } from '../targets/target.ts'
import { withRetries } from '../targets/wrappers/retrying-target.ts'

/** One configured target: opened when it is first needed, tried again after a failure. */
export class TargetInUse {
  readonly setting: TargetSetting
  readonly #platform: Platform
  readonly #settings: KeeperSettings
  readonly #opener: TargetOpener
  #target: Target | undefined
  #opening: Promise<Target> | undefined
  /** Tries that failed since the last success, for status. */
  retries = 0

  constructor(setting: TargetSetting, settings: KeeperSettings, platform: Platform, opener = openTarget) {
    this.setting = setting
    this.#opener = opener
    this.#settings = settings
    this.#platform = platform
  }

  get url(): string {
    return this.setting.url
  }

  /** @throws TargetError when the place cannot be reached */
  async open(): Promise<Target> {
    if (this.#target !== undefined) return this.#target
    this.#opening ??= this.#openOnce().finally(() => {
      this.#opening = undefined
    })
    return this.#opening
  }

  async #openOnce(): Promise<Target> {
    const target = await this.#opener(this.setting, this.#platform)
    this.#target = withRetries(target, {
      platform: this.#platform,
      policy: {
        maxTries: this.#settings.limits.targetTries,
        tryTimeoutMs: this.#settings.limits.targetTimeoutMs,
      },
      onRetry: () => {
        this.retries += 1
      },
    })
    return this.#target
  }

  async log(): Promise<VersionLog> {
    return new VersionLog(await this.open())
  }

  /** Whether the place lies on the given device; known for folders even before they are opened. */
  isOnDevice(deviceId: number | undefined): boolean {
    if (deviceId === undefined) return false
    if (this.#target !== undefined) return this.#target.capabilities.deviceId === deviceId
    const { path } = this.setting
    return path !== undefined && deviceOf(path, this.#platform) === deviceId
  }

  /** Before it was opened only some kinds are known to be unable to. */
  get canCompareAndSet(): boolean {
    if (this.#target === undefined) return mayFence(this.setting.scheme)
    return this.#target.capabilities.createIfAbsent === 'atomic'
  }

  async close(): Promise<void> {
    await this.#target?.close()
    this.#target = undefined
  }
}

/** The device of a path, or of the nearest folder above it that exists. */
function deviceOf(path: string, platform: Platform): number | undefined {
  for (let place = path; ; place = dirname(place)) {
    const facts = platform.files.statSync(place)
    if (facts !== undefined) return facts.deviceId
    if (place === dirname(place)) return undefined
  }
}

/** All configured targets, one of them the ledger. */
export class TargetSet {
  readonly all: TargetInUse[]
  readonly ledger: TargetInUse | undefined
  readonly #databaseDevice: number | undefined

  /** @param opener how a setting becomes a target; only the simulator has another way */
  constructor(settings: KeeperSettings, platform: Platform, opener: TargetOpener = openTarget) {
    this.all = settings.targets.map((setting) => new TargetInUse(setting, settings, platform, opener))
    this.#databaseDevice = deviceOf(dirname(settings.databasePath), platform)
    this.ledger = this.#chooseLedger(settings.ledger)
  }

  get followers(): TargetInUse[] {
    return this.all.filter((target) => target !== this.ledger)
  }

  isOnDatabaseDisk(target: TargetInUse): boolean {
    return target.isOnDevice(this.#databaseDevice)
  }

  /**
   * Several targets need a ledger that refuses a second writer for sure: it decides for all of them.
   * Alone, a target that cannot is allowed, and the status says what it means.
   *
   * @throws KvarError `SETTING_INVALID`
   */
  assertLedger(): void {
    const { ledger } = this
    if (ledger === undefined || ledger.canCompareAndSet || this.all.length === 1) return
    throw cannotBeLedger(ledger.url, 'checked')
  }

  /** What a person should know of the ledger. */
  notes(): string[] {
    const { ledger } = this
    if (ledger === undefined || ledger.canCompareAndSet) return []
    return [
      `${ledger.url} ${BROKEN_FENCES.checked}: let only one app write there, and stop it before a new one starts.`,
    ]
  }

  /** The first that can compare-and-set and lies elsewhere; else the first that can; a setting may name another. */
  #chooseLedger(named: string | undefined): TargetInUse | undefined {
    if (named !== undefined) return this.all.find((target) => target.url === named)
    const able = this.all.filter((target) => target.canCompareAndSet)
    return able.find((target) => !this.isOnDatabaseDisk(target)) ?? able[0] ?? this.all[0]
  }

  async close(): Promise<void> {
    await Promise.allSettled(this.all.map((target) => target.close()))
  }
}

/**
 * A ledger has to refuse a second create of one key. It is tried when the target is adopted. One that says
 * itself that it cannot is the only target (`assertLedger`), and there is nothing to prove.
 *
 * @throws KvarError `SETTING_INVALID` for a target that does not
 */
export async function assertCanBeLedger(target: Target, platform: Platform): Promise<void> {
  if (target.capabilities.createIfAbsent === 'checked') return
  const proof = await probeFence(target, { platform, prefix: PROOF_PREFIX })
  if (proof !== 'refuses') throw cannotBeLedger(target.url, proof)
}

/** What was seen; `checked`: nothing was, but the target says of itself that it only looks. */
export type BrokenFence = Exclude<FenceProof, 'refuses'> | 'checked'

export function cannotBeLedger(url: string, proof: BrokenFence): KvarError {
  return new KvarError(
    'SETTING_INVALID',
    `${url} ${BROKEN_FENCES[proof]}, so it cannot decide which version is next`,
    {
      hint:
        proof === 'checked'
          ? 'name another target as the ledger with KVAR_LEDGER (this one then follows it), or use this one alone'
          : 'put another target first; this one can follow it',
      data: { target: url, proof },
    },
  )
}

/** What a target does wrong, as the middle of a sentence. */
export const BROKEN_FENCES: Record<BrokenFence, string> = {
  overwrites: 'overwrites objects it should refuse',
  races: 'tells several writers at once that each of them was first',
  checked: 'cannot refuse a second writer for sure',
}

/** Whether a failure may pass by itself, so that waiting is sensible. */
export function mayPass(thrown: unknown): boolean {
  const { code } = toKvarError(thrown)
  return code === 'TARGET_TEMPORARY' || code === 'UNREACHABLE' || code === 'TARGET_FULL'
}

import { KvarError } from '../errors.ts'
import { type TargetInUse, TargetSet } from '../keeper/target-set.ts'
import type { VersionInfo, VersionLog } from '../log/version-log.ts'
import type { Platform } from '../platform/platform.ts'
import type { KeeperSettings } from '../settings/keeper-settings.ts'
import { explainError } from './explain-error.ts'

/** What one target answered when it was asked without a keeper. */
export interface TargetAnswer {
  url: string
  kind: string
  role: 'ledger' | 'follower'
  head: VersionInfo | undefined
  problem: KvarError | undefined
}

/**
 * The targets of some settings, for reading only: nothing is claimed, and a folder that is missing is
 * not made, because that would take an unmounted disk for an empty log.
 */
export class StoredLogs {
  readonly #set: TargetSet
  readonly #platform: Platform

  /** @param tries of one call before the target counts as failed */
  constructor(settings: KeeperSettings, platform: Platform, tries = settings.limits.targetTries) {
    const limits = { ...settings.limits, targetTries: tries }
    this.#set = new TargetSet({ ...settings, limits }, platform)
    this.#platform = platform
  }

  /** The ledger first: it alone says what is newest. */
  get all(): TargetInUse[] {
    return this.#set.ledger === undefined ? [] : [this.#set.ledger, ...this.#set.followers]
  }

  async logOf(target: TargetInUse): Promise<VersionLog> {
    const { path } = target.setting
    if (path !== undefined && this.#platform.files.statSync(path) === undefined) {
      throw new KvarError('NOT_FOUND', `There is no folder "${path}"`, {
        hint: 'check the path, and whether the disk is mounted',
        data: { target: target.url },
      })
    }
    return target.log()
  }

  /** Asks every target for its newest version, all at the same time. */
  ask(): Promise<TargetAnswer[]> {
    return Promise.all(this.all.map((target) => this.#askOne(target)))
  }

  async #askOne(target: TargetInUse): Promise<TargetAnswer> {
    const role = target === this.#set.ledger ? ('ledger' as const) : ('follower' as const)
    const named = { url: target.url, kind: target.setting.scheme, role }
    try {
      return { ...named, head: await (await this.logOf(target)).findHead(), problem: undefined }
    } catch (thrown) {
      return { ...named, head: undefined, problem: explainError(thrown) }
    }
  }

  /**
   * Does some reading with the first target that allows it.
   *
   * @param failed hears of every target that was passed over
   * @throws KvarError `NO_BACKUP` without targets, otherwise what the first one said
   */
  async withFirst<T>(
    work: (log: VersionLog, target: TargetInUse) => Promise<T>,
    failed: (error: KvarError, target: TargetInUse) => void = () => undefined,
  ): Promise<T> {
    let first: KvarError | undefined
    for (const target of this.all) {
      try {
        return await work(await this.logOf(target), target)
      } catch (thrown) {
        const error = explainError(thrown)
        if (error.code === 'CANCELLED') throw error
        first ??= error
        failed(error, target)
      }
    }
    throw first ?? noTarget()
  }

  close(): Promise<void> {
    return this.#set.close()
  }
}

export function noTarget(): KvarError {
  return new KvarError('NO_BACKUP', 'No target is set, so there is no log to read', {
    hint: 'name one with --target or KVAR_TARGETS; a copy beside the database needs --from json or --from backup',
  })
}

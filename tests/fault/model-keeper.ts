import * as fs from 'node:fs'
import { dirname } from 'node:path'
import type { KvarError } from '../../packages/kvar/src/errors.ts'
import { Keeper } from '../../packages/kvar/src/keeper/keeper.ts'
import { restoreToFile } from '../../packages/kvar/src/log/restore.ts'
import { VersionLog } from '../../packages/kvar/src/log/version-log.ts'
import type { Platform } from '../../packages/kvar/src/platform/platform.ts'
import { systemPlatform } from '../../packages/kvar/src/platform/system.ts'
import {
  DEFAULT_KEEP,
  DEFAULT_LIMITS,
  type KeeperLimits,
  type KeeperSettings,
} from '../../packages/kvar/src/settings/keeper-settings.ts'
import { stateFolder } from '../../packages/kvar/src/settings/names.ts'
import type { Target } from '../../packages/kvar/src/targets/target.ts'
import { WrappedTarget } from '../../packages/kvar/src/targets/wrappers/wrapped-target.ts'

export interface ModelKeeperOptions {
  databasePath: string
  /** The ledger first. They outlive the keeper. */
  targets: Target[]
  platform?: Platform
  settings?: Partial<KeeperSettings>
  limits?: Partial<KeeperLimits>
  onFenced?: (error: KvarError) => void
}

/**
 * The product's own keeper, in this process, over given targets: from start to close as in a process of its
 * own, but its clock and its targets can be taken hold of. The app has to live in this process too, and
 * nowhere else: closing a descriptor drops this process's locks, which only other processes would miss.
 */
export function modelKeeper(options: ModelKeeperOptions): Keeper {
  const { databasePath, targets, platform = unsynced, onFenced } = options
  const [ledger] = targets
  const settings: KeeperSettings = {
    databasePath,
    targets: targets.map(({ url }) => ({ url, scheme: 'model', parameters: {}, secrets: {} })),
    ...(ledger === undefined ? {} : { ledger: ledger.url }),
    durable: 'ledger',
    copies: [],
    intervalMs: 20,
    startTimeoutMs: 10_000,
    onUnreachable: 'fail',
    keep: DEFAULT_KEEP,
    ...options.settings,
    limits: { ...DEFAULT_LIMITS, scrubAfterMs: 0, drillAfterMs: 0, ...options.limits },
  }
  fs.mkdirSync(stateFolder(databasePath), { recursive: true })
  const events = { changed: () => undefined, tell: () => undefined, fenced: onFenced ?? (() => undefined) }
  return new Keeper(settings, platform, events, async ({ url }) => {
    const target = targets.find((one) => one.url === url)
    if (target === undefined) throw new Error(`no target ${url}`)
    return new LeftOpen(target)
  })
}

/** A keeper that ends closes its targets; these belong to the loop. */
class LeftOpen extends WrappedTarget {
  override async close(): Promise<void> {}
}

let restores = 0

/** One version of a target's log, restored as the product does it, as bytes. */
export async function restoredBytes(target: Target, version: number, folder: string): Promise<Buffer> {
  const log = new VersionLog(target)
  const plan = await log.plan({ kind: 'version', version })
  const path = `${folder}/model-${process.pid}-${restores++}.db`
  try {
    const image = await restoreToFile({ log, plan, path, platform: unsynced })
    if (image.version !== version) throw new Error(`asked for version ${version}, got ${image.version}`)
    return fs.readFileSync(path)
  } finally {
    fs.rmSync(path, { force: true })
  }
}

/** The machine without its waits for the disk: no power is cut here, and nothing has to outlive it. */
export const unsynced: Platform = {
  ...systemPlatform,
  files: {
    ...systemPlatform.files,
    syncFolder: async () => undefined,
    openSync(path, mode) {
      const file = systemPlatform.files.openSync(path, mode)
      return {
        readSync: (buffer, offset) => file.readSync(buffer, offset),
        writeSync: (buffer, offset) => file.writeSync(buffer, offset),
        truncateSync: (sizeBytes) => file.truncateSync(sizeBytes),
        factsSync: () => file.factsSync(),
        sync: async () => undefined,
        syncSync: () => undefined,
        closeSync: () => file.closeSync(),
      }
    },
  },
}

/** Removes a database with everything beside it, as a wiped disk would be. */
export function wipe(databasePath: string): void {
  fs.rmSync(dirname(databasePath), { recursive: true, force: true })
  fs.mkdirSync(dirname(databasePath), { recursive: true })
}

/** Waits for what no event tells; the limit is for a machine that hangs, not for a slow one. */
export async function until(what: string, isMet: () => boolean, limitMs = 60_000): Promise<void> {
  for (const endMs = performance.now() + limitMs; !isMet(); ) {
    if (performance.now() > endMs) throw new Error(`waited ${limitMs} ms in vain until ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 2))
  }
}

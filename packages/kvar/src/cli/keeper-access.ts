import { basename, join } from 'node:path'
import { KvarError } from '../errors.ts'
import { KeeperClient, type KeeperClientOptions } from '../keeper/client.ts'
import type { KeeperAddress } from '../keeper/protocol.ts'
import type { KeeperStatus } from '../keeper/status.ts'
import type { Platform } from '../platform/platform.ts'
import { processesHolding } from '../platform/processes.ts'
import type { KeeperSettings } from '../settings/keeper-settings.ts'
import { stateFolder } from '../settings/names.ts'
import { unlessCancelled } from './cancelled.ts'
import { Progress } from './progress.ts'
import type { Invocation } from './verb.ts'

export interface OpenedKeeper {
  client: KeeperClient
  /** We started it: its start has just brought the database into its right state. */
  isFresh: boolean
}

interface Hooks {
  onStatus?: (status: KeeperStatus) => void
  onGone?: () => void
}

/**
 * The running keeper, or undefined. Never starts one.
 *
 * @param waitForStart false: answers also while the keeper is still restoring
 */
export async function attachKeeper(
  { platform }: Pick<Invocation, 'platform'>,
  settings: KeeperSettings,
  hooks: Hooks = {},
  waitForStart = true,
): Promise<KeeperClient | undefined> {
  try {
    return await KeeperClient.attach({ settings, platform, role: 'tool', ...hooks }, { waitForStart })
  } catch (thrown) {
    if (thrown instanceof KvarError && thrown.code === 'KEEPER_GONE') return undefined
    throw thrown
  }
}

/**
 * The running keeper, or one that is started for this command.
 *
 * @throws KvarError `HELD` when a process has the database open that no keeper knows of
 */
export async function openKeeper(
  invocation: Invocation,
  settings: KeeperSettings,
  hooks: Hooks = {},
): Promise<OpenedKeeper> {
  const { platform, out, signal, options } = invocation
  const running = await unlessCancelled(attachKeeper(invocation, settings, hooks), signal)
  if (running !== undefined) {
    if (options.target !== undefined) await refuseOtherTargets(running, settings)
    return { client: running, isFresh: false }
  }
  await refuseHolders(settings.databasePath, platform)
  const progress = new Progress(out, platform.clock, 'Restoring')
  const clientOptions: KeeperClientOptions = {
    ...{ settings, platform, role: 'tool' as const, ...hooks },
    onProgress: progress.update,
  }
  const client = await unlessCancelled(KeeperClient.open(clientOptions), signal).finally(() => progress.end())
  return { client, isFresh: true }
}

/** A keeper has its own settings; targets named here would be passed over in silence. */
async function refuseOtherTargets(client: KeeperClient, settings: KeeperSettings): Promise<void> {
  const { targets } = await client.call('status', {})
  const missing = settings.targets.find(({ url }) => !targets.some((target) => target.url === url))
  if (missing === undefined) return
  client.detach()
  throw new KvarError('SETTING_INVALID', `The running keeper does not use ${missing.url}`, {
    hint: 'leave out --target, stop the app first, or restore to another path with --to',
  })
}

/**
 * A new keeper may put a restored file in the database's place: a process that has the old file open
 * would go on writing into it, and lose everything (R5).
 */
async function refuseHolders(databasePath: string, platform: Platform): Promise<void> {
  const keeper = await keeperProcessId(databasePath, platform)
  const [holder] = processesHolding(databasePath).filter((id) => id !== keeper)
  if (holder === undefined) return
  throw new KvarError(
    'HELD',
    `Cannot work on "${basename(databasePath)}": process ${holder} has it open, and no keeper protects it`,
    {
      hint: 'stop that process and start it with "kvar run --", or restore to another path with --to',
      data: { processId: holder },
    },
  )
}

/** A keeper that is just leaving may still have the file open. */
async function keeperProcessId(databasePath: string, platform: Platform): Promise<number | undefined> {
  const bytes = await platform.files.readFile(join(stateFolder(databasePath), 'keeper.json'))
  try {
    return bytes && (JSON.parse(new TextDecoder().decode(bytes)) as KeeperAddress).processId
  } catch {
    return undefined
  }
}

/** Lets a keeper go that was started for this command; says what it could not store. */
export async function leaveKeeper({ client, isFresh }: OpenedKeeper): Promise<string | null> {
  if (isFresh) return client.close()
  client.detach()
  return null
}

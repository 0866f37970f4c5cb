import { basename, join } from 'node:path'
import { KvarError } from '../errors.ts'
import { KeeperClient, type KeeperClientOptions } from '../keeper/client.ts'
import type { KeeperAddress } from '../keeper/protocol.ts'
import type { Platform } from '../platform/platform.ts'
import { processesHolding } from '../platform/processes.ts'
import type { KeeperSettings } from '../settings/keeper-settings.ts'
import { stateFolder } from '../settings/names.ts'
import { unlessCancelled } from './cancelled.ts'
import type { Output } from './output.ts'
import { Progress } from './progress.ts'
import type { Invocation } from './verb.ts'

export interface OpenedKeeper {
  client: KeeperClient
  /** We started it: its start has just brought the database into its right state. */
  isFresh: boolean
}

type Hooks = Pick<KeeperClientOptions, 'onStatus' | 'onGone' | 'holdProcess'>

/**
 * The running keeper, to be asked, or undefined; whatever targets it has. Never starts one.
 *
 * @param waitForStart false: answers also while the keeper is still restoring
 */
export async function attachKeeper(
  { platform }: Pick<Invocation, 'platform'>,
  settings: KeeperSettings,
  hooks: Hooks = {},
  waitForStart = true,
): Promise<KeeperClient | undefined> {
  return attach({ settings: { ...settings, targets: [] }, platform, role: 'tool', ...hooks }, waitForStart)
}

async function attach(
  options: KeeperClientOptions,
  waitForStart: boolean,
): Promise<KeeperClient | undefined> {
  try {
    return await KeeperClient.attach(options, { waitForStart })
  } catch (thrown) {
    if (thrown instanceof KvarError && thrown.code === 'KEEPER_GONE') return undefined
    throw thrown
  }
}

/**
 * The running keeper, or one that is started for this command.
 *
 * @throws KvarError `HELD` when a process has the database open that no keeper knows of,
 *   `SETTING_INVALID` when the running keeper has other targets
 * @param hooks.beforeStart a last look while nothing has been set going; may throw
 */
export async function openKeeper(
  invocation: Invocation,
  settings: KeeperSettings,
  hooks: Hooks & { beforeStart?: () => unknown } = {},
): Promise<OpenedKeeper> {
  const { platform, out, signal } = invocation
  const { beforeStart, ...clientHooks } = hooks
  const options: KeeperClientOptions = { settings, platform, role: 'tool', ...clientHooks }
  const running = await unlessCancelled(attach(options, true), signal)
  if (running !== undefined) return { client: running, isFresh: false }
  await refuseHolders(settings.databasePath, platform)
  beforeStart?.()
  return { client: await startKeeper(options, out, signal), isFresh: true }
}

async function startKeeper(
  options: KeeperClientOptions,
  out: Output,
  signal: AbortSignal,
): Promise<KeeperClient> {
  const progress = new Progress(out, options.platform.clock, 'Restoring')
  const tell = activityTeller(out, progress)
  let isStarting = true
  const opening = KeeperClient.open({
    ...options,
    onProgress: progress.update,
    onTell: (sentence) => isStarting && tell(sentence),
  })
  return unlessCancelled(opening, signal).finally(() => {
    isStarting = false
    progress.end()
  })
}

/** What the keeper is doing, each thing once. What it has done is the result, and the verb's to tell. */
function activityTeller(out: Output, progress: Progress): (sentence: string) => void {
  const told = new Set<string>()
  return (sentence) => {
    // Keepers say what they are doing in words that begin small, and what is done in sentences.
    if (told.has(sentence) || !/^[a-z]/.test(sentence)) return
    told.add(sentence)
    progress.end()
    out.tell(sentence)
  }
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

import type { Command } from 'commander'
import { KvarError } from '../errors.ts'
import { loadSettings } from '../keeper/load-settings.ts'
import { StateStore } from '../keeper/state-store.ts'
import type { TargetInUse } from '../keeper/target-set.ts'
import { completeLog } from '../log/complete-log.ts'
import { assertSameLineage, readLineage } from '../log/lineage.ts'
import type { KeeperSettings } from '../settings/keeper-settings.ts'
import { stateFolder } from '../settings/names.ts'
import { unlessCancelled } from './cancelled.ts'
import { attachKeeper } from './keeper-access.ts'
import { noTarget, StoredLogs, type TargetAnswer } from './stored-log.ts'
import { type Column, tableLines } from './table.ts'
import { type Act, examples, type Invocation } from './verb.ts'
import { countText, timeText } from './words.ts'

interface TargetsOptions {
  dryRun?: boolean
  force?: boolean
}

export function configure(command: Command, act: Act): void {
  command
    .argument('[promote]', 'with a URL: make that follower fit to be the ledger')
    .argument('[url]')
    .option('--dry-run', 'only say what promoting would do, and what would be missing')
    .option('--force', 'promote although versions would be missing')
    .addHelpText(
      'after',
      examples(
        'kvar targets                                 # each target: role, newest version, what it can do',
        'kvar targets promote URL --dry-run           # what would be missing',
        'kvar targets promote sftp://anna@nas/backup  # the ledger is lost for good',
      ),
    )
    .action(act(targets))
}

async function targets(invocation: Invocation<TargetsOptions>): Promise<number> {
  const [verb, url] = invocation.operands
  const settings = await invocation.settings()
  if (settings.targets.length === 0) throw noTarget()
  const logs = new StoredLogs(settings, invocation.platform)
  try {
    if (verb === undefined) await unlessCancelled(show(invocation, logs), invocation.signal)
    else if (verb === 'promote' && url !== undefined) await promote(invocation, settings, logs, url)
    else {
      throw new KvarError('USAGE', 'kvar targets lists; the only thing it does besides is promote URL', {
        hint: 'such as: kvar targets promote folder:/mnt/nas/app',
      })
    }
  } finally {
    await logs.close()
  }
  return 0
}

const COLUMNS: Column[] = [
  { title: 'target' },
  { title: 'role' },
  { title: 'version', align: 'right' },
  { title: 'behind', align: 'right' },
  { title: 'time' },
  { title: 'note' },
]

/** One line a target, the ledger first. Versions are asked for, not guessed. */
async function show({ out }: Invocation, logs: StoredLogs): Promise<void> {
  const answers = await logs.ask()
  const newest = newestOf(answers)
  const silent = answers.filter(({ problem }) => problem !== undefined).length
  const lines = answers.map((answer, index) => targetLine(answer, logs.all[index] as TargetInUse, newest))
  const sentence =
    silent > 0
      ? `${silent} of ${countText(answers.length, 'target')} cannot be read.`
      : newest === 0
        ? `No version is stored on ${countText(answers.length, 'target')} yet.`
        : `Version ${newest} is the newest on ${countText(answers.length, 'target')}.`
  out.lines([
    sentence,
    ...tableLines(
      COLUMNS,
      lines.map(({ url, role, version, behind, time, note }) => [
        ...[url, role, version === 0 ? '-' : String(version)],
        ...[behind === null ? '-' : String(behind), time === null ? '-' : timeText(time), note ?? ''],
      ]),
    ),
  ])
  out.document({ sentence, targets: lines })
}

function targetLine({ url, kind, role, head, problem }: TargetAnswer, target: TargetInUse, newest: number) {
  const version = head?.version ?? 0
  const canBeLedger = problem === undefined ? target.canCompareAndSet : null
  const only = canBeLedger === false ? 'can only follow, or stand alone' : null
  return {
    ...{ url, kind, role, version, canBeLedger },
    behind: problem === undefined ? newest - version : null,
    time: head === undefined ? null : new Date(head.timestampMs).toISOString(),
    note: problem?.message ?? only,
  }
}

function newestOf(answers: TargetAnswer[]): number {
  return Math.max(0, ...answers.map(({ head }) => head?.version ?? 0))
}

/**
 * Freshness is never guessed, so only a person can say that a ledger is lost. What another target still
 * holds is copied first; what nobody can give any more is said, and needs --force.
 */
async function promote(
  invocation: Invocation<TargetsOptions>,
  settings: KeeperSettings,
  logs: StoredLogs,
  text: string,
): Promise<void> {
  const { out, options } = invocation
  const chosen = findFollower(settings, logs, canonicalUrl(settings, text))
  await refuseWhileProtected(invocation, settings)
  const answers = await logs.ask()
  const own = answers[logs.all.indexOf(chosen)] as TargetAnswer
  if (own.problem !== undefined) throw own.problem
  refuseUnfit(chosen)
  const source = answers.reduce((best, one) => (newestOf([one]) > newestOf([best]) ? one : best), own)
  const known = Math.max(newestOf(answers), await notedVersion(invocation, settings))
  const [ownVersion, heldVersion] = [newestOf([own]), newestOf([source])]
  const copied = heldVersion - ownVersion
  const missing = known - heldVersion
  const order = [chosen.url, ...logs.all.filter((target) => target !== chosen).map(({ url }) => url)]
  const isDryRun = options.dryRun === true
  if (missing > 0 && !isDryRun && options.force !== true) {
    throw new KvarError(
      'WOULD_OVERWRITE',
      `${countText(missing, 'version')} after version ${heldVersion} would be missing: no target that answers holds them`,
      {
        hint: 'bring the ledger back, or give them up with --force',
        data: { missing, from: heldVersion + 1, to: known },
      },
    )
  }
  if (copied > 0 && !isDryRun)
    await copyMissing(invocation, settings, logs, { chosen, source, version: heldVersion })
  out.lines([
    isDryRun
      ? `${chosen.url} would become the ledger with version ${heldVersion}: ${countText(copied, 'version')} to copy, ${missing} missing. Nothing was changed.`
      : `${chosen.url} holds version ${heldVersion} and can be the ledger: ${countText(copied, 'version')} copied, ${missing} missing.`,
    'Name it first from now on, wherever your targets are set:',
    `  KVAR_TARGETS="${order.join(' ')}"`,
    'Leave the lost one out, if it is lost for good. Secrets stay where they are.',
  ])
  out.summary({ dryRun: isDryRun, ledger: chosen.url, version: heldVersion, copied, missing, targets: order })
}

function canonicalUrl(settings: KeeperSettings, text: string): string {
  const { databasePath } = settings
  const read = loadSettings({ databasePath, options: { targets: [text] }, optionsFrom: 'command-line' })
  return read.targets[0]?.url ?? text
}

function findFollower(settings: KeeperSettings, logs: StoredLogs, url: string): TargetInUse {
  const chosen = logs.all.find((target) => target.url === url)
  if (chosen === undefined) {
    throw new KvarError('NOT_FOUND', `${url} is not among the targets`, {
      hint: `they are ${settings.targets.map((target) => target.url).join(' ')}`,
    })
  }
  if (chosen === logs.all[0])
    throw new KvarError('USAGE', `${url} is the ledger already`, { hint: 'kvar targets lists them all' })
  return chosen
}

function refuseUnfit(target: TargetInUse): void {
  if (target.canCompareAndSet) return
  throw new KvarError('UNSUPPORTED', `${target.url} cannot tell two writers apart, so it can only follow`, {
    hint: 'promote another one; kvar targets says which can',
  })
}

/** While a keeper appends, what is missing changes from moment to moment. */
async function refuseWhileProtected(invocation: Invocation, settings: KeeperSettings): Promise<void> {
  const client = await attachKeeper(invocation, settings, {}, false)
  if (client === undefined) return
  client.detach()
  throw new KvarError('HELD', 'A keeper protects this database now', {
    hint: 'stop the app, promote, then start it with the new order of targets',
  })
}

/** What the last keeper on this disk knew to be stored. */
async function notedVersion({ platform }: Invocation, settings: KeeperSettings): Promise<number> {
  const loaded = await new StateStore(stateFolder(settings.databasePath), platform).load()
  return loaded?.memory.version ?? 0
}

async function copyMissing(
  { platform, signal }: Invocation,
  settings: KeeperSettings,
  logs: StoredLogs,
  { chosen, source, version }: { chosen: TargetInUse; source: TargetAnswer; version: number },
): Promise<void> {
  const giver = logs.all.find(({ url }) => url === source.url) as TargetInUse
  const [from, to] = [await giver.log(), await chosen.log()]
  const [theirs, ours] = [await readLineage(from.target), await readLineage(to.target)]
  if (theirs !== undefined && ours !== undefined) assertSameLineage(to.target, ours.lineage, theirs.lineage)
  const folder = stateFolder(settings.databasePath)
  await platform.files.makeFolder(folder, 0o700)
  await completeLog({
    from,
    to,
    version,
    order: 'rising',
    platform,
    scratchPath: `${folder}/promote.tmp`,
    signal,
  })
}

import type { Command } from 'commander'
import { KvarError } from '../errors.ts'
import type { KeeperClient } from '../keeper/client.ts'
import type { KeeperStatus } from '../keeper/status.ts'
import { sleep } from '../platform/clock.ts'
import { unlessCancelled } from './cancelled.ts'
import { leaveKeeper, openKeeper } from './keeper-access.ts'
import { type Column, tableLines } from './table.ts'
import { type Act, examples, type Invocation } from './verb.ts'

/** How long followers may take to reach the version that the ledger has. */
const FOLLOWERS_LIMIT_MS = 60_000
const PARTLY_DONE = 3

export function configure(command: Command, act: Act): void {
  command
    .addHelpText('after', examples('kvar backup --db app.db --target folder:/mnt/nas/app'))
    .addHelpText('after', '\nExit code 3: the ledger has everything, but a target or a copy has not.\n')
    .action(act(backup))
}

/** One shot: everything committed by now goes to every target and into the copies. */
async function backup(invocation: Invocation): Promise<number> {
  const settings = await invocation.settings()
  const watcher = new StatusWatcher()
  const keeper = await openKeeper(invocation, settings, { onStatus: watcher.see })
  const { client, isFresh } = keeper
  try {
    if (isFresh && client.report?.restored) invocation.out.tell(client.report.sentence)
    const { version } = await unlessCancelled(client.call('backupDatabase', {}), invocation.signal)
    if (version === 0) refuseNothing(await client.call('status', {}))
    const status = await settled(invocation, client, watcher, version)
    await leaveKeeper(keeper)
    return report(invocation, status, version)
  } catch (thrown) {
    await leaveKeeper(keeper).catch(() => undefined)
    throw thrown
  }
}

function refuseNothing({ state, database }: KeeperStatus): void {
  if (state !== 'waiting') return
  throw new KvarError('NOT_FOUND', `There is no database "${database}" to back up`, {
    hint: 'name it with --db',
  })
}

/** Remembers the newest status and wakes whoever waits for one. */
class StatusWatcher {
  #wake: () => void = () => undefined
  latest: KeeperStatus | undefined

  see = (status: KeeperStatus): void => {
    this.latest = status
    this.#wake()
  }

  next(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve
    })
  }
}

/** The status in which every target has the version, or says why not. */
async function settled(
  { platform, signal }: Invocation,
  client: KeeperClient,
  watcher: StatusWatcher,
  version: number,
): Promise<KeeperStatus> {
  const late = sleep(platform.clock, FOLLOWERS_LIMIT_MS, signal).then(() => 'late' as const)
  watcher.latest = await client.call('watch', {})
  for (;;) {
    const status = watcher.latest
    if (status.targets.every((target) => target.version >= version || target.problem !== null)) return status
    if ((await Promise.race([watcher.next(), late])) === 'late') return watcher.latest
  }
}

const COLUMNS: Column[] = [
  { title: 'place' },
  { title: 'version', align: 'right' },
  { title: 'where' },
  { title: 'note' },
]

function report({ out }: Invocation, { targets, copies, sentence }: KeeperStatus, version: number): number {
  const missing = targets.filter((target) => target.version < version)
  const failedCopies = copies.filter(({ problem }) => problem !== null)
  const rows = [
    ...targets.map((target) => {
      const note = target.problem?.message ?? (target.version < version ? 'not there yet' : '')
      return [target.kind, String(target.version), target.url, note]
    }),
    ...copies.map(({ kind, version: shown, path, problem }) => {
      return [`${kind} copy`, shown === 0 ? '' : String(shown), path, problem?.message ?? '']
    }),
  ]
  out.done([firstLine(targets.length, missing.length, version, sentence), ...tableLines(COLUMNS, rows)])
  out.summary({ version, targets, copies })
  return missing.length + failedCopies.length > 0 ? PARTLY_DONE : 0
}

function firstLine(targets: number, missing: number, version: number, sentence: string): string {
  if (targets === 0) return sentence
  const places = `${targets - missing} of ${targets} targets`
  return `${missing === 0 ? 'Stored' : 'Partly stored'}: version ${version} is on ${places}.`
}

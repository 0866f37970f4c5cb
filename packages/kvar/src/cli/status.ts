import type { Command } from 'commander'
import { KvarError } from '../errors.ts'
import type { KeeperStatus } from '../keeper/status.ts'
import type { KeeperSettings } from '../settings/keeper-settings.ts'
import { attachKeeper } from './keeper-access.ts'
import { lookWithoutKeeper, type OfflineStatus, offlineLines } from './offline-status.ts'
import type { Output } from './output.ts'
import { statusLines } from './status-text.ts'
import { type Act, examples, type Invocation } from './verb.ts'

interface StatusOptions {
  watch?: boolean
}

export function configure(command: Command, act: Act): void {
  command
    .option('--watch', 'go on showing it whenever it changes, until Ctrl-C')
    .addHelpText('after', examples('kvar status', 'kvar status --json | jq -r .safety'))
    .action(act(status))
}

/** Asks and changes nothing: no keeper is started, nothing is restored. */
async function status(invocation: Invocation<StatusOptions>): Promise<number> {
  const settings = await invocation.settings()
  if (invocation.options.watch === true) return watch(invocation, settings)
  const client = await attachKeeper(invocation, settings, {}, false)
  if (client === undefined) {
    printOffline(invocation.out, await lookWithoutKeeper(settings, invocation.platform))
    return 0
  }
  print(invocation, await client.call('status', {}))
  client.detach()
  return 0
}

async function watch(invocation: Invocation, settings: KeeperSettings): Promise<number> {
  const { out, platform, signal } = invocation
  let end: (gone: boolean) => void = () => undefined
  const ended = new Promise<boolean>((resolve) => {
    end = resolve
  })
  signal.addEventListener('abort', () => end(false))
  const show = (status: KeeperStatus) => {
    // On a terminal the newest state takes the place of the older one.
    if (!out.json && out.stdout.isTTY === true) out.stdout.write('\u001b[H\u001b[2J')
    print(invocation, status)
  }
  const hooks = { onStatus: show, onGone: () => end(true), holdProcess: true }
  const client = await attachKeeper(invocation, settings, hooks, false)
  if (client === undefined) {
    printOffline(out, await lookWithoutKeeper(settings, platform))
    throw new KvarError('KEEPER_GONE', 'There is no keeper to watch', {
      hint: 'start the app, then try again',
    })
  }
  show(await client.call('watch', {}))
  const gone = await ended
  client.detach()
  if (gone) throw new KvarError('KEEPER_GONE', 'The keeper has ended', { hint: 'see kvar status' })
  return WATCH_ENDED
}

/** Ended by Ctrl-C, as it is meant to be: the code says so, without an error. */
const WATCH_ENDED = 130

function print({ out, platform }: Invocation, status: KeeperStatus): void {
  out.lines(statusLines(status, out, platform.clock.nowMs()))
  out.document({ running: true, ...status })
}

function printOffline(out: Output, status: OfflineStatus): void {
  out.lines(offlineLines(status, out))
  out.document(status)
}

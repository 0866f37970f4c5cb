import { KvarError } from '../errors.ts'
import type { Replaced } from '../keeper/protocol.ts'
import type { StartReport } from '../keeper/status.ts'
import type { KeeperSettings } from '../settings/keeper-settings.ts'
import { unlessCancelled } from './cancelled.ts'
import { withHeldCopy } from './held-copy.ts'
import { leaveKeeper, type OpenedKeeper, openKeeper } from './keeper-access.ts'
import { refuseRows } from './refuse-rows.ts'
import { type RestoreRequest, restoreCommand } from './restore-options.ts'
import { copyPath } from './restore-source.ts'
import type { Invocation } from './verb.ts'

/** What was done, for both forms of output. */
interface Outcome {
  sentence: string
  version: number
  restored: boolean
  /** The version, target or copy that the content came from. */
  from: string | number | null
  /** The command that brings back what was there before. */
  undo: string | null
  /** Without a log: the file that holds what was there before. */
  aside: string | null
}

/**
 * Restores into the database itself, through the keeper: what is there is stored first, and the old
 * content becomes the next version, so every restore can be undone (R2).
 */
export async function restoreHere(
  invocation: Invocation,
  request: RestoreRequest,
  settings: KeeperSettings,
): Promise<number> {
  if (request.from === 'target') return restoreThrough(invocation, request, settings)
  const path = copyPath(request.from, settings.databasePath, invocation.platform)
  return withHeldCopy(path, invocation.platform, (held) =>
    restoreThrough(invocation, request, settings, held),
  )
}

async function restoreThrough(
  invocation: Invocation,
  request: RestoreRequest,
  settings: KeeperSettings,
  copy?: string,
): Promise<number> {
  const { out } = invocation
  const refusesRows = copy !== undefined && !request.force
  const keeper = await openKeeper(invocation, settings, {
    beforeStart: () => refusesRows && refuseRows(settings.databasePath, invocation.platform),
  })
  try {
    const outcome = await bringBack(invocation, request, keeper, copy)
    const left = await leaveKeeper(keeper)
    if (left !== null) throw new KvarError('UNREACHABLE', `Restored, but ${left}`, { hint: 'keep this disk' })
    out.done(outcomeLines(outcome))
    out.summary(outcome)
    return 0
  } catch (thrown) {
    await leaveKeeper(keeper).catch(() => undefined)
    throw thrown
  }
}

async function bringBack(
  invocation: Invocation,
  request: RestoreRequest,
  keeper: OpenedKeeper,
  copy: string | undefined,
): Promise<Outcome> {
  const { client, isFresh } = keeper
  const report = client.report as StartReport
  const isPlain = request.from === 'target' && request.want.kind === 'latest' && request.branch === undefined
  if (isPlain && !isFresh) {
    return startOutcome(
      invocation,
      await unlessCancelled(client.call('checkAndRestore', {}), invocation.signal),
    )
  }
  if (isPlain) return startOutcome(invocation, report)
  if (isFresh && report.restored) invocation.out.tell(report.sentence)
  return request.from === 'target' || copy === undefined
    ? fromLog(invocation, request, keeper)
    : fromCopy(invocation, { kind: request.from, path: copy, force: request.force }, keeper)
}

/** A missing or empty database is brought back by the keeper's start; all others are the newest already. */
function startOutcome({ options }: Invocation, report: StartReport): Outcome {
  if (report.action === 'nothing-yet') {
    throw new KvarError('NO_BACKUP', 'There is nothing to restore: no target and no copy holds anything', {
      hint: 'check the targets (--target, KVAR_TARGETS) and the name of the database (--db)',
    })
  }
  const { version, restored, from, branch } = report
  const undo = branch === null ? null : restoreCommand(options, `--branch ${branch}`)
  const kept = `Nothing to restore: the database here is the newest there is (version ${version}).`
  return { sentence: restored ? report.sentence : kept, version, restored, from, undo, aside: null }
}

async function fromLog(
  invocation: Invocation,
  { want, branch }: RestoreRequest,
  { client }: OpenedKeeper,
): Promise<Outcome> {
  const wanted = {
    ...(want.kind === 'version' ? { version: want.version } : {}),
    ...(want.kind === 'before' ? { before: new Date(want.timeMs).toISOString() } : {}),
    ...(branch === undefined ? {} : { branch }),
  }
  const result = await unlessCancelled(client.call('restore', wanted), invocation.signal)
  const what = branch === undefined ? `version ${result.restoredFrom}` : `branch ${branch}`
  return replacedOutcome(invocation, result, what, branch ?? result.restoredFrom)
}

async function fromCopy(
  invocation: Invocation,
  copy: { kind: 'json' | 'backup'; path: string; force: boolean },
  { client, isFresh }: OpenedKeeper,
): Promise<Outcome> {
  const { kind, path } = copy
  const report = client.report as StartReport
  if (isFresh && report.action === `restored-from-${kind}`) return startOutcome(invocation, report)
  // What the start has just taken from the log is still in the log: nothing of it can be lost.
  const force = copy.force || (isFresh && report.action === 'restored-from-log')
  const method = kind === 'json' ? 'restoreFromJson' : 'restoreFromBackup'
  const result = await unlessCancelled(client.call(method, { path, force }), invocation.signal)
  return replacedOutcome(invocation, result, `the ${kind === 'json' ? 'JSON' : '.backup'} copy`, kind)
}

/** Also for `kvar import`. */
export function replacedOutcome(
  { options }: Invocation,
  { version, previousVersion, aside }: Replaced,
  what: string,
  from: string | number,
): Outcome {
  const shared = { version, from, aside }
  if (version === previousVersion && aside === null) {
    const sentence = `Nothing to restore: the database here holds just what ${what} holds.`
    return { ...shared, sentence, restored: false, undo: null }
  }
  const undo =
    previousVersion > 0 && aside === null ? restoreCommand(options, `--version ${previousVersion}`) : null
  return { ...shared, sentence: `Restored ${what}; it is now version ${version}.`, restored: true, undo }
}

export function outcomeLines({ sentence, undo, aside }: Outcome): string[] {
  return [
    sentence,
    ...(undo === null ? [] : [`  undo with: ${undo}`]),
    ...(aside === null ? [] : [`  what was there is kept in ${aside}`]),
  ]
}

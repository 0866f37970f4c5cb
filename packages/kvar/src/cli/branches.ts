import type { Command } from 'commander'
import { KvarError } from '../errors.ts'
import { type BranchLine, listBranchLines } from '../keeper/list-log.ts'
import type { KeeperSettings } from '../settings/keeper-settings.ts'
import { unlessCancelled } from './cancelled.ts'
import { attachKeeper } from './keeper-access.ts'
import { planText, rehearse } from './restore-dry-run.ts'
import { restoreHere } from './restore-here.ts'
import type { RestoreRequest } from './restore-options.ts'
import { noTarget, StoredLogs } from './stored-log.ts'
import { type Column, tableLines } from './table.ts'
import { type Act, examples, type Invocation } from './verb.ts'
import { bytesText, durationText, timeText } from './words.ts'

interface BranchesOptions {
  dryRun?: boolean
}

export function configure(command: Command, act: Act): void {
  command
    .argument('[promote]', 'with an ID: make that content the newest version')
    .argument('[id]')
    .option('--dry-run', 'only say what promoting would do')
    .addHelpText(
      'after',
      examples(
        'kvar branches                                    # what was kept aside, why and until when',
        'kvar restore --branch ID --to look.db            # look at it first',
        'kvar branches promote ID                         # make it the newest version',
      ),
    )
    .action(act(branches))
}

async function branches(invocation: Invocation<BranchesOptions>): Promise<number> {
  const [verb, id] = invocation.operands
  const settings = await invocation.settings()
  if (verb === undefined) {
    await unlessCancelled(show(invocation, settings), invocation.signal)
    return 0
  }
  if (verb !== 'promote' || id === undefined) {
    throw new KvarError('USAGE', 'kvar branches lists; the only thing it does besides is promote ID', {
      hint: 'such as: kvar branches promote 0000000000000007-3c59dc048e885024',
    })
  }
  return promote(invocation, settings, id)
}

/** The content becomes the next version through the keeper; what is there now stays in the log. */
async function promote(
  invocation: Invocation<BranchesOptions>,
  settings: KeeperSettings,
  branch: string,
): Promise<number> {
  const request: RestoreRequest = {
    ...{ want: { kind: 'latest' as const }, from: 'target' as const, branch, to: undefined },
    ...{ dryRun: invocation.options.dryRun === true, force: false },
  }
  if (!request.dryRun) return restoreHere(invocation, request, settings)
  const plan = await rehearse(invocation, request, settings)
  invocation.out.lines(planText(plan))
  invocation.out.summary({ dryRun: true, ...plan })
  return 0
}

async function show(invocation: Invocation, settings: KeeperSettings): Promise<void> {
  const lines = await readBranches(invocation, settings)
  const nowMs = invocation.platform.clock.nowMs()
  invocation.out.lines(
    lines.length === 0
      ? ['No content was kept aside.']
      : [
          'Kept aside, and not thrown away before its time. Make one the newest version with: kvar branches promote ID',
          ...tableLines(
            COLUMNS,
            lines.map((line) => row(line, nowMs)),
          ),
        ],
  )
  invocation.out.document({ branches: lines })
}

/** Targets that are named on the command line are asked themselves: a keeper may know others. */
async function readBranches(invocation: Invocation, settings: KeeperSettings): Promise<BranchLine[]> {
  const isNamed = invocation.options.target !== undefined
  const client = isNamed ? undefined : await attachKeeper(invocation, settings)
  if (client !== undefined) {
    const lines = await client.call('branches', {})
    client.detach()
    return lines
  }
  const logs = new StoredLogs(settings, invocation.platform)
  if (logs.all.length === 0) throw noTarget()
  try {
    for (const target of logs.all) await logs.logOf(target)
    return await listBranchLines(logs.all)
  } finally {
    await logs.close()
  }
}

const COLUMNS: Column[] = [
  { title: 'branch' },
  { title: 'made' },
  { title: 'age', align: 'right' },
  { title: 'after version', align: 'right' },
  { title: 'size', align: 'right' },
  { title: 'why' },
  { title: 'on machine' },
  { title: 'kept until' },
  { title: 'target' },
]

function row(line: BranchLine, nowMs: number): string[] {
  const { id, createdAt, baseVersion, sizeBytes, reason, host, keepUntil, target } = line
  const age = durationText(nowMs - Date.parse(createdAt))
  const until = timeText(keepUntil).slice(0, 10)
  return [
    id,
    timeText(createdAt),
    age,
    String(baseVersion),
    bytesText(sizeBytes),
    reason,
    host ?? '',
    until,
    target,
  ]
}

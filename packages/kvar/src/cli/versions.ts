import type { Command } from 'commander'
import { KvarError } from '../errors.ts'
import { type BranchLine, listBranchLines, listVersionLines, type VersionLine } from '../keeper/list-log.ts'
import type { KeeperSettings } from '../settings/keeper-settings.ts'
import { unlessCancelled } from './cancelled.ts'
import { attachKeeper } from './keeper-access.ts'
import { noTarget, StoredLogs } from './stored-log.ts'
import { type Column, tableLines } from './table.ts'
import { type Act, examples, type Invocation } from './verb.ts'
import { bytesText, durationText, timeText } from './words.ts'

interface VersionsOptions {
  limit?: string
  branches?: boolean
}

const DEFAULT_LIMIT = 20
const LARGEST_LIMIT = 100_000

export function configure(command: Command, act: Act): void {
  command
    .option('--limit <n>', `how many, the newest first (default: ${DEFAULT_LIMIT})`)
    .option('--branches', 'list the contents that were kept aside instead')
    .addHelpText('after', examples('kvar versions --limit 5', 'kvar versions --branches'))
    .action(act(versions))
}

async function versions(invocation: Invocation<VersionsOptions>): Promise<number> {
  const limit = readLimit(invocation.options.limit)
  const settings = await invocation.settings()
  const list = invocation.options.branches === true ? showBranches : showVersions
  await unlessCancelled(list(invocation, settings, limit), invocation.signal)
  return 0
}

function readLimit(text: string | undefined): number {
  if (text === undefined) return DEFAULT_LIMIT
  const limit = Number(text)
  if (/^\d+$/.test(text) && limit >= 1 && limit <= LARGEST_LIMIT) return limit
  throw new KvarError('USAGE', `--limit takes a whole number from 1 to ${LARGEST_LIMIT}`, {
    hint: 'such as --limit 5',
  })
}

async function showVersions(invocation: Invocation, settings: KeeperSettings, limit: number): Promise<void> {
  const { out, platform } = invocation
  const lines = await readVersions(invocation, settings, limit)
  const [newest] = lines
  if (newest === undefined) {
    throw new KvarError('NO_BACKUP', 'No version is stored yet', {
      hint: 'kvar backup stores one now; kvar status says where versions are looked for',
    })
  }
  const age = durationText(platform.clock.nowMs() - Date.parse(newest.time))
  out.lines([
    `The newest is version ${newest.version}, ${age} old. Go back with: kvar restore --version N`,
    ...tableLines(VERSION_COLUMNS, lines.map(versionRow)),
  ])
  out.document({ versions: lines })
}

/** Targets that are named on the command line are asked themselves: a keeper may know others. */
async function readVersions(
  invocation: Invocation,
  settings: KeeperSettings,
  limit: number,
): Promise<VersionLine[]> {
  const isNamed = invocation.options.target !== undefined
  const client = isNamed ? undefined : await attachKeeper(invocation, settings)
  if (client !== undefined) {
    const lines = await client.call('versions', { limit, details: true })
    client.detach()
    return lines
  }
  const logs = new StoredLogs(settings, invocation.platform)
  try {
    return await logs.withFirst((log) => listVersionLines(log, { limit, details: true }))
  } finally {
    await logs.close()
  }
}

const VERSION_COLUMNS: Column[] = [
  { title: 'version', align: 'right' },
  { title: 'time' },
  { title: 'size', align: 'right' },
  { title: 'pages', align: 'right' },
  { title: 'note' },
]

const NOTES = { claim: 'no change: a keeper took over' }

function versionRow({ version, time, sizeBytes, pageCount, note }: VersionLine): string[] {
  const pages = pageCount === null ? '' : String(pageCount)
  return [String(version), timeText(time), bytesText(sizeBytes), pages, note === null ? '' : NOTES[note]]
}

async function showBranches(invocation: Invocation, settings: KeeperSettings): Promise<void> {
  const branches = await readBranches(invocation, settings)
  invocation.out.lines([
    branches.length === 0
      ? 'No content was kept aside.'
      : 'Kept aside, never thrown away before its time. Bring one back with: kvar restore --branch ID',
    ...(branches.length === 0 ? [] : tableLines(BRANCH_COLUMNS, branches.map(branchRow))),
  ])
  invocation.out.document({ branches })
}

async function readBranches(invocation: Invocation, settings: KeeperSettings): Promise<BranchLine[]> {
  const isNamed = invocation.options.target !== undefined
  const client = isNamed ? undefined : await attachKeeper(invocation, settings)
  if (client !== undefined) {
    const branches = await client.call('branches', {})
    client.detach()
    return branches
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

const BRANCH_COLUMNS: Column[] = [
  { title: 'branch' },
  { title: 'made' },
  { title: 'after version', align: 'right' },
  { title: 'why' },
  { title: 'on machine' },
  { title: 'target' },
]

function branchRow({ id, createdAt, baseVersion, reason, host, target }: BranchLine): string[] {
  return [id, timeText(createdAt), String(baseVersion), reason, host ?? '', target]
}

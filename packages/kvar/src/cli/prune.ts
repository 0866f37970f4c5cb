import type { Command } from 'commander'
import type { KvarError } from '../errors.ts'
import type { TargetInUse } from '../keeper/target-set.ts'
import type { LogFile } from '../log/log-layout.ts'
import { Retention } from '../log/retention.ts'
import type { Foresight } from '../log/retention-foresee.ts'
import type { KeeperSettings } from '../settings/keeper-settings.ts'
import { stateFolder } from '../settings/names.ts'
import { explainError } from './explain-error.ts'
import { noTarget, StoredLogs } from './stored-log.ts'
import { type Column, tableLines } from './table.ts'
import { type Act, examples, type Invocation } from './verb.ts'
import { bytesText, countText } from './words.ts'

interface PruneOptions {
  dryRun?: boolean
}

/** How many of the files that go are listed; --json lists all. */
const SHOWN = 20
const PARTLY_DONE = 3

export function configure(command: Command, act: Act): void {
  command
    .option('--dry-run', 'say what would go and why, and change nothing')
    .addHelpText(
      'after',
      `${examples(
        'kvar prune --dry-run                     # what would go, and why',
        'kvar prune --target folder:/mnt/nas/app  # one target only',
      )}
A keeper does this by itself while it runs. What keep gives up is gone for good afterwards; versions that
stay are listed by "kvar versions".
`,
    )
    .action(act(prune))
}

/** Tidies every target by itself; one that fails does not keep the others from it. */
async function prune(invocation: Invocation<PruneOptions>): Promise<number> {
  const settings = await invocation.settings()
  const logs = new StoredLogs(settings, invocation.platform)
  if (logs.all.length === 0) throw noTarget()
  const failures: KvarError[] = []
  try {
    for (const target of logs.all) {
      try {
        await pruneTarget(invocation, settings, logs, target)
      } catch (thrown) {
        const error = explainError(thrown)
        if (error.code === 'CANCELLED') throw error
        failures.push(error)
        if (logs.all.length > 1) invocation.out.error(error)
      }
    }
  } finally {
    await logs.close()
  }
  const [first] = failures
  if (first !== undefined && failures.length === logs.all.length) throw first
  return first === undefined ? 0 : PARTLY_DONE
}

async function pruneTarget(
  invocation: Invocation<PruneOptions>,
  settings: KeeperSettings,
  logs: StoredLogs,
  target: TargetInUse,
): Promise<void> {
  const { platform, signal, options } = invocation
  const log = await logs.logOf(target)
  const scratchPath = `${stateFolder(settings.databasePath)}/prune.tmp`
  const retention = new Retention({ log, keep: settings.keep, platform, scratchPath })
  const foresight = await retention.foresee(signal)
  if (options.dryRun === true) return tell(invocation, target.url, foresight, foresight.remove.map(fileOf))
  await platform.files.makeFolder(stateFolder(settings.databasePath), 0o700)
  while (await retention.compactNext(foresight.head, { signal }));
  const removed = await retention.removeDue(foresight.head, { graceMs: 0, signal })
  tell(invocation, target.url, foresight, removed)
}

function fileOf({ file }: { file: LogFile }): LogFile {
  return file
}

function tell(
  { out, options }: Invocation<PruneOptions>,
  url: string,
  foresight: Foresight,
  removed: LogFile[],
): void {
  const isDryRun = options.dryRun === true
  const { promised, make, remove, keep } = foresight
  const reasons = new Map(remove.map(({ file, why }) => [file.key, why]))
  const why = (file: LogFile) => reasons.get(file.key) ?? 'a newer file takes its place'
  const freed = bytesText(removed.reduce((sum, file) => sum + file.sizeBytes, 0))
  const files = countText(removed.length, 'file')
  const ranges = countText(make.length, 'new file')
  const kept = countText(promised.length, 'version')
  out.lines([
    removed.length + make.length === 0
      ? `Nothing to tidy on ${url}: ${kept} can be restored.`
      : isDryRun
        ? `${files} (${freed}) would go from ${url}, after ${ranges} are made; ${kept} stay restorable. Nothing was changed.`
        : `${files} (${freed}) went from ${url}; ${kept} stay restorable.`,
    ...(isDryRun
      ? tableLines(
          COLUMNS,
          removed.slice(0, SHOWN).map((file) => [file.key, bytesText(file.sizeBytes), why(file)]),
        )
      : []),
    ...(isDryRun && removed.length > SHOWN
      ? [`  … and ${removed.length - SHOWN} more; --json lists all`]
      : []),
  ])
  out.document({
    ...{ target: url, dryRun: isDryRun, newestVersion: foresight.head, restorableVersions: promised.length },
    keptFiles: keep.length,
    make: make.map(({ level, minVersion, maxVersion, inputs }) => ({
      ...{ level, firstVersion: minVersion, lastVersion: maxVersion },
      fromFiles: inputs.length,
    })),
    remove: removed.map((file) => ({ key: file.key, sizeBytes: file.sizeBytes, why: why(file) })),
  })
}

const COLUMNS: Column[] = [{ title: 'file' }, { title: 'size', align: 'right' }, { title: 'why' }]

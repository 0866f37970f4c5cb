import { basename, resolve } from 'node:path'
import { Argument, type Command } from 'commander'
import { loadJsonCopy } from '../copies/json-load.ts'
import { KvarError } from '../errors.ts'
import { readEnvironment } from '../platform/environment.ts'
import type { KeeperSettings } from '../settings/keeper-settings.ts'
import { unlessCancelled } from './cancelled.ts'
import { withHeldCopy } from './held-copy.ts'
import { leaveKeeper, openKeeper } from './keeper-access.ts'
import { scratchBeside } from './place-file.ts'
import { refuseRows } from './refuse-rows.ts'
import { outcomeLines, replacedOutcome } from './restore-here.ts'
import { type Act, examples, type Invocation } from './verb.ts'
import { countText } from './words.ts'

interface ImportOptions {
  force?: boolean
  dryRun?: boolean
}

export function configure(command: Command, act: Act): void {
  command
    .addArgument(new Argument('<kind>', 'the form of the file').choices(['json']))
    .argument('<file>', 'a JSON copy of Kvar, or one of the first, Python, version')
    .option('--force', 'also when the database has rows; they stay in the log')
    .option('--dry-run', 'read and check the whole file, change nothing')
    .addHelpText(
      'after',
      examples('kvar import json family.db.json --dry-run', 'kvar import json family.db.json'),
    )
    .action(act(importFile))
}

async function importFile(invocation: Invocation<ImportOptions>): Promise<number> {
  const { operands, options, platform } = invocation
  const settings = await invocation.settings()
  const path = resolve(readEnvironment().workingFolder, operands[1] ?? '')
  const facts = platform.files.statSync(path)
  if (facts === undefined || facts.isFolder) {
    throw new KvarError('NOT_FOUND', `There is no file "${path}"`, { hint: 'check the path' })
  }
  return options.dryRun === true
    ? rehearse(invocation, settings, path)
    : withHeldCopy(path, platform, (held) => load(invocation, settings, { path, held }))
}

/** Loads the file into a database of its own, which is the whole check, and throws that away. */
async function rehearse(
  { out, platform, signal }: Invocation,
  settings: KeeperSettings,
  jsonPath: string,
): Promise<number> {
  const databasePath = scratchBeside(settings.databasePath, platform)
  try {
    const schema = settings.schema === undefined ? {} : { schema: settings.schema }
    const loading = loadJsonCopy({ jsonPath, databasePath, ...schema, platform })
    const { tables, rows, skipped } = await unlessCancelled(loading, signal)
    const what = `${countText(rows, 'row')} in ${countText(tables, 'table')}`
    out.lines([
      `Would import ${what} from ${basename(jsonPath)} into ${settings.databasePath}; nothing was changed.`,
      ...skipped.map((sentence) => `  left out: ${sentence}`),
    ])
    out.summary({ dryRun: true, path: jsonPath, tables, rows, skipped })
    return 0
  } finally {
    for (const suffix of ['', '-journal', '-wal', '-shm']) await platform.files.remove(databasePath + suffix)
  }
}

async function load(
  invocation: Invocation<ImportOptions>,
  settings: KeeperSettings,
  { path, held }: { path: string; held: string },
): Promise<number> {
  const { out, options, platform, signal } = invocation
  const beforeStart = () => options.force !== true && refuseRows(settings.databasePath, platform)
  const keeper = await openKeeper(invocation, settings, { beforeStart })
  const { client, isFresh } = keeper
  try {
    const report = client.report
    if (isFresh && report?.restored) out.tell(report.sentence)
    const loading = client.call('restoreFromJson', { path: held, force: options.force === true })
    const result = await unlessCancelled(loading, signal)
    await leaveKeeper(keeper)
    const outcome = replacedOutcome(invocation, result, basename(path), path)
    out.done(outcomeLines(outcome))
    out.summary({ ...outcome, rows: result.rows })
    return 0
  } catch (thrown) {
    await leaveKeeper(keeper).catch(() => undefined)
    throw thrown
  }
}

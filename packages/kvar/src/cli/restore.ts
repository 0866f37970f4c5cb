import { type Command, Option } from 'commander'
import { planText, rehearse } from './restore-dry-run.ts'
import { restoreHere } from './restore-here.ts'
import { type RestoreOptions, readRequest } from './restore-options.ts'
import { restoreToPath } from './restore-to-path.ts'
import { type Act, examples, type Invocation } from './verb.ts'

export function configure(command: Command, act: Act): void {
  command
    .option('--version <n>', 'the version to bring back (default: the newest)')
    .option('--before <time>', 'the newest version before a time, such as "2026-11-23 14:03" or 2h (ago)')
    .option('--branch <id>', 'content that was kept aside, see kvar versions --branches')
    .addOption(
      new Option('--from <kind>', 'where from: the targets, or a copy beside the database')
        .choices(['target', 'json', 'backup'])
        .default('target'),
    )
    .option('--to <path>', 'into another file, without touching the database')
    .option('--dry-run', 'only say what would be done')
    .option('--force', 'replace rows by those of a copy; with --to: move the file there aside')
    .addHelpText(
      'after',
      examples(
        'kvar restore                             # the newest version, if the database is missing',
        'kvar restore --version 8400              # back to a version; undone by another restore',
        'kvar restore --before "2026-11-23 14:03" --to look.db',
      ),
    )
    .action(act(restore))
}

async function restore(invocation: Invocation<RestoreOptions>): Promise<number> {
  const request = readRequest(invocation)
  const settings = await invocation.settings()
  if (!request.dryRun)
    return request.to === undefined
      ? restoreHere(invocation, request, settings)
      : restoreToPath(invocation, { ...request, to: request.to }, settings)
  const plan = await rehearse(invocation, request, settings)
  invocation.out.lines(planText(plan))
  invocation.out.summary({ dryRun: true, ...plan })
  return 0
}

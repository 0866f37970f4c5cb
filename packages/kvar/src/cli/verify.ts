import type { Command } from 'commander'
import { EXIT_CODES, type KvarError } from '../errors.ts'
import type { DrillReport } from '../keeper/drill-record.ts'
import type { TargetInUse } from '../keeper/target-set.ts'
import { type VerifyReport, verifyTarget } from '../log/verify.ts'
import type { Finding } from '../log/verify-findings.ts'
import type { KeeperSettings } from '../settings/keeper-settings.ts'
import { explainError } from './explain-error.ts'
import { Progress } from './progress.ts'
import { noTarget, StoredLogs } from './stored-log.ts'
import { type Act, examples, type Invocation } from './verb.ts'
import { compareTargets, readNotedVersions } from './verify-across.ts'
import { rehearseFrom } from './verify-drill.ts'
import { drillDocument, drillLine, findingLines, headline, reportRows } from './verify-text.ts'

interface VerifyOptions {
  data?: boolean
  restore?: boolean
}

/** What one target's check came to. */
export interface TargetOutcome {
  target: TargetInUse
  report: VerifyReport | undefined
  drill: DrillReport | undefined
  /** Why the target could not be checked. */
  error: KvarError | undefined
}

export function configure(command: Command, act: Act): void {
  command
    .option('--data', 'read every object to its end and verify every checksum')
    .option('--restore', 'rehearse a restore: the newest and a random older version, to a temporary place')
    .addHelpText(
      'after',
      examples(
        'kvar verify                              # names, continuity, both ends of every object',
        'kvar verify --data --restore             # everything there is to verify',
        'kvar verify --target folder:/mnt/nas/app --json',
      ),
    )
    .action(act(verify))
}

/** Reads the targets themselves, so it works with and without a running keeper; changes nothing there. */
async function verify(invocation: Invocation<VerifyOptions>): Promise<number> {
  const settings = await invocation.settings()
  const logs = new StoredLogs(settings, invocation.platform)
  if (logs.all.length === 0) throw noTarget()
  try {
    // A keeper may be storing meanwhile. Whoever must not lag behind is listed after the one it is held
    // against: followers after the notes of this machine, the ledger after the followers.
    const noted = await readNotedVersions(settings, invocation.platform)
    const outcomes: TargetOutcome[] = []
    for (const target of logs.all.toReversed())
      outcomes.unshift(await checkTarget(invocation, settings, logs, target))
    const found = await compareTargets(outcomes, noted)
    for (const finding of found) invocation.out.document({ event: 'finding', ...finding })
    return tell(invocation, outcomes)
  } finally {
    await logs.close()
  }
}

async function checkTarget(
  invocation: Invocation<VerifyOptions>,
  settings: KeeperSettings,
  logs: StoredLogs,
  target: TargetInUse,
): Promise<TargetOutcome> {
  const { options, out, platform, signal } = invocation
  const outcome: TargetOutcome = { target, report: undefined, drill: undefined, error: undefined }
  const progress = new Progress(out, platform.clock, `Checking ${target.url}`)
  const onFinding = (finding: Finding) => out.document({ event: 'finding', ...finding })
  try {
    const log = await logs.logOf(target)
    outcome.report = await verifyTarget({
      ...{ target: log.target, data: options.data === true, signal },
      ...{ onFinding, onProgress: progress.update },
    })
    progress.end()
    // An empty log has nothing to rehearse: that it should not be empty is said by others.
    if (options.restore === true && outcome.report.newestVersion > 0)
      outcome.drill = await rehearseFrom(invocation, settings, logs, target)
    if (outcome.drill !== undefined) out.document({ event: 'drill', ...drillDocument(outcome.drill) })
  } catch (thrown) {
    progress.end()
    const error = explainError(thrown)
    if (error.code === 'CANCELLED') throw error
    outcome.error = error
  }
  return outcome
}

function tell({ out }: Invocation, outcomes: TargetOutcome[]): number {
  const exitCode = exitCodeOf(outcomes)
  const failures = outcomes.flatMap(({ error }) => error ?? [])
  const meaning = exitCode === 0 ? 'good' : exitCode === EXIT_CODES.DAMAGED ? 'bad' : 'care'
  out.lines([
    out.paintFirstWord(headline(outcomes), meaning),
    ...reportRows(outcomes),
    ...outcomes.flatMap(({ report }) => (report === undefined ? [] : findingLines(report, outcomes))),
    ...outcomes.flatMap(({ drill }) => (drill === undefined ? [] : [`  ${drillLine(drill)}`])),
    ...outcomes.flatMap(({ error, target }) =>
      error === undefined ? [] : [`  ${target.url}: ${error.message}`],
    ),
  ])
  for (const { report } of outcomes) {
    if (report !== undefined) out.document({ event: 'target', ...report, findings: report.findings.length })
  }
  const damage = outcomes.flatMap(({ report }) => report?.findings ?? []).filter(isDamage).length
  const unread = failures.map((error) => error.toJSON())
  out.summary({ exitCode, sentence: headline(outcomes), damage, targets: outcomes.length, unread })
  return exitCode
}

export function isDamage({ severity }: Finding): boolean {
  return severity === 'damage'
}

/** Damage before trouble: somebody must look. */
function exitCodeOf(outcomes: TargetOutcome[]): number {
  const hurt = ({ report, drill }: TargetOutcome) =>
    report?.findings.some(isDamage) === true || (drill !== undefined && drill.problem !== null)
  if (outcomes.some(hurt)) return EXIT_CODES.DAMAGED
  const [first] = outcomes.flatMap(({ error }) => error ?? [])
  if (first === undefined) return outcomes.every(isEmpty) ? EXIT_CODES.NO_BACKUP : 0
  return outcomes.some(({ error }) => error === undefined) ? PARTLY_DONE : EXIT_CODES[first.code]
}

function isEmpty({ report }: TargetOutcome): boolean {
  return report !== undefined && report.newestVersion === 0
}

/** One target failed, others were checked. */
const PARTLY_DONE = 3

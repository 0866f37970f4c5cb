import type { DrillReport } from '../keeper/drill-record.ts'
import type { VerifyReport } from '../log/verify.ts'
import type { Finding } from '../log/verify-findings.ts'
import { type Column, tableLines } from './table.ts'
import { isDamage, type TargetOutcome } from './verify.ts'
import { bytesText, countText } from './words.ts'

/** The answer: is everything there that was stored? */
export function headline(outcomes: TargetOutcome[]): string {
  const reports = outcomes.flatMap(({ report }) => report ?? [])
  const damage = reports.flatMap(({ findings }) => findings).filter(isDamage)
  const failedDrill = outcomes.find(({ drill }) => drill !== undefined && drill.problem !== null)
  if (damage.length > 0) return `Damaged: ${countText(damage.length, 'fault')} found. ${leftOver(reports)}`
  if (failedDrill?.drill?.problem)
    return `Damaged: the rehearsed restore failed: ${failedDrill.drill.problem.message}.`
  const unread = outcomes.length - reports.length
  if (unread > 0)
    return `Not checked: ${countText(unread, 'target')} of ${outcomes.length} could not be read.`
  const versions = Math.max(...reports.map((report) => report.versions))
  if (versions === 0) return 'Empty: no version is stored yet.'
  const objects = reports.reduce((sum, report) => sum + report.objects, 0)
  const proved = outcomes.every(({ drill }) => drill !== undefined)
    ? ' A restore was rehearsed: identical.'
    : ''
  return `Sound: ${countText(versions, 'version')} on ${countText(reports.length, 'target')}, ${countText(objects, 'object')} checked.${proved}`
}

function leftOver(reports: VerifyReport[]): string {
  const best = reports.reduce((a, b) => (b.restorableVersion > a.restorableVersion ? b : a))
  if (best.restorableVersion === 0) return 'No version can be restored.'
  const newest = Math.max(...reports.map(({ newestVersion }) => newestVersion))
  const what =
    best.restorableVersion === newest ? 'The newest version' : 'The newest version that can be restored'
  return `${what} is ${best.restorableVersion}, whole on ${best.target}.`
}

const COLUMNS: Column[] = [
  { title: 'target' },
  { title: 'newest', align: 'right' },
  { title: 'restorable', align: 'right' },
  { title: 'versions', align: 'right' },
  { title: 'objects', align: 'right' },
  { title: 'stored', align: 'right' },
  { title: 'read', align: 'right' },
  { title: 'branches', align: 'right' },
]

export function reportRows(outcomes: TargetOutcome[]): string[] {
  const rows = outcomes.flatMap(({ report }) => (report === undefined ? [] : [row(report)]))
  return rows.length === 0 ? [] : tableLines(COLUMNS, rows)
}

function row(report: VerifyReport): string[] {
  const { target, newestVersion, restorableVersion, versions, objects, storedBytes, readBytes, branches } =
    report
  return [
    ...[target, ...[newestVersion, restorableVersion, versions, objects].map(String)],
    bytesText(storedBytes),
    readBytes === 0 ? '' : bytesText(readBytes),
    branches === 0 ? '' : String(branches),
  ]
}

/** Each finding, and where else the versions are whole. */
export function findingLines(report: VerifyReport, outcomes: TargetOutcome[]): string[] {
  return report.findings.map((finding) => {
    const word = isDamage(finding) ? 'damage' : 'note'
    const elsewhere = wholeElsewhere(finding, report, outcomes)
    const help = elsewhere === undefined ? '' : `; whole on ${elsewhere} (kvar restore --target ${elsewhere})`
    return `  ${word}: ${finding.sentence}${help}`
  })
}

function wholeElsewhere(
  { lost }: Finding,
  report: VerifyReport,
  outcomes: TargetOutcome[],
): string | undefined {
  if (lost === null) return undefined
  const reports = outcomes.flatMap((one) => one.report ?? [])
  const whole = reports.find(
    (other) => other !== report && other.restorableVersion >= lost.to && !other.findings.some(isDamage),
  )
  return whole?.target
}

export function drillLine({ target, versions, durationMs, problem }: DrillReport): string {
  if (problem !== null)
    return `Rehearsed restore from ${target}: failed. ${problem.message}${problem.hint === undefined ? '' : `; ${problem.hint}`}`
  const [newest, older] = versions
  const also = older === undefined ? '' : ` and version ${older}`
  return `Rehearsed restore from ${target}: version ${newest}${also}, ${(durationMs / 1000).toFixed(1)} s, identical.`
}

/** As in `kvar status --json`: times as people and programs read them. */
export function drillDocument({ atMs, problem, ...report }: DrillReport): object {
  const result = problem === null ? 'identical' : 'failed'
  return { at: new Date(atMs).toISOString(), ...report, result, problem }
}

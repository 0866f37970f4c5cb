import { unreachable } from '../../errors.ts'
import type { StartReport } from '../status.ts'
import type { RestoreReason } from './decide-start.ts'

/** What was done at start, for people who read one line. */
export function startSentence(
  report: Omit<StartReport, 'sentence'>,
  why?: RestoreReason | 'emptied' | 'backup-copied' | 'ahead',
): string {
  const seconds = `${(report.durationMs / 1000).toFixed(report.durationMs < 10_000 ? 1 : 0)} s`
  const kept = report.branch === null ? '' : `; what was here is kept as branch ${report.branch}`
  switch (report.action) {
    case 'restored-from-log':
      return `Restored version ${report.version} from ${report.from} in ${seconds}${kept}.`
    case 'restored-from-backup':
    case 'restored-from-json':
      return `No target holds a version yet: restored from ${report.from} in ${seconds}.`
    case 'diverged':
      return why === 'went-back'
        ? `The disk had gone back in time: restored version ${report.version} from ${report.from} in ${seconds}${kept}.`
        : `The database here was not the one on ${report.from}: restored version ${report.version} in ${seconds}${kept}.`
    case 'kept-local':
      return keptSentence(report.version, why)
    case 'adopted':
      return 'The database here is taken under protection for the first time.'
    case 'nothing-yet':
      return 'There is no database yet; it is protected from its first commit on.'
    case 'stale':
      return 'The targets do not answer: going on with what is here, not knowing whether it is the newest.'
    default:
      return unreachable(report.action)
  }
}

function keptSentence(version: number, why: string | undefined): string {
  if (why === 'backup-copied')
    return 'Somebody put the .backup in place of the database: it becomes the next version.'
  if (why === 'ahead')
    return `The database here is newer than version ${version}: the difference is stored now.`
  if (why === 'emptied') return 'The database was emptied on purpose and stays so; earlier versions are kept.'
  return `The database here is version ${version}, the newest there is.`
}

import { errorFacts, type LogLine } from './logging.ts'
import type { KeeperStatus, Safety, TargetStatus } from './status.ts'

const LEVELS: Record<Safety, LogLine['level']> = {
  safe: 'info',
  'only-here': 'info',
  late: 'warn',
  'not-safe': 'error',
}

/** A version may be under way to a follower for so long without a word in the log. */
const ON_ITS_WAY_MS = 10_000

/**
 * What happened between two looks at the status, as log lines. A keeper on which nothing happens writes
 * nothing (R9).
 *
 * @param before undefined at the first look
 */
export function journalLines(before: KeeperStatus | undefined, after: KeeperStatus): LogLine[] {
  return [
    ...stateLines(before, after),
    ...versionLines(before, after),
    ...after.targets.flatMap((target, index) => targetLines(before?.targets[index], target)),
    ...after.copies.flatMap((copy, index) => {
      const problem = newProblem(before?.copies[index], copy)
      return problem === undefined
        ? []
        : [{ level: 'warn' as const, event: 'copy-failed', facts: { copy: copy.kind, ...problem } }]
    }),
    ...checkLines(before, after),
    ...safetyLines(before, after),
  ]
}

function stateLines(before: KeeperStatus | undefined, after: KeeperStatus): LogLine[] {
  const lines: LogLine[] = []
  if (before?.state !== after.state)
    lines.push({ level: 'info', event: 'state', facts: { from: before?.state ?? null, to: after.state } })
  if (before?.start == null && after.start !== null) {
    const { action, from, version, restored, branch, durationMs } = after.start
    lines.push({
      level: 'info',
      event: 'started',
      facts: { action, from, version, restored, branch, durationMs },
    })
  }
  if (before !== undefined && before.captureMode !== after.captureMode)
    lines.push({
      level: 'info',
      event: 'capture',
      facts: { from: before.captureMode, to: after.captureMode },
    })
  if ((before?.branches ?? 0) < after.branches)
    lines.push({ level: 'warn', event: 'branch', facts: { branches: after.branches } })
  return lines
}

function versionLines(before: KeeperStatus | undefined, after: KeeperStatus): LogLine[] {
  if (before === undefined || before.durableVersion === after.durableVersion) return []
  return [{ level: 'debug', event: 'durable', facts: { version: after.durableVersion } }]
}

function targetLines(before: TargetStatus | undefined, after: TargetStatus): LogLine[] {
  const { url, role, version, nextTryAt } = after
  const problem = newProblem(before, after)
  if (problem !== undefined)
    return [{ level: 'warn', event: 'target-failed', facts: { target: url, role, ...problem, nextTryAt } }]
  if (before?.problem != null && after.problem === null)
    return [{ level: 'info', event: 'target-answers', facts: { target: url, role, version } }]
  return []
}

function checkLines(before: KeeperStatus | undefined, after: KeeperStatus): LogLine[] {
  const lines: LogLine[] = []
  const { drill, scrub } = after
  // What a keeper before us did was written down by it.
  if (before !== undefined && drill !== null && drill.at !== before.drill?.at) {
    const { target, versions, durationMs, sizeBytes, result, problem } = drill
    const facts = {
      target,
      versions,
      durationMs,
      sizeBytes,
      result,
      ...(problem === null ? {} : errorFacts(problem)),
    }
    lines.push({ level: result === 'identical' ? 'info' : 'error', event: 'drill', facts })
  }
  if (before !== undefined && scrub !== null && scrub.at !== before.scrub?.at) {
    const { pages, drifted, durationMs } = scrub
    lines.push({
      level: drifted === 0 ? 'info' : 'error',
      event: 'scrub',
      facts: { pages, drifted, durationMs },
    })
  }
  return lines
}

/** The verdict, and why: with it the log alone tells when the database was not safe. */
function safetyLines(before: KeeperStatus | undefined, after: KeeperStatus): LogLine[] {
  const isSame = before?.safety === after.safety && before.problem?.code === after.problem?.code
  // A version on its way to a follower is late for a moment: that is no news.
  const isPassing = (status: KeeperStatus) => status.safety === 'safe' || isOnItsWay(status)
  if (isSame || (before !== undefined && isPassing(before) && isPassing(after))) return []
  const { safety, waitingMs, storedUpTo, durableVersion, problem } = after
  const facts = {
    from: before?.safety ?? null,
    to: safety,
    ...{ waitingMs, storedUpTo, durableVersion },
    ...(problem === null ? {} : errorFacts(problem)),
  }
  return [{ level: isOnItsWay(after) ? 'info' : LEVELS[safety], event: 'safety', facts }]
}

/** Late without any trouble: followers receive a version, or a keeper starts. */
function isOnItsWay({ safety, problem, targets, waitingMs, state }: KeeperStatus): boolean {
  const isWell =
    problem === null && targets.every((one) => one.problem === null && one.behindMs < ON_ITS_WAY_MS)
  return safety === 'late' && isWell && waitingMs < ON_ITS_WAY_MS && state !== 'starting'
}

function newProblem(before: Pick<TargetStatus, 'problem'> | undefined, after: Pick<TargetStatus, 'problem'>) {
  const isNew = after.problem !== null && before?.problem?.message !== after.problem.message
  return isNew && after.problem !== null ? errorFacts(after.problem) : undefined
}

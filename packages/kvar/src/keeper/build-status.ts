import type { KvarError } from '../errors.ts'
import type { KeeperSettings } from '../settings/keeper-settings.ts'
import { backupCopyPath, jsonCopyPath } from '../settings/names.ts'
import type { DrillReport, ScrubReport } from './drill-record.ts'
import { spokenTime } from './drill-time.ts'
import type { Protector } from './protector.ts'
import type {
  CopyStatus,
  DrillStatus,
  KeeperState,
  KeeperStatus,
  Safety,
  ScrubStatus,
  StartReport,
  TargetStatus,
} from './status.ts'
import type { TargetInUse, TargetSet } from './target-set.ts'

export interface StatusFacts {
  settings: KeeperSettings
  targets: TargetSet
  state: KeeperState
  start: StartReport | undefined
  startError: KvarError | undefined
  protector: Protector | undefined
  nowMs: number
  /** Waits are measured by it: a wall clock that is set must not make anything look late. */
  monotonicMs: number
  keeper: KeeperStatus['keeper']
  notes: string[]
}

/** Everything a keeper knows, as `kvar status --json` prints it. */
export function buildStatus(facts: StatusFacts): KeeperStatus {
  const { settings, protector } = facts
  const targets = targetStatuses(facts)
  const problem =
    facts.startError ??
    protector?.fencedBy ??
    protector?.checks.problem ??
    protector?.problem ??
    protector?.ledgerProblem ??
    null
  const waitingMs = waitedMs(facts)
  const safety = judge(facts, targets, { problem, waitingMs })
  const durable = protector?.memory.version ?? 0
  const status: Omit<KeeperStatus, 'sentence'> = {
    schema: 1,
    safety,
    state: facts.state,
    database: settings.databasePath,
    lineage: protector?.memory.lineage ?? null,
    version: protector?.appender?.newest.version ?? durable,
    durableVersion: durable,
    confirmedAt: isoOrNull(protector?.confirmedAtMs),
    storedUpTo: storedUpTo(facts),
    waitingMs,
    pendingPages: protector?.loop.capture.pending.size ?? 0,
    captureMode: protector?.loop.capture.mode ?? 'none',
    targets,
    copies: settings.copies.map((kind) => copyStatus(kind, facts)),
    drill: drillStatus(protector?.checks.record.drill),
    provedDrill: drillStatus(protector?.checks.record.proved),
    scrub: scrubStatus(protector?.checks.record.scrub),
    start: facts.start ?? null,
    branches: countBranches(facts),
    problem: problem?.toJSON() ?? null,
    notes: facts.notes,
    keeper: facts.keeper,
  }
  return { ...status, sentence: statusSentence(status, facts.nowMs) }
}

/** How long the oldest commit waits that may be lost with this machine. */
function waitedMs({ protector, monotonicMs }: StatusFacts): number {
  const since = waitingSince(protector)
  return since === undefined ? 0 : Math.max(0, Math.round(monotonicMs - since))
}

function waitingSince(protector: Protector | undefined): number | undefined {
  if (protector === undefined) return undefined
  const { unseenSinceMs } = protector.loop
  const { lackingSinceMs } = protector.captured
  if (unseenSinceMs === undefined || lackingSinceMs === undefined) return unseenSinceMs ?? lackingSinceMs
  return Math.min(unseenSinceMs, lackingSinceMs)
}

/** When the mere passing of time will change the verdict, in monotonic milliseconds; undefined: it will not. */
export function nextVerdictMs(facts: StatusFacts): number | undefined {
  const since = waitingSince(facts.protector)
  if (since === undefined) return undefined
  const { lateAfterMs, notSafeAfterMs } = facts.settings.limits
  const turns = [lateAfterMs, notSafeAfterMs].map((limitMs) => since + limitMs + 1)
  return turns.filter((atMs) => atMs > facts.monotonicMs).sort((a, b) => a - b)[0]
}

/** The newest complete look whose state the ledger has confirmed. */
function storedUpTo({ protector, state, nowMs, monotonicMs }: StatusFacts): string | null {
  const upToMs = protector?.captured.completeUpToMs
  if (upToMs === undefined || protector?.confirmedAtMs === undefined || state === 'stale') return null
  return new Date(nowMs - (monotonicMs - upToMs)).toISOString()
}

function targetStatuses({ targets, protector, settings }: StatusFacts): TargetStatus[] {
  return settings.targets.map((setting) => {
    const target = targets.all.find((one) => one.setting === setting) as TargetInUse
    const shared = {
      url: target.url,
      kind: setting.scheme,
      storedBytes: null,
      sameDisk: targets.isOnDatabaseDisk(target),
    }
    const version = protector?.memory.version ?? 0
    if (target === targets.ledger) {
      return {
        ...shared,
        role: 'ledger' as const,
        version: protector?.appender === undefined ? 0 : version,
        confirmedAt: isoOrNull(protector?.confirmedAtMs),
        behindMs: 0,
        problem: protector?.ledgerProblem?.toJSON() ?? null,
        nextTryAt: isoOrNull(protector?.ledgerNextTryMs),
      }
    }
    const follower = protector?.followers.find((one) => one.target === target)
    return {
      ...shared,
      role: 'follower' as const,
      version: follower?.confirmed ?? 0,
      confirmedAt: isoOrNull(follower?.confirmedAtMs),
      behindMs: Math.round(follower?.behindMs ?? 0),
      problem: follower?.problem?.toJSON() ?? null,
      nextTryAt: isoOrNull(follower?.nextTryMs),
    }
  })
}

function copyStatus(kind: 'json' | 'backup', { settings, protector }: StatusFacts): CopyStatus {
  const memory = protector?.memory.copies[kind]
  const path = kind === 'json' ? jsonCopyPath(settings.databasePath) : backupCopyPath(settings.databasePath)
  return {
    kind,
    path,
    version: memory?.version ?? 0,
    writtenAt: isoOrNull(memory?.timeMs),
    problem: protector?.copier.problems[kind]?.toJSON() ?? null,
  }
}

function drillStatus(report: DrillReport | null | undefined): DrillStatus | null {
  if (report === null || report === undefined) return null
  const { atMs, target, versions, durationMs, sizeBytes, problem } = report
  const result = problem === null ? 'identical' : 'failed'
  return { at: new Date(atMs).toISOString(), target, versions, durationMs, sizeBytes, result, problem }
}

function scrubStatus(report: ScrubReport | null | undefined): ScrubStatus | null {
  if (report === null || report === undefined) return null
  const { atMs, pages, drifted, durationMs } = report
  return { at: new Date(atMs).toISOString(), pages, drifted, durationMs }
}

function countBranches({ start, protector }: StatusFacts): number {
  const own = [start?.branch, protector?.branch].filter(
    (branch) => branch !== undefined && branch !== null,
  ).length
  return own + (protector?.followers.reduce((sum, follower) => sum + follower.branches, 0) ?? 0)
}

/** Never *Safe* while the only copy lies on the disk that may be thrown away. */
function judge(
  facts: StatusFacts,
  targets: TargetStatus[],
  { problem, waitingMs }: { problem: KvarError | null; waitingMs: number },
): Safety {
  const { protector, state } = facts
  const { lateAfterMs, notSafeAfterMs } = facts.settings.limits
  if (state === 'fenced' || state === 'stale' || facts.startError !== undefined) return 'not-safe'
  // A log that cannot be restored, or a database that changed by itself, is worse than any place it lies in.
  if (protector?.checks.problem !== undefined) return 'not-safe'
  if (targets.every((target) => target.sameDisk)) return 'only-here'
  const isLate = waitingMs > lateAfterMs
  if ((problem !== null && isLate) || waitingMs > notSafeAfterMs) return 'not-safe'
  if (state === 'starting' || problem !== null || isLate) return 'late'
  const nothingStored = protector?.unstored === true && protector.confirmedAtMs === undefined
  if (nothingStored) return 'late'
  return targets.some((target) => target.version < (protector?.memory.version ?? 0)) ? 'late' : 'safe'
}

/** The question a worried person has, answered first. */
export function statusSentence(status: Omit<KeeperStatus, 'sentence'>, nowMs: number): string {
  const { safety, problem } = status
  const why =
    problem === null
      ? ''
      : ` ${problem.message}.${problem.hint === undefined ? '' : ` Next: ${problem.hint}.`}`
  if (status.state === 'starting') return `Starting: looking for the newest version.${why}`
  if (status.state === 'closing') return 'Closing: storing the last changes.'
  if (status.state === 'waiting' && safety !== 'not-safe') {
    return 'Waiting: there is no database yet; it is protected from its first commit on.'
  }
  const holding = status.targets.filter(
    (target) => target.version >= status.durableVersion && target.version > 0,
  )
  const places = `${holding.length} of ${status.targets.length} targets`
  const at = status.storedUpTo === null ? 'the start' : clockTime(status.storedUpTo)
  switch (safety) {
    case 'safe':
      return `Safe: everything up to ${at} is stored on ${places}${age(status.confirmedAt, nowMs)}.${proved(status, nowMs)}`
    case 'late':
      return `Late: everything up to ${at} is stored on ${places}.${waits(status)}${why}${proved(status, nowMs)}`
    case 'only-here':
      return `Only on this machine: ${onlyHere(status)}. Name a target elsewhere with KVAR_TARGETS.${why}`
    case 'not-safe':
      return `Not safe:${why || ` what was committed after ${at} is not stored away from this machine.`}`
  }
}

function waits({ waitingMs }: Omit<KeeperStatus, 'sentence'>): string {
  return waitingMs < 1000 ? '' : ` A newer change has waited for ${Math.round(waitingMs / 1000)} s.`
}

/** A backup that was never restored is a wish: when the last restore was proved, and how long it took. */
function proved({ provedDrill }: Omit<KeeperStatus, 'sentence'>, nowMs: number): string {
  if (provedDrill === null) return ''
  const seconds = (provedDrill.durationMs / 1000).toFixed(1)
  return ` Last proved restore: ${spokenTime(Date.parse(provedDrill.at), nowMs)}, ${seconds} s, identical.`
}

function onlyHere(status: Omit<KeeperStatus, 'sentence'>): string {
  if (status.targets.length === 0) return 'no target is set, only copies beside the database are kept'
  return `version ${status.durableVersion} is stored on the same disk as the database`
}

function age(confirmedAt: string | null, nowMs: number): string {
  if (confirmedAt === null) return ''
  const seconds = Math.max(0, Math.round((nowMs - Date.parse(confirmedAt)) / 1000))
  return seconds < 120 ? ` (newest ${seconds} s ago)` : ''
}

function clockTime(iso: string): string {
  const time = new Date(iso)
  const two = (value: number) => String(value).padStart(2, '0')
  return `${two(time.getHours())}:${two(time.getMinutes())}:${two(time.getSeconds())}`
}

function isoOrNull(timeMs: number | undefined): string | null {
  return timeMs === undefined || timeMs === 0 ? null : new Date(timeMs).toISOString()
}

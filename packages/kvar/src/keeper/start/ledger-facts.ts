import { KvarError, toKvarError } from '../../errors.ts'
import { assertSameLineage, readLineage } from '../../log/lineage.ts'
import type { VersionInfo, VersionLog } from '../../log/version-log.ts'
import { beforeDeadline, type Clock, sleep } from '../../platform/clock.ts'
import type { Platform } from '../../platform/platform.ts'
import { TargetError } from '../../targets/target.ts'
import { mayPass, type TargetInUse, type TargetSet } from '../target-set.ts'

/** What the targets answered: whose log it is, and its newest version. */
export interface FoundLog {
  log: VersionLog
  lineage: string | undefined
  /** Undefined: the ledger answered that it holds nothing. */
  head: VersionInfo | undefined
  /** Only looked for when the ledger is empty. */
  freshestFollower:
    | { target: TargetInUse; log: VersionLog; head: VersionInfo; lineage: string | undefined }
    | undefined
}

const FIRST_PAUSE_MS = 100
const LONGEST_PAUSE_MS = 5000
/** However short the time to wait is, a target that is asked gets this long for its first answer. */
const LEAST_ANSWER_MS = 2000

/**
 * Asks the ledger for its newest version, again and again until `timeoutMs` has passed, also when it takes
 * a connection and then says nothing. An empty
 * ledger counts as empty only when every follower has answered too: otherwise an app would start
 * empty over a past that one of them holds.
 *
 * @throws KvarError `UNREACHABLE` after the time-out; refusals (`TARGET_DENIED`, damage) at once
 */
export async function findLog(
  targets: TargetSet,
  options: {
    platform: Platform
    timeoutMs: number
    signal?: AbortSignal | undefined
    waiting?: (why: string) => void
  },
): Promise<FoundLog | undefined> {
  const { ledger } = targets
  if (ledger === undefined) return undefined
  const { clock } = options.platform
  const untilMs = clock.monotonicMs() + options.timeoutMs
  for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS)) {
    const leftMs = Math.max(LEAST_ANSWER_MS, untilMs - clock.monotonicMs())
    const trouble = await tryOnce(targets, ledger, (work) => firstAnswer(clock, leftMs, work))
    if (!('error' in trouble)) return trouble.found
    if (!mayPass(trouble.error)) throw trouble.error
    const waitMs = untilMs - clock.monotonicMs()
    if (waitMs <= 0 || options.signal?.aborted) throw unreachableLedger(trouble.url, trouble.error)
    options.waiting?.(trouble.error.message)
    await sleep(clock, Math.min(pauseMs, waitMs), options.signal)
  }
}

type Answer = { found: FoundLog } | { error: KvarError; url: string }

/** Bounds the time until a target answers at all; what it answers may then take as long as it takes. */
type InTime = <T>(work: (signal: AbortSignal) => Promise<T>) => Promise<T>

async function firstAnswer<T>(
  clock: Clock,
  limitMs: number,
  work: (signal: AbortSignal) => Promise<T>,
): Promise<T> {
  const tooLate = new AbortController()
  const answer = await beforeDeadline(clock, limitMs, work(tooLate.signal))
  if (answer !== 'late') return answer
  tooLate.abort()
  throw new TargetError('temporary', `no answer within ${Math.ceil(limitMs / 1000)} s`)
}

async function tryOnce(targets: TargetSet, ledger: TargetInUse, inTime: InTime): Promise<Answer> {
  let asked = ledger
  try {
    await inTime(() => ledger.open())
    targets.assertLedger()
    const own = await readLog(ledger, inTime)
    if (own.head !== undefined) return { found: { ...own, freshestFollower: undefined } }
    let freshest: FoundLog['freshestFollower']
    for (const target of targets.followers) {
      asked = target
      const other = await readLog(target, inTime)
      if (other.head === undefined) continue
      if (freshest?.lineage !== undefined && other.lineage !== undefined) {
        assertSameLineage(other.log.target, other.lineage, freshest.lineage)
      }
      if (other.head.version > (freshest?.head.version ?? 0))
        freshest = { target, ...other, head: other.head }
    }
    if (own.unfinished && freshest === undefined) throw withoutBeginning(own.log)
    return { found: { ...own, freshestFollower: freshest } }
  } catch (thrown) {
    return { error: toKvarError(thrown), url: asked.url }
  }
}

async function readLog(target: TargetInUse, inTime: InTime) {
  const { log, lineage } = await inTime(async (signal) => {
    const log = await target.log()
    return { log, lineage: (await readLineage(log.target, { signal }))?.lineage }
  })
  const state = await log.state()
  return {
    log,
    lineage,
    head: state === 'log' ? await log.findHead() : undefined,
    unfinished: state === 'unfinished',
  }
}

/** A filling that was interrupted is done again from a follower; without one it is a log that lost its beginning. */
function withoutBeginning(log: VersionLog): KvarError {
  return new KvarError('LOG_BROKEN', `The log on ${log.name} has lost its beginning`, {
    hint: 'name another target that holds the log, or move these objects aside; nothing was changed',
  })
}

function unreachableLedger(url: string, cause: KvarError): KvarError {
  return new KvarError('UNREACHABLE', `${url} does not answer: ${cause.message}`, {
    hint: 'Kvar does not start without knowing the newest version; mend the connection, or set KVAR_ON_UNREACHABLE=stale to go on with what is here',
    data: { target: url, reason: cause.code },
    cause,
  })
}

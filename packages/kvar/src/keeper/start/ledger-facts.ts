import { KvarError, toKvarError } from '../../errors.ts'
import { assertSameLineage, readLineage } from '../../log/lineage.ts'
import type { VersionInfo, VersionLog } from '../../log/version-log.ts'
import { sleep } from '../../platform/clock.ts'
import type { Platform } from '../../platform/platform.ts'
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

/**
 * Asks the ledger for its newest version, again and again until `timeoutMs` has passed. An empty
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
    const trouble = await tryOnce(targets, ledger)
    if (!('error' in trouble)) return trouble.found
    if (!mayPass(trouble.error)) throw trouble.error
    const leftMs = untilMs - clock.monotonicMs()
    if (leftMs <= 0 || options.signal?.aborted) throw unreachableLedger(trouble.url, trouble.error)
    options.waiting?.(trouble.error.message)
    await sleep(clock, Math.min(pauseMs, leftMs), options.signal)
  }
}

type Answer = { found: FoundLog } | { error: KvarError; url: string }

async function tryOnce(targets: TargetSet, ledger: TargetInUse): Promise<Answer> {
  let asked = ledger
  try {
    const own = await readLog(ledger)
    if (own.head !== undefined) return { found: { ...own, freshestFollower: undefined } }
    let freshest: FoundLog['freshestFollower']
    for (const target of targets.followers) {
      asked = target
      const other = await readLog(target)
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

async function readLog(target: TargetInUse) {
  const log = await target.log()
  const lineage = (await readLineage(log.target))?.lineage
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

import { unreachable } from '../../errors.ts'

/**
 * The start table (docs/START.md), as a pure function: what was found → what to do. The first row
 * that fits wins. Everything it needs was gathered before; everything it decides is done afterwards.
 */
export function decideStart(found: StartFacts): StartDecision {
  const { local, state, ledger } = found
  if (ledger.kind === 'unreachable') return { kind: 'ledger-unreachable' }
  if (ledger.kind === 'empty' && ledger.followerHasVersions) return { kind: 'fill-ledger' }
  if (ledger.kind === 'empty') return decideWithoutLog(found)
  const atHead = state !== undefined && state.version === ledger.head && state.checksumMatchesHead
  switch (local.content) {
    case 'none':
    case 'no-tables':
      return { kind: 'restore-head', branch: false, why: 'empty' }
    case 'invalid':
      return { kind: 'restore-head', branch: true, why: 'damaged' }
    case 'no-rows':
      if (state === undefined) return { kind: 'restore-head', branch: false, why: 'empty' }
      // A disk that went back to before its first row was not emptied by anybody.
      if (atHead && !local.equalsHead && !local.wentBack) return { kind: 'keep-local', why: 'emptied' }
      return decideWithLog(found, ledger, atHead)
    case 'rows':
      return decideWithLog(found, ledger, atHead)
    default:
      return unreachable(local.content)
  }
}

/** The database holds something, and so does the ledger. */
function decideWithLog(
  { local, state }: StartFacts,
  ledger: Extract<LedgerFacts, { kind: 'log' }>,
  atHead: boolean,
): StartDecision {
  if (local.equalsHead) return { kind: 'go-on' }
  if (atHead && local.equalsBackupCopy) return { kind: 'keep-local', why: 'backup-copied' }
  // Before our own unnoted version is adopted: what would follow it is older than what we had stored.
  if ((atHead || ledger.headIsOurIntent) && local.wentBack)
    return { kind: 'restore-head', branch: !local.equalsKnownVersion, why: 'went-back' }
  if (ledger.headIsOurIntent) return { kind: 'adopt-own-head' }
  if (atHead) return { kind: 'keep-local', why: 'ahead' }
  // The ledger was lost and filled from a follower that was a little behind: what it lacks is here.
  const logLostItsEnd = state !== undefined && state.version > ledger.head && state.headIsAncestor
  if (logLostItsEnd && !local.wentBack) return { kind: 'keep-local', why: 'ahead' }
  const behind = state !== undefined && state.version < ledger.head
  if (behind && local.equalsState) return { kind: 'restore-head', branch: false, why: 'moved-on' }
  return { kind: 'restore-head', branch: true, why: 'diverged' }
}

/** No target holds a version: the copies beside the database, or the database itself, begin the log. */
function decideWithoutLog({ local, state, copies }: StartFacts): StartDecision {
  // Without any target our own memory is the only witness that rows were deleted on purpose.
  const emptiedOnPurpose = local.content === 'no-rows' && state !== undefined && state.withoutTargets
  const empty = local.content === 'none' || local.content === 'no-tables' || local.content === 'no-rows'
  if (local.content === 'invalid') return { kind: copies ? 'restore-copies' : 'refuse-damaged' }
  if (empty && !emptiedOnPurpose && copies) return { kind: 'restore-copies' }
  if (local.content !== 'none' && local.content !== 'no-tables') return { kind: 'adopt' }
  // We stored versions there, and now nobody has them: a disk that is not mounted, or a log that was lost.
  const hadLog = state !== undefined && state.version > 0 && !state.withoutTargets
  return { kind: hadLog ? 'refuse-lost-log' : 'nothing-yet' }
}

export interface StartFacts {
  local: LocalFacts
  /** What we remember of an earlier life on this disk. */
  state: StateFacts | undefined
  ledger: LedgerFacts
  /** A readable JSON or `.backup` copy lies beside the database. */
  copies: boolean
}

export interface LocalFacts {
  /** `none`: missing or zero bytes · `no-rows`: tables, all of them empty · `invalid`: fails quick_check. */
  content: 'none' | 'no-tables' | 'no-rows' | 'rows' | 'invalid'
  /** Same content as the ledger's newest version, by database checksum. */
  equalsHead: boolean
  /** Same content as the version our state remembers. */
  equalsState: boolean
  /** Byte-equal to `NAME.backup`, because somebody put it there. */
  equalsBackupCopy: boolean
  /** Same content as some version we know: it needs no branch. */
  equalsKnownVersion: boolean
  /** Older than what we captured: a power cut or a volume snapshot took commits away. */
  wentBack: boolean
}

export interface StateFacts {
  version: number
  /** The remembered checksum is the ledger's for the same version. */
  checksumMatchesHead: boolean
  /** The ledger's newest version is one that this database has been. */
  headIsAncestor: boolean
  withoutTargets: boolean
}

export type LedgerFacts =
  | { kind: 'unreachable' }
  | { kind: 'empty'; followerHasVersions: boolean }
  | {
      kind: 'log'
      head: number
      /** The head was sent by our former life, which died before it could note the answer. */
      headIsOurIntent: boolean
    }

export type StartDecision =
  | { kind: 'ledger-unreachable' }
  | { kind: 'fill-ledger' }
  | { kind: 'restore-head'; branch: boolean; why: RestoreReason }
  | { kind: 'restore-copies' }
  | { kind: 'refuse-damaged' }
  /** The database is gone and so is the log that we remember: the app must not start empty over it. */
  | { kind: 'refuse-lost-log' }
  | { kind: 'nothing-yet' }
  /** Content equals the newest version. */
  | { kind: 'go-on' }
  /** Local content becomes the next version. */
  | { kind: 'keep-local'; why: 'emptied' | 'backup-copied' | 'ahead' }
  /** The newest version is ours: take its pages as stored, then append what differs. */
  | { kind: 'adopt-own-head' }
  /** Version 1 with all pages. */
  | { kind: 'adopt' }

export type RestoreReason = 'empty' | 'damaged' | 'went-back' | 'moved-on' | 'diverged'

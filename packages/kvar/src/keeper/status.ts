import type { KvarErrorJson } from '../errors.ts'

/**
 * What a keeper knows of the safety of one database. Schema 1; every field is documented in
 * docs/STATUS.md. Times are ISO-8601 UTC, sizes bytes, durations milliseconds.
 */
export interface KeeperStatus {
  schema: 1
  /** The question a worried person has, answered in one sentence. */
  sentence: string
  safety: Safety
  state: KeeperState
  database: string
  lineage: string | null
  /** Newest version known to this keeper, cut but perhaps not yet stored. */
  version: number
  /** Newest version that the ledger has confirmed. */
  durableVersion: number
  /** When the newest durable version was confirmed. */
  confirmedAt: string | null
  /** Everything committed before this moment is durable; null before the first confirmation. */
  storedUpTo: string | null
  /** How long the oldest commit that is not durable has waited; 0 when there is none. */
  waitingMs: number
  /** Pages changed since the last cut. */
  pendingPages: number
  captureMode: 'wal' | 'comparison' | 'none'
  targets: TargetStatus[]
  copies: CopyStatus[]
  /** The newest rehearsed restore that was carried out to its end; null before the first. */
  drill: DrillStatus | null
  /** The newest one in which everything was identical; null before the first. */
  provedDrill: DrillStatus | null
  /** The newest reading of the whole database against what was captured; null before the first. */
  scrub: ScrubStatus | null
  start: StartReport | null
  /** Branches kept aside that nobody has looked at yet. */
  branches: number
  problem: KvarErrorJson | null
  /** Things worth knowing that are no danger, in whole sentences. */
  notes: string[]
  keeper: { processId: number; nodeId: string; startedAt: string; version: string }
}

/**
 * `safe`: every version is on every target, and no commit has waited long (`limits.lateAfterMs`) ·
 * `late`: a commit has, a target is behind, or a `problem` may delay the next commit · `only-here`: no
 * target on another disk · `not-safe`: the newest commits cannot be stored, or the log or the database
 * is damaged, see `problem`. docs/STATUS.md has the exact rules.
 */
export type Safety = 'safe' | 'late' | 'only-here' | 'not-safe'

/**
 * `starting`: restoring or comparing · `waiting`: there is no database yet · `protecting` ·
 * `stale`: the ledger did not answer at start, changes go to a branch · `fenced`: another keeper owns the log · `closing`.
 */
export type KeeperState = 'starting' | 'waiting' | 'protecting' | 'stale' | 'fenced' | 'closing'

export interface TargetStatus {
  url: string
  kind: string
  role: 'ledger' | 'follower'
  /** Newest version confirmed by this target; 0 for none. */
  version: number
  confirmedAt: string | null
  /** Age of the oldest durable version this target does not hold yet, in milliseconds. */
  behindMs: number
  storedBytes: number | null
  /** True when the target lies on the database's own disk. */
  sameDisk: boolean
  problem: KvarErrorJson | null
  nextTryAt: string | null
}

export interface CopyStatus {
  kind: 'json' | 'backup'
  path: string
  /** The version the copy shows; 0 for none yet. */
  version: number
  writtenAt: string | null
  problem: KvarErrorJson | null
}

/** One rehearsed restore: the newest version and a random older one, each to a temporary place. */
export interface DrillStatus {
  /** When it began. */
  at: string
  /** URL of the target it was restored from. */
  target: string
  /** The versions that were restored, the newest first. Empty when it failed before the first was done. */
  versions: number[]
  /** How long the newest version took, with all checks. */
  durationMs: number
  /** Size of the newest version's database. */
  sizeBytes: number
  result: 'identical' | 'failed'
  problem: KvarErrorJson | null
}

/** One reading of the whole database. */
export interface ScrubStatus {
  /** When it ended. */
  at: string
  pages: number
  /** Pages that had changed although nothing was committed. */
  drifted: number
  durationMs: number
}

/** What was done at start: the `restored` of the library. */
export interface StartReport {
  action: StartAction
  /** Where content came from: a target's URL, a path, or null when local content was kept. */
  from: string | null
  version: number
  /** The database's rows were brought from elsewhere. */
  restored: boolean
  /** A branch that was made of local content, or null. */
  branch: string | null
  durationMs: number
  /** The same in one English sentence. */
  sentence: string
}

export type StartAction =
  | 'restored-from-log'
  | 'restored-from-backup'
  | 'restored-from-json'
  | 'kept-local'
  | 'adopted'
  | 'nothing-yet'
  | 'diverged'
  | 'stale'

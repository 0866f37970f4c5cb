import type { AlarmSetting } from './alarm-url.ts'
import type { TargetSetting } from './target-url.ts'

const MIB = 1024 * 1024

/**
 * Everything a keeper needs to know, complete and checked. Plain JSON: it travels over the keeper's
 * socket (it holds the targets' secrets, so it travels nowhere else).
 */
export interface KeeperSettings {
  /** Absolute. */
  databasePath: string
  /** The most important first. Empty: only copies on this machine are kept, and the status says so. */
  targets: TargetSetting[]
  /** URL of the target that decides which version is next; without it the design's rule chooses. */
  ledger?: string
  durable: 'ledger' | 'all'
  copies: CopyKind[]
  /** Longest time between a commit and its version. */
  intervalMs: number
  /** How long a start waits for a ledger that does not answer. */
  startTimeoutMs: number
  onUnreachable: 'fail' | 'stale'
  /** SQL that creates the app's tables, for JSON files that carry no schema. */
  schema?: string
  keep: KeepSettings
  limits: KeeperLimits
  /** How much the keeper's own log tells; `info` when left out. */
  logLevel?: LogLevel
  /** Port on 127.0.0.1 for `/metrics` and `/healthz`; nothing listens without it. */
  metricsPort?: number
  /** Whom to tell when the database is not safe, and when it is again. */
  alarms?: AlarmSetting[]
  /** How long things may be late before the alarm. */
  alarmAfterMs?: number
}

export type LogLevel = (typeof LOG_LEVELS)[number]
/** From the most to the least that is told. */
export const LOG_LEVELS = ['debug', 'info', 'warn', 'error', 'silent'] as const

export type CopyKind = 'json' | 'backup'

/**
 * How long versions are kept, as durations (`parseDuration` reads them): all of them, then the last
 * of each hour, day and month.
 */
export interface KeepSettings {
  all: string
  hourly: string
  daily: string
  monthly: string
}

/** Named limits: none of them is ever passed silently, the status tells when one was reached. */
export interface KeeperLimits {
  /** Changed pages held in memory; beyond it a version is cut early, and a larger transaction spills to disk. */
  pendingBytes: number
  /** Versions on disk that wait for the ledger; beyond it they are dropped and compared again later. */
  outboxBytes: number
  /** A follower that is farther behind is filled anew instead of version by version. */
  catchUpVersions: number
  /** Tries of one call of a target before it counts as failed. */
  targetTries: number
  /** Milliseconds one try of a target may stand still before it counts as failed. */
  targetTimeoutMs: number
  /** Milliseconds a fenced owner waits for the other keeper's first change before it takes the log back. */
  takeBackMs: number
  /** Milliseconds from start to the first reading of the whole database against its captured pages; 0: never. */
  scrubAfterMs: number
  /** Milliseconds from start to the first rehearsed restore; 0: never, not at night either. */
  drillAfterMs: number
  /** Milliseconds a commit may wait for the ledger before the status says *Late*. */
  lateAfterMs: number
  /** Milliseconds a commit may wait before the status says *Not safe*, even if no failure was seen. */
  notSafeAfterMs: number
}

export const DEFAULT_KEEP: KeepSettings = { all: '7d', hourly: '30d', daily: '1y', monthly: 'forever' }

export const DEFAULT_LIMITS: KeeperLimits = {
  pendingBytes: 64 * MIB,
  outboxBytes: 256 * MIB,
  catchUpVersions: 1000,
  targetTries: 6,
  targetTimeoutMs: 30_000,
  takeBackMs: 60_000,
  scrubAfterMs: 10_000,
  drillAfterMs: 30_000,
  lateAfterMs: 10_000,
  notSafeAfterMs: 300_000,
}

export const DEFAULT_ALARM_AFTER = '5m'

import type { KeeperStatus, StartReport } from './keeper/status.ts'

/** Options of `createPersistentDb`. Everything may also come from the environment or `kvar.config.json`. */
export interface PersistentDbOptions {
  /** Target URLs, the most important first: `folder:./backup`, `s3://bucket/prefix?endpoint=…`. */
  targets?: string[]
  /** When `flush()` is satisfied: the ledger has it (default), or all targets have. */
  durable?: 'ledger' | 'all'
  copies?: Array<'json' | 'backup'>
  /** Longest time between a commit and its version, such as `'1s'`. */
  interval?: string
  /** SQL that creates the app's tables; used when a JSON file without a schema is loaded. */
  schema?: string
  /** What to do when the ledger does not answer at start. */
  onUnreachable?: 'fail' | 'stale'
  startTimeout?: string
  /** How much `.NAME-kvar/keeper.log` tells (default `'info'`); never content or secrets. */
  logLevel?: 'debug' | 'info' | 'warn' | 'error' | 'silent'
  /** Port on 127.0.0.1 for `/metrics` and `/healthz`; off when left out. */
  metricsPort?: number
  /** Whom to tell: `webhook:URL`, `ntfy:URL` of a topic, `command:PATH`. The URLs are secrets. */
  alarm?: string[]
  /** How long things may be late before the alarm (default `'5m'`). */
  alarmAfter?: string
  /** Install a SIGTERM/SIGINT handler that flushes before the process leaves (default true). */
  handleSignals?: boolean
  /** Called once when another keeper has taken the log over for good. */
  onFenced?: (error: Error) => void
}

/** What `flush()` answers: everything committed before the call is in this version. */
export interface FlushResult {
  version: number
  /** URLs of the targets that hold the version already. */
  targets: string[]
}

export interface VersionSummary {
  version: number
  /** ISO-8601 UTC. */
  time: string
  sizeBytes: number
  pageCount: number | null
}

export interface RestoreOptions {
  version?: number
  /** ISO-8601; the newest version strictly before this moment. */
  before?: string
}

/** The protected database, as the app sees it: the seed's verbs over the keeper. */
export interface DatabasePersistence {
  readonly restored: StartReport
  flush(options?: { signal?: AbortSignal }): Promise<FlushResult>
  backupDatabase(): Promise<FlushResult>
  backupToJson(): Promise<{ path: string; version: number }>
  restoreFromJson(options?: { path?: string; force?: boolean }): Promise<{ rows: number; version: number }>
  checkAndRestore(): Promise<StartReport>
  status(): Promise<KeeperStatus>
  watch(): AsyncIterable<KeeperStatus>
  versions(options?: { limit?: number }): Promise<VersionSummary[]>
  restore(options: RestoreOptions): Promise<{ version: number; restoredFrom: number }>
  close(): Promise<void>
}

/** Kvar: keeps any SQLite database alive on hosts that throw their disk away. */
export { KvarError, type KvarErrorCode, type KvarErrorJson } from './errors.ts'
export type {
  CopyStatus,
  KeeperState,
  KeeperStatus,
  Safety,
  StartAction,
  StartReport,
  TargetStatus,
} from './keeper/status.ts'
export { createPersistentDb } from './persistence.ts'
export type {
  DatabasePersistence,
  FlushResult,
  PersistentDbOptions,
  RestoreOptions,
  VersionSummary,
} from './persistence-types.ts'
export { VERSION } from './settings/version.ts'

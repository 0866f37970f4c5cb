import type { KvarErrorJson } from '../errors.ts'
import type { RestoreProgress } from '../log/restore.ts'
import type { FlushResult, RestoreOptions } from '../persistence-types.ts'
import type { KeeperSettings } from '../settings/keeper-settings.ts'
import type { DrillReport } from './drill-record.ts'
import type { BranchLine, VersionLine } from './list-log.ts'
import type { KeeperStatus, StartReport } from './status.ts'

/*
 * What client and keeper say to each other over the local socket: one JSON object a line.
 *
 *   client → keeper   { id, method, params }          id counts up
 *   client → keeper   { cancel: id }
 *   keeper → client   { id, result } or { id, error }
 *   keeper → client   { event: 'status' | 'fenced' | 'tell' | 'progress', data }
 *
 * The first call is `hello`, with the nonce that stands in `.NAME-kvar/keeper.json`: whoever can read
 * that file may talk to the keeper. Settings, with their secrets, travel only here.
 */

/** Raised when a call changes its meaning; a client and a keeper of other numbers refuse each other. */
export const PROTOCOL = 1

export interface KeeperMethods {
  hello: {
    params: {
      protocol: number
      nonce: string
      settings: KeeperSettings
      /** `app`: the keeper stays while it is connected · `tool`: a command that asks something. */
      role: 'app' | 'tool'
      /** The app has the database open already: nothing may be renamed under it. */
      appRunning: boolean
      /** A question must not set anything going: a keeper that nobody has started yet refuses it. */
      attachOnly?: boolean
    }
    result: StartReport
  }
  flush: { params: Record<string, never>; result: FlushResult }
  backupDatabase: { params: Record<string, never>; result: FlushResult }
  backupToJson: { params: Record<string, never>; result: { path: string; version: number } }
  restoreFromJson: { params: { path?: string; force?: boolean }; result: { rows: number } & Replaced }
  restoreFromBackup: { params: { path?: string; force?: boolean }; result: { rows: number } & Replaced }
  checkAndRestore: { params: Record<string, never>; result: StartReport }
  status: { params: Record<string, never>; result: KeeperStatus }
  watch: { params: Record<string, never>; result: KeeperStatus }
  versions: { params: { limit?: number; details?: boolean }; result: VersionLine[] }
  /** Rehearses a restore now, from every target or the named one. */
  drill: { params: { target?: string }; result: DrillReport[] }
  branches: { params: Record<string, never>; result: BranchLine[] }
  restore: { params: RestoreOptions & { branch?: string }; result: { restoredFrom: number } & Replaced }
  /** The client is done: what it committed is stored before the answer. */
  leave: { params: Record<string, never>; result: { left: string | null } }
}

/** What became of the content that was there before. */
export interface Replaced {
  /** The version that the new content became. */
  version: number
  /** The version that holds what was there before: restoring it undoes this. 0 for none. */
  previousVersion: number
  /** Without a log: the file that the old content was copied to. */
  aside: string | null
}

export type KeeperMethod = keyof KeeperMethods

export type ClientLine =
  | { [M in KeeperMethod]: { id: number; method: M; params: KeeperMethods[M]['params'] } }[KeeperMethod]
  | { cancel: number }

export type KeeperLine =
  | { id: number; result: unknown }
  | { id: number; error: KvarErrorJson }
  | { event: 'status'; data: KeeperStatus }
  | { event: 'fenced'; data: KvarErrorJson }
  | { event: 'tell'; data: string }
  | { event: 'progress'; data: RestoreProgress }

/** How clients find the keeper: `.NAME-kvar/keeper.json`, readable by its owner only. */
export interface KeeperAddress {
  socket: string
  nonce: string
  processId: number
}

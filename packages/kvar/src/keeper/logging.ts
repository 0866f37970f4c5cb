import { join } from 'node:path'
import type { Logger } from 'pino'
import type { KvarError, KvarErrorCode, KvarErrorJson } from '../errors.ts'
import type { Platform } from '../platform/platform.ts'
import type { LogLevel } from '../settings/keeper-settings.ts'
import { LogFile } from './logging-file.ts'

/** In `.NAME-kvar/`. */
export const LOG_NAME = 'keeper.log'
/** Lines from before the level is known. */
const EARLY_LIMIT = 100

export interface LogLine {
  level: Exclude<LogLevel, 'silent'>
  /** What happened, as one word of a closed vocabulary (docs/MONITORING.md): something to filter by. */
  event: string
  /** Numbers, names of states, URLs without secrets. Never rows, SQL or keys. */
  facts?: Record<string, unknown>
}

/**
 * The keeper's own log: JSON lines, written by pino into a file that keeps itself small. It holds what
 * happened and no content; `errorFacts` leaves out the words of errors that may quote some.
 */
export class KeeperLog {
  readonly #platform: Platform
  readonly #file: LogFile
  readonly #processId: number
  #early: Array<{ line: LogLine; timeMs: number }> | undefined = []
  #logger: Logger | undefined
  #timeMs = 0

  constructor(options: { folder: string; platform: Platform; processId: number; limitBytes?: number }) {
    this.#platform = options.platform
    this.#processId = options.processId
    this.#file = new LogFile(join(options.folder, LOG_NAME), options.platform, options.limitBytes)
  }

  /** Begins to write, with what was noted before. Until then the level is not known. */
  async open(level: LogLevel): Promise<void> {
    if (level !== 'silent') this.#logger = await this.#makeLogger(level)
    const early = this.#early ?? []
    this.#early = undefined
    for (const { line, timeMs } of early) this.#write(line, timeMs)
  }

  add(line: LogLine): void {
    const timeMs = this.#platform.clock.nowMs()
    if (this.#early === undefined) this.#write(line, timeMs)
    else if (this.#early.length < EARLY_LIMIT) this.#early.push({ line, timeMs })
  }

  close(): Promise<void> {
    return this.#file.close()
  }

  #write({ level, event, facts }: LogLine, timeMs: number): void {
    this.#timeMs = timeMs
    this.#logger?.[level]({ event, ...facts })
  }

  /** Loaded late: the database is brought back first. */
  async #makeLogger(level: LogLevel): Promise<Logger> {
    const { pino } = await import('pino')
    return pino(
      {
        level,
        base: { processId: this.#processId },
        timestamp: () => `,"time":"${new Date(this.#timeMs).toISOString()}"`,
        formatters: { level: (label) => ({ level: label }) },
      },
      { write: (line) => this.#file.write(line) },
    )
  }
}

/**
 * Whether an error's sentence may hold words of somebody else, such as SQLite's, which quotes SQL and
 * names columns, or a value out of a JSON file. Only its code is written down then.
 */
const MAY_QUOTE: Record<KvarErrorCode, boolean> = {
  USAGE: true,
  SETTING_INVALID: true,
  SECRET_EXPOSED: false,
  NOT_FOUND: false,
  NO_BACKUP: false,
  LOG_BROKEN: false,
  DAMAGED: false,
  JSON_INVALID: true,
  FORMAT_TOO_NEW: false,
  LINEAGE_MISMATCH: false,
  FENCED: false,
  HELD: false,
  UNREACHABLE: false,
  TARGET_TEMPORARY: false,
  TARGET_DENIED: false,
  TARGET_FULL: false,
  TARGET_PERMANENT: false,
  WOULD_OVERWRITE: false,
  DATABASE_UNREADABLE: true,
  UNSUPPORTED: false,
  KEEPER_GONE: false,
  CANCELLED: false,
  ASSERTION: true,
}

/** Whether the words of an error with this code have to stay out of logs and messages. */
export function mayQuote(code: KvarErrorCode): boolean {
  return MAY_QUOTE[code]
}

/** What a log line may say of an error. */
export function errorFacts(error: KvarError | KvarErrorJson): { code: KvarErrorCode; message?: string } {
  return MAY_QUOTE[error.code] ? { code: error.code } : { code: error.code, message: error.message }
}

/** A programmer's error as a log line may tell it: where, not what, because its message may quote anything. */
export function crashFacts(thrown: unknown): Record<string, unknown> {
  if (!(thrown instanceof Error)) return { name: typeof thrown }
  const frames = (thrown.stack ?? '').split('\n').filter((line) => /^\s+at /.test(line))
  const code = (thrown as { code?: unknown }).code
  return {
    name: thrown.name,
    ...(typeof code === 'string' ? { code } : {}),
    stack: frames.map((frame) => frame.trim()).slice(0, 20),
  }
}

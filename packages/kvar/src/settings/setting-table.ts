import * as v from 'valibot'
import { DURATION_HINT, parseDuration } from './duration.ts'
import { DEFAULT_KEEP, DEFAULT_LIMITS, type KeeperLimits, LOG_LEVELS } from './keeper-settings.ts'

/**
 * One line for each setting: how the environment and `kvar.config.json` call it, how the text of a
 * variable becomes a value, and what the value may be. Options use the names of the file.
 */
export interface SettingRow {
  variable?: string
  /** Turns a variable's text into the form the other sources give; the text itself when left out. */
  fromText?: (text: string) => unknown
  schema: v.GenericSchema
  /** The names inside an object-valued setting, for suggesting the one that was meant. */
  innerNames?: string[]
  /** What is allowed, for the hint of an error. */
  allowed: string
}

export type SettingName =
  | 'database'
  | 'targets'
  | 'ledger'
  | 'durable'
  | 'copies'
  | 'interval'
  | 'startTimeout'
  | 'onUnreachable'
  | 'schema'
  | 'keep'
  | 'limits'
  | 'logLevel'
  | 'metricsPort'
  | 'alarm'
  | 'alarmAfter'

/** Largest number of targets: each one costs a queue, a connection and a line in every status. */
const TARGETS_LIMIT = 16
const SCHEMA_LIMIT = 1024 * 1024
const INTERVAL_LIMIT_MS = 3_600_000
const START_TIMEOUT_LIMIT_MS = 86_400_000
const ALARM_AFTER_LIMIT_MS = 7 * 86_400_000

const text = v.pipe(v.string(), v.trim(), v.nonEmpty(), v.maxLength(8192))

/** A duration between two bounds, both included. */
function duration(minMs: number, maxMs: number) {
  return v.pipe(
    v.string(),
    v.check((value) => {
      const ms = parseDuration(value)
      return ms !== undefined && ms >= minMs && ms <= maxMs
    }),
  )
}

const keepSpan = v.optional(duration(1, Number.POSITIVE_INFINITY))
const limit = (least: number) => v.optional(v.pipe(v.number(), v.safeInteger(), v.minValue(least)))

const KEEP = v.strictObject({ all: keepSpan, hourly: keepSpan, daily: keepSpan, monthly: keepSpan })

const LIMITS = v.strictObject({
  pendingBytes: limit(1024 * 1024),
  outboxBytes: limit(1024 * 1024),
  catchUpVersions: limit(1),
  targetTries: limit(1),
  targetTimeoutMs: limit(100),
  takeBackMs: limit(1),
  scrubAfterMs: limit(0),
  drillAfterMs: limit(0),
  lateAfterMs: limit(1),
  notSafeAfterMs: limit(1),
} satisfies Record<keyof KeeperLimits, v.GenericSchema>)

export const SETTING_TABLE: Record<SettingName, SettingRow> = {
  database: { variable: 'KVAR_DB', schema: text, allowed: 'the path of a SQLite file, such as ./app.db' },
  targets: {
    variable: 'KVAR_TARGETS',
    fromText: (value) => value.trim().split(/\s+/),
    schema: v.pipe(v.array(text), v.maxLength(TARGETS_LIMIT)),
    allowed: `a list of at most ${TARGETS_LIMIT} target URLs`,
  },
  ledger: { variable: 'KVAR_LEDGER', schema: text, allowed: 'the URL of one of the targets' },
  durable: {
    variable: 'KVAR_DURABLE',
    schema: v.picklist(['ledger', 'all']),
    allowed: '"ledger" or "all"',
  },
  copies: {
    variable: 'KVAR_COPIES',
    fromText: (value) => (value.trim() === 'none' ? [] : words(value)),
    schema: v.array(v.picklist(['json', 'backup'])),
    allowed: 'a list of "json" and "backup" (in the environment "none" for neither)',
  },
  interval: {
    variable: 'KVAR_INTERVAL',
    schema: duration(1, INTERVAL_LIMIT_MS),
    allowed: `at most 1h; ${DURATION_HINT}`,
  },
  startTimeout: {
    variable: 'KVAR_START_TIMEOUT',
    schema: duration(1, START_TIMEOUT_LIMIT_MS),
    allowed: `at most 1d; ${DURATION_HINT}`,
  },
  onUnreachable: {
    variable: 'KVAR_ON_UNREACHABLE',
    schema: v.picklist(['fail', 'stale']),
    allowed: '"fail" or "stale"',
  },
  schema: {
    variable: 'KVAR_SCHEMA',
    schema: v.pipe(v.string(), v.maxLength(SCHEMA_LIMIT)),
    allowed: 'SQL of at most 1 MiB that creates tables',
  },
  keep: {
    variable: 'KVAR_KEEP',
    fromText: assignments,
    schema: KEEP,
    innerNames: Object.keys(DEFAULT_KEEP),
    allowed: `${Object.keys(DEFAULT_KEEP).join(', ')}, each with a duration, such as all=7d,daily=1y; ${DURATION_HINT}`,
  },
  limits: {
    schema: LIMITS,
    innerNames: Object.keys(DEFAULT_LIMITS),
    allowed: `whole numbers for ${Object.keys(DEFAULT_LIMITS).join(', ')}`,
  },
  logLevel: {
    variable: 'KVAR_LOG_LEVEL',
    schema: v.picklist(LOG_LEVELS),
    allowed: LOG_LEVELS.map((level) => `"${level}"`).join(', '),
  },
  metricsPort: {
    variable: 'KVAR_METRICS_PORT',
    // `metrics-port.ts` reads it: an address that others can reach deserves a sentence of its own.
    schema: v.union([v.pipe(v.number(), v.safeInteger()), text]),
    allowed: 'a port of this machine from 1 to 65535, such as 9187',
  },
  alarm: {
    variable: 'KVAR_ALARM',
    fromText: (value) => value.trim().split(/\s+/),
    // Checked by `alarm-url.ts`, whose errors show nothing of a URL that may be a secret as a whole.
    schema: v.unknown(),
    allowed: 'a list of alarms',
  },
  alarmAfter: {
    variable: 'KVAR_ALARM_AFTER',
    schema: duration(1, ALARM_AFTER_LIMIT_MS),
    allowed: `at most 7d; ${DURATION_HINT}`,
  },
}

/** Options of `createPersistentDb` that stay in the app's process and never reach a keeper. */
export const APP_ONLY_OPTIONS = ['handleSignals', 'onFenced']

function words(value: string): string[] {
  return value.split(/[\s,]+/).filter((word) => word !== '')
}

/** `all=7d,daily=1y` as an object; a piece without "=" becomes a name that no schema knows. */
function assignments(value: string): Record<string, string> {
  return Object.fromEntries(
    words(value).map((word) => {
      const equals = word.indexOf('=')
      return equals === -1 ? [word, ''] : [word.slice(0, equals), word.slice(equals + 1)]
    }),
  )
}

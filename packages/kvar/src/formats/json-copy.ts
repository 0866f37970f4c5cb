import { KvarError } from '../errors.ts'
import { type JsonObject, JsonProblem, type JsonValue, quoted } from './json-reader.ts'

/**
 * The frame of a JSON copy around its tables: `backup_time` in front, the `kvar` key behind
 * (docs/JSON-COPY.md has every field). Pure: text in, text out.
 *
 *   {
 *     "backup_time": "2026-11-23T10:15:30.123+00:00",
 *     "<table>": [ { "<column>": value, … }, … ],
 *     "kvar": { "format": 1, "lineage": …, "version": …, "time": …, "schema": […], "sequences": {…},
 *               "pragmas": {…}, "skipped": […], "rowids": {…}, "tables": {…} }
 *   }
 */
export const JSON_COPY_FORMAT = 1

/** Top-level keys that are no tables; a table of that name stands under `kvar.tables`. */
export const RESERVED_KEYS: ReadonlySet<string> = new Set(['backup_time', 'kvar'])

/** What a copy says of itself: whose content it is, and which version of it. */
export interface CopyStamp {
  /** 16 hexadecimal digits. */
  lineage: string
  version: number
  /** Milliseconds since 1970. */
  timeMs: number
}

/** What must be set before or beside the tables so that a database loaded from the copy is like the old one. */
export interface CopyPragmas {
  user_version: number
  application_id: number
  encoding: string
  page_size: number
  auto_vacuum: number
  journal_mode: 'wal' | 'delete'
}

/** Rowids `first`, `first + 1`, … of `count` rows that follow each other. */
export interface RowidRun {
  first: bigint
  count: bigint
}

/** The `kvar` key without the tables that stand in it. */
export interface CopyTrailer {
  stamp: CopyStamp
  /** CREATE statements: tables, then indexes, views and triggers, each in order of creation. */
  schema: string[]
  sequences: Map<string, bigint>
  pragmas: CopyPragmas
  /** Sentences about what the copy leaves out. */
  skipped: string[]
  /** For tables whose rowids no column holds and that do not simply count from 1. */
  rowids: Map<string, RowidRun[]>
}

/** ISO-8601 with zone, in the form that Python's `datetime.fromisoformat` reads too. */
export function backupTime(timeMs: number): string {
  return new Date(timeMs).toISOString().replace('Z', '+00:00')
}

/**
 * The time of `backup_time`. One without a zone is the seed's and means the clock on the wall of the
 * machine that wrote it, which is nearly always the machine that reads it.
 */
export function parseBackupTime(value: JsonValue | undefined): number | undefined {
  if (typeof value !== 'string' || !ISO_TIME.test(value)) return undefined
  const timeMs = Date.parse(value.replace(' ', 'T'))
  return Number.isNaN(timeMs) ? undefined : timeMs
}

/** The members of the `kvar` key up to the parts that are streamed, as keys with their JSON text. */
export function encodeTrailer(trailer: Omit<CopyTrailer, 'rowids'>): Array<[key: string, json: string]> {
  const { stamp } = trailer
  const sequences = [...trailer.sequences].map(([table, seq]) => `${JSON.stringify(table)}: ${seq}`)
  return [
    ['format', String(JSON_COPY_FORMAT)],
    ['lineage', JSON.stringify(stamp.lineage)],
    ['version', String(stamp.version)],
    ['time', JSON.stringify(backupTime(stamp.timeMs))],
    ['schema', indented(JSON.stringify(trailer.schema, null, 2))],
    ['sequences', sequences.length === 0 ? '{}' : `{\n      ${sequences.join(',\n      ')}\n    }`],
    ['pragmas', indented(JSON.stringify(trailer.pragmas, null, 2))],
    ['skipped', indented(JSON.stringify(trailer.skipped, null, 2))],
  ]
}

function indented(json: string): string {
  return json.replaceAll('\n', '\n    ')
}

/** @throws JsonProblem for a member that is missing or wrong; KvarError FORMAT_TOO_NEW */
export function parseTrailer(members: JsonObject): CopyTrailer {
  return {
    stamp: parseStamp(members),
    schema: textsOf(members.get('schema'), 'schema'),
    sequences: sequencesOf(members.get('sequences')),
    pragmas: pragmasOf(objectOf(members.get('pragmas') ?? new Map(), 'pragmas')),
    skipped: textsOf(members.get('skipped') ?? [], 'skipped'),
    rowids: rowidsOf(members.get('rowids')),
  }
}

/** The stamp alone: its four members stand first, so that it can be read without the rest. */
export function parseStamp(members: JsonObject): CopyStamp {
  refuseNewerFormat(members.get('format'))
  const lineage = members.get('lineage')
  if (typeof lineage !== 'string' || !LINEAGE.test(lineage)) throw wrong('lineage', '16 hexadecimal digits')
  const timeMs = parseBackupTime(members.get('time'))
  if (timeMs === undefined) throw wrong('time', 'a time such as "2026-11-23T10:15:30.123+00:00"')
  return { lineage, version: countOf(members.get('version'), 'version'), timeMs }
}

export const STAMP_KEYS: ReadonlySet<string> = new Set(['format', 'lineage', 'version', 'time'])

function refuseNewerFormat(value: JsonValue | undefined): void {
  const format = countOf(value, 'format')
  if (format <= JSON_COPY_FORMAT) return
  throw new KvarError(
    'FORMAT_TOO_NEW',
    `The JSON copy has format ${format}, this Kvar knows ${JSON_COPY_FORMAT}`,
    {
      hint: 'install the newest Kvar and try again; the file was not touched',
      data: { format, known: JSON_COPY_FORMAT },
    },
  )
}

function pragmasOf(members: JsonObject): CopyPragmas {
  const count = (key: string, fallback: bigint) => integerOf(members.get(key) ?? fallback, `pragmas.${key}`)
  const encoding = members.get('encoding') ?? 'UTF-8'
  if (typeof encoding !== 'string' || !ENCODINGS.has(encoding))
    throw wrong('pragmas.encoding', 'UTF-8 or UTF-16')
  const pageSize = count('page_size', 4096n)
  if (!PAGE_SIZES.has(pageSize)) throw wrong('pragmas.page_size', 'a power of two from 512 to 65536')
  return {
    user_version: count('user_version', 0n),
    application_id: count('application_id', 0n),
    encoding,
    page_size: pageSize,
    auto_vacuum: count('auto_vacuum', 0n),
    journal_mode: members.get('journal_mode') === 'wal' ? 'wal' : 'delete',
  }
}

function sequencesOf(value: JsonValue | undefined): Map<string, bigint> {
  const sequences = new Map<string, bigint>()
  for (const [table, sequence] of objectOf(value ?? new Map(), 'sequences')) {
    sequences.set(table, int64Of(sequence, `sequences.${table}`))
  }
  return sequences
}

function rowidsOf(value: JsonValue | undefined): Map<string, RowidRun[]> {
  const rowids = new Map<string, RowidRun[]>()
  for (const [table, runs] of objectOf(value ?? new Map(), 'rowids')) {
    if (!Array.isArray(runs)) throw wrong(`rowids.${table}`, 'a list of [first, count]')
    rowids.set(
      table,
      runs.map((run) => runOf(run, `rowids.${table}`)),
    )
  }
  return rowids
}

function runOf(value: JsonValue, key: string): RowidRun {
  if (!Array.isArray(value) || value.length !== 2) throw wrong(key, 'a list of [first, count]')
  return { first: int64Of(value[0], key), count: int64Of(value[1], key) }
}

function textsOf(value: JsonValue | undefined, key: string): string[] {
  if (Array.isArray(value) && value.every((text) => typeof text === 'string')) return value
  throw wrong(key, 'a list of texts')
}

function objectOf(value: JsonValue, key: string): JsonObject {
  if (value instanceof Map) return value
  throw wrong(key, 'an object')
}

function int64Of(value: JsonValue | undefined, key: string): bigint {
  if (typeof value === 'bigint' && BigInt.asIntN(64, value) === value) return value
  throw wrong(key, 'an integer')
}

function integerOf(value: JsonValue, key: string): number {
  if (typeof value === 'bigint' && BigInt.asIntN(32, value) === value) return Number(value)
  throw wrong(key, 'an integer of 32 bits')
}

function countOf(value: JsonValue | undefined, key: string): number {
  if (typeof value === 'bigint' && value >= 0n && value <= MAX_SAFE) return Number(value)
  throw wrong(key, 'a number from 0')
}

function wrong(key: string, wanted: string): JsonProblem {
  return new JsonProblem(`${quoted(`kvar.${key}`)} should be ${wanted}`)
}

const LINEAGE = /^[0-9a-f]{16}$/
const ISO_TIME = /^\d{4}-\d\d-\d\d[T ]\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|[+-]\d\d:?\d\d)?$/
const ENCODINGS: ReadonlySet<string> = new Set(['UTF-8', 'UTF-16le', 'UTF-16be'])
const PAGE_SIZES: ReadonlySet<number> = new Set([512, 1024, 2048, 4096, 8192, 16384, 32768, 65536])
const MAX_SAFE = BigInt(Number.MAX_SAFE_INTEGER)

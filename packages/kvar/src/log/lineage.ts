import { KvarError } from '../errors.ts'
import { readAll, type Target } from '../targets/target.ts'
import { LINEAGE_KEY } from './log-layout.ts'
import { passing } from './passing.ts'

/** The newest log format this program reads and writes. */
export const LOG_FORMAT = 1
const LIMIT_BYTES = 64 * 1024

/** The identity of one database over its whole life, as `kvar/lineage.json` holds it. */
export interface Lineage {
  format: number
  /** Sixteen lower-case hexadecimal digits. */
  lineage: string
  /** ISO-8601 UTC. */
  createdAt: string
}

interface Options {
  signal?: AbortSignal
}

/** Whose log a target holds, or undefined for nobody's yet. A newer format is `FORMAT_TOO_NEW`. */
export async function readLineage(target: Target, options: Options = {}): Promise<Lineage | undefined> {
  const bytes = await readAll(target, LINEAGE_KEY, { ...options, limitBytes: LIMIT_BYTES })
  return bytes === undefined ? undefined : parseLineage(bytes, target.url)
}

/**
 * Gives a target its lineage and answers the one that is there afterwards: the given one, or the
 * one that somebody else had stored before. The object is never replaced.
 */
export async function createLineage(
  target: Target,
  wanted: { lineage: string; createdAtMs: number },
  options: Options = {},
): Promise<Lineage> {
  const createdAt = new Date(wanted.createdAtMs).toISOString()
  const body = JSON.stringify({ format: LOG_FORMAT, lineage: wanted.lineage, createdAt }, undefined, 2)
  const bytes = new TextEncoder().encode(`${body}\n`)
  await target.create(LINEAGE_KEY, bytes, { modifiedAtMs: wanted.createdAtMs, ...passing(options.signal) })
  const stored = await readLineage(target, options)
  if (stored !== undefined) return stored
  throw new KvarError('LOG_BROKEN', `"${LINEAGE_KEY}" on ${target.url} vanished just after it was stored`)
}

/** Refuses a target that holds the log of another database. */
export function assertSameLineage(target: Target, found: string, expected: string): void {
  if (found !== expected) throw otherDatabase(target, { found, expected })
}

export function otherDatabase(target: Target, data: Record<string, unknown> = {}): KvarError {
  return new KvarError('LINEAGE_MISMATCH', `${target.url} holds the log of another database`, {
    hint: 'give every database a target or prefix of its own; nothing was changed there',
    data: { target: target.url, ...data },
  })
}

/** A lineage as files carry it in their headers. */
export function lineageNumber(lineage: string): bigint {
  return BigInt(`0x${lineage}`)
}

export function lineageText(lineage: bigint): string {
  return lineage.toString(16).padStart(16, '0')
}

function parseLineage(bytes: Uint8Array, url: string): Lineage {
  const damaged = (what: string, cause?: unknown) =>
    new KvarError('DAMAGED', `"${LINEAGE_KEY}" on ${url} ${what}`, {
      hint: 'look at the file; the versions beside it are untouched',
      data: { key: LINEAGE_KEY },
      cause,
    })
  let value: unknown
  try {
    value = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))
  } catch (thrown) {
    throw damaged('is not readable as JSON', thrown)
  }
  const { format, lineage, createdAt } = (value ?? {}) as Record<string, unknown>
  if (typeof format !== 'number' || !Number.isInteger(format) || format < 1)
    throw damaged('names no log format')
  if (format > LOG_FORMAT) throw tooNew(url, format)
  if (typeof lineage !== 'string' || !/^[0-9a-f]{16}$/.test(lineage)) throw damaged('holds no valid lineage')
  if (typeof createdAt !== 'string' || Number.isNaN(Date.parse(createdAt)))
    throw damaged('does not say when it was made')
  return { format, lineage, createdAt }
}

function tooNew(url: string, format: number): KvarError {
  return new KvarError(
    'FORMAT_TOO_NEW',
    `The log on ${url} has format ${format}; this Kvar reads formats up to ${LOG_FORMAT}`,
    { hint: 'update Kvar; nothing was changed', data: { format, newest: LOG_FORMAT } },
  )
}

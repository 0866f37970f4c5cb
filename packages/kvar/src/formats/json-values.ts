import { KvarError } from '../errors.ts'
import { JsonProblem, type JsonValue, quoted } from './json-reader.ts'

/**
 * One SQLite value as JSON and back, exactly (docs/JSON-COPY.md):
 *
 *   NULL     null
 *   integer  12, -9223372036854775808        digits only
 *   real     1.5, 2.0, 1e+300, -0.0          always with a fraction or an exponent
 *            {"$real": "Infinity"}           the two reals JSON has no number for
 *   text     "Simskola"
 *            {"$text": base64}               text whose bytes are not valid in the database's encoding
 *   blob     {"$blob": base64}
 *
 * No SQLite value is an object, so no user's text or number can be mistaken for an escape.
 */
export type SqlValue = null | bigint | number | string | Uint8Array | RawText

/** Text as bytes in the database's encoding: what cannot be said as a JavaScript string. */
export class RawText {
  readonly bytes: Uint8Array
  constructor(bytes: Uint8Array) {
    this.bytes = bytes
  }
}

/** The largest text or blob a JSON copy holds: its base64 must fit one JavaScript string. */
export const MAX_VALUE_BYTES = 256 * 1024 * 1024

/**
 * @throws KvarError UNSUPPORTED for a value of more than MAX_VALUE_BYTES
 * @example
 * encodeValue(2) // '2.0': a real
 * encodeValue(2n) // '2': an integer
 */
export function encodeValue(value: SqlValue): string {
  if (value === null) return 'null'
  if (typeof value === 'bigint') return value.toString()
  if (typeof value === 'number') return encodeReal(value)
  if (typeof value === 'string') return JSON.stringify(limited(value))
  if (value instanceof RawText) return encodeBytes('$text', value.bytes)
  return encodeBytes('$blob', value)
}

function encodeReal(value: number): string {
  if (Object.is(value, -0)) return '-0.0'
  if (!Number.isFinite(value)) return `{ "$real": "${value}" }`
  const digits = String(value)
  return /[.e]/.test(digits) ? digits : `${digits}.0`
}

function encodeBytes(key: string, bytes: Uint8Array): string {
  const { buffer, byteOffset, length } = limited(bytes)
  return `{ "${key}": "${Buffer.from(buffer, byteOffset, length).toString('base64')}" }`
}

function limited<T extends string | Uint8Array>(value: T): T {
  if (value.length <= MAX_VALUE_BYTES) return value
  throw new KvarError('UNSUPPORTED', `A value of ${value.length} bytes is too large for a JSON copy`, {
    hint: `the limit is ${MAX_VALUE_BYTES} bytes; turn the JSON copy off, the log and the .backup hold such values`,
    data: { sizeBytes: value.length, limitBytes: MAX_VALUE_BYTES },
  })
}

/** @throws JsonProblem in words that fit behind "column …:" */
export function decodeValue(value: JsonValue): SqlValue {
  if (value === null) return null
  if (typeof value === 'string') return decodeText(value)
  if (typeof value === 'bigint') return decodeInteger(value)
  if (typeof value === 'number') return decodeReal(value)
  if (typeof value === 'boolean') throw new JsonProblem('SQLite has no true and false; write 1 or 0')
  if (Array.isArray(value)) throw new JsonProblem('a list is no SQLite value')
  return decodeEscape(value)
}

function decodeText(value: string): string {
  if (value.isWellFormed()) return value
  throw new JsonProblem('the text holds half a character (a lone surrogate)')
}

function decodeInteger(value: bigint): bigint {
  if (BigInt.asIntN(64, value) === value) return value
  throw new JsonProblem('the integer does not fit 64 bits')
}

function decodeReal(value: number): number {
  if (Number.isFinite(value)) return value
  throw new JsonProblem('the number is larger than a real can be')
}

function decodeEscape(members: Map<string, JsonValue>): SqlValue {
  const [key, content] = members.size === 1 ? (members.entries().next().value as [string, JsonValue]) : []
  if (key === '$blob') return decodeBytes(content)
  if (key === '$text') return new RawText(decodeBytes(content))
  if (key === '$real' && content === 'Infinity') return Number.POSITIVE_INFINITY
  if (key === '$real' && content === '-Infinity') return Number.NEGATIVE_INFINITY
  throw new JsonProblem(
    key?.startsWith('$') ? `the escape ${quoted(key)} is not understood` : 'an object is no SQLite value',
  )
}

function decodeBytes(content: JsonValue | undefined): Uint8Array {
  if (typeof content === 'string' && content.length % 4 === 0 && BASE64.test(content)) {
    return Buffer.from(content, 'base64')
  }
  throw new JsonProblem('the base64 is damaged')
}

const BASE64 = /^[A-Za-z0-9+/]*={0,2}$/

/**
 * Goal: the frame of a copy says what it is, and a wrong one is refused by name.
 * Method: what is written is read again; a table of wrong members.
 */
import { expect, test } from 'vitest'
import type { KvarError } from '../errors.ts'
import { backupTime, encodeTrailer, parseBackupTime, parseTrailer } from './json-copy.ts'
import { type JsonObject, JsonReader, type JsonValue } from './json-reader.ts'

const trailer = {
  stamp: { lineage: '00c0ffee00c0ffee', version: 8412, timeMs: Date.UTC(2026, 10, 23, 10, 15, 30, 123) },
  schema: ['CREATE TABLE a (b)'],
  sequences: new Map([['__proto__', 2n ** 63n - 1n]]),
  pragmas: {
    user_version: -1,
    application_id: 7,
    encoding: 'UTF-8',
    page_size: 65536,
    auto_vacuum: 1,
    journal_mode: 'wal' as const,
  },
  skipped: ['search: virtual table'],
}

function members(changes: Record<string, JsonValue | undefined> = {}): JsonObject {
  const json = encodeTrailer(trailer).map(([key, text]) => `"${key}": ${text}`)
  const bytes = Buffer.from(`{${json.join(',')}}`)
  const parsed = new JsonReader((buffer, offset) => bytes.copy(buffer, 0, offset)).readValue() as JsonObject
  for (const [key, value] of Object.entries(changes)) {
    if (value === undefined) parsed.delete(key)
    else parsed.set(key, value)
  }
  return parsed
}

test('what is written is read again', () => {
  expect(parseTrailer(members())).toEqual({ ...trailer, rowids: new Map() })
})

test('times: ours in UTC, the seed’s by the clock on the wall', () => {
  expect(backupTime(trailer.stamp.timeMs)).toBe('2026-11-23T10:15:30.123+00:00')
  expect(parseBackupTime('2026-11-23T10:15:30.123+00:00')).toBe(trailer.stamp.timeMs)
  expect(parseBackupTime('2026-11-23T12:15:30.123456+02:00')).toBe(trailer.stamp.timeMs)
  expect(parseBackupTime('2025-10-13T19:35:10.536077')).toBe(new Date(2025, 9, 13, 19, 35, 10, 536).getTime())
  for (const wrong of ['yesterday', '2025', '', 5n, null, undefined])
    expect(parseBackupTime(wrong)).toBeUndefined()
})

const wrongMembers: Array<[what: string, changes: Record<string, JsonValue | undefined>, reason: RegExp]> = [
  ['no lineage', { lineage: undefined }, /"kvar.lineage" should be 16 hexadecimal digits/],
  ['a lineage of capitals', { lineage: 'ABCDEF0123456789' }, /"kvar.lineage"/],
  ['no version', { version: undefined }, /"kvar.version" should be a number/],
  ['a negative version', { version: -1n }, /"kvar.version"/],
  ['no time', { time: 'soon' }, /"kvar.time" should be a time/],
  ['no format', { format: undefined }, /"kvar.format"/],
  ['a schema that is one text', { schema: 'CREATE TABLE a (b)' }, /"kvar.schema" should be a list of texts/],
  ['no schema', { schema: undefined }, /"kvar.schema"/],
  [
    'a sequence that is text',
    { sequences: new Map([['a', '5']]) },
    /"kvar.sequences.a" should be an integer/,
  ],
  ['an odd page size', { pragmas: new Map([['page_size', 1000n]]) }, /"kvar.pragmas.page_size"/],
  ['an unknown encoding', { pragmas: new Map([['encoding', "x'; DROP"]]) }, /"kvar.pragmas.encoding"/],
  [
    'rowids without runs',
    { rowids: new Map([['a', [1n, 2n]]]) },
    /"kvar.rowids.a" should be a list of \[first, count\]/,
  ],
]

test.each(wrongMembers)('refuses %s', (_what, changes, reason) => {
  expect(() => parseTrailer(members(changes))).toThrow(reason)
})

test('a newer format is refused by its own code', () => {
  let code: string | undefined
  try {
    parseTrailer(members({ format: 2n }))
  } catch (thrown) {
    code = (thrown as KvarError).code
  }
  expect(code).toBe('FORMAT_TOO_NEW')
})

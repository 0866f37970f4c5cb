/**
 * Goal: the reader agrees with RFC 8259, wherever the chunks of the file break, and refuses the rest
 * with a place. Method: JSON.parse as the judge on random documents fed in pieces of random length;
 * every truncation of a document; a table of what JSON forbids.
 */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { JsonProblem, JsonReader, type JsonValue } from './json-reader.ts'

function readerOf(bytes: Uint8Array | string, chunkBytes = 7): JsonReader {
  const all = Buffer.from(bytes as string)
  return new JsonReader((buffer, offset) => all.copy(buffer, 0, offset, offset + chunkBytes))
}

function read(bytes: Uint8Array | string, chunkBytes?: number): JsonValue {
  const reader = readerOf(bytes, chunkBytes)
  const value = reader.readValue()
  reader.expectEnd()
  return value
}

/** As JSON.parse gives it: integers as numbers, objects as objects. */
function plain(value: JsonValue): unknown {
  if (typeof value === 'bigint') return Number(value)
  if (Array.isArray(value)) return value.map(plain)
  if (!(value instanceof Map)) return value
  return Object.fromEntries([...value].map(([key, member]) => [key, plain(member)]))
}

test('agrees with JSON.parse on any document, in chunks of any size', () => {
  fc.assert(
    fc.property(
      fc.jsonValue({ stringUnit: 'binary' }),
      fc.integer({ min: 1, max: 40 }),
      fc.constantFrom(undefined, 2, '\t'),
      (document, chunkBytes, indent) => {
        const text = JSON.stringify(document, null, indent)
        expect(plain(read(text, chunkBytes))).toEqual(JSON.parse(text))
      },
    ),
    { numRuns: 300 },
  )
})

test('every truncation is an error with a place', () => {
  const whole = '{"a": [1.5, "å\\n\\u00e5", null, true], "b": {"c": -12e+3}}'
  const bytes = Buffer.from(whole)
  for (let length = 0; length < bytes.length; length += 1) {
    expect(() => read(bytes.subarray(0, length)), `${length} bytes`).toThrow(JsonProblem)
  }
})

const refused: Array<[what: string, json: string | Uint8Array, reason: RegExp]> = [
  ['NaN', '[NaN]', /NaN is not a number/],
  ['Infinity', '[Infinity]', /Infinity is not a number/],
  ['-Infinity', '[-Infinity]', /Infinity is not a number/],
  ['a leading zero', '[012]', /a number that JSON does not know/],
  ['a bare point', '[1.]', /a number that JSON does not know/],
  ['a plus sign', '[+1]', /a value should stand here/],
  ['a comma at the end of a list', '[1,]', /a comma stands before the end of the list/],
  ['a comma at the end of an object', '{"a":1,}', /a comma stands before the end of the object/],
  ['a missing comma', '[1 2]', /a comma or the end of the list should stand here/],
  ['a missing colon', '{"a" 1}', /a colon after the key should stand here/],
  ['a bare key', '{a: 1}', /a key in double quotes should stand here/],
  ['single quotes', "['a']", /a value should stand here/],
  ['a line break in a text', '["a\nb"]', /a control character/],
  ['an unknown escape', '["\\x"]', /an escape that JSON does not know/],
  ['a duplicate key', '{"a":1,"a":2}', /the key "a" stands twice/],
  ['a second document', '{} {}', /something follows/],
  ['an open text', '["abc', /ends in the middle of a text/],
  ['an empty file', '', /the file ends where a value should stand/],
  ['bytes that are not UTF-8', Buffer.from([0x22, 0xe5, 0x22]), /not UTF-8/],
  ['UTF-16', Buffer.from('\uFEFF{}', 'utf16le'), /UTF-16, not UTF-8/],
  ['too deep nesting', '['.repeat(1000), /nested deeper/],
  ['an endless number', `[${'1'.repeat(2000)}]`, /more than 1000 characters/],
]

test.each(refused)('refuses %s', (_what, json, reason) => {
  expect(() => read(json)).toThrow(reason)
})

test('integers are exact, a byte order mark is skipped', () => {
  expect(read('[9223372036854775807, -9223372036854775808, 1.0, -0.0]')).toEqual([
    2n ** 63n - 1n,
    -(2n ** 63n),
    1,
    -0,
  ])
  expect(read('\uFEFF"a"')).toBe('a')
})

test('the place of a mistake is its line and character', () => {
  try {
    read('{\n  "a": 1,\n  "b": NaN\n}')
  } catch (thrown) {
    expect((thrown as JsonProblem).position).toEqual({ line: 3, column: 11 })
  }
  expect.assertions(1)
})

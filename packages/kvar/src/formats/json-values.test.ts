/**
 * Goal: every SQLite value survives JSON, in digits that a person and any parser understand.
 * Method: random values there and back through the reader; the exact text for the values at the edges.
 */
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { JsonReader, type JsonValue } from './json-reader.ts'
import { decodeValue, encodeValue, RawText, type SqlValue } from './json-values.ts'

function read(json: string): JsonValue {
  const bytes = Buffer.from(json)
  return new JsonReader((buffer, offset) => bytes.copy(buffer, 0, offset)).readValue()
}

const value: fc.Arbitrary<SqlValue> = fc.oneof(
  fc.constant(null),
  fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n }),
  fc.double({ noNaN: true }),
  fc.string({ unit: 'binary' }).filter((text) => text.isWellFormed()),
  fc.uint8Array().map((bytes) => Buffer.from(bytes)),
  fc.uint8Array().map((bytes) => new RawText(Buffer.from(bytes))),
)

test('any value comes back as it was, kind and bits', () => {
  fc.assert(
    fc.property(value, (before) => {
      const after = decodeValue(read(encodeValue(before)))
      expect(after).toEqual(before)
      if (typeof before === 'number') expect(Object.is(after, before)).toBe(true)
    }),
    { numRuns: 2000 },
  )
})

const exact: Array<[SqlValue, string]> = [
  [null, 'null'],
  [9223372036854775807n, '9223372036854775807'],
  [-9223372036854775808n, '-9223372036854775808'],
  [2, '2.0'],
  [-0, '-0.0'],
  [1.5, '1.5'],
  [1e21, '1e+21'],
  [5e-324, '5e-324'],
  [Number.POSITIVE_INFINITY, '{ "$real": "Infinity" }'],
  [Number.NEGATIVE_INFINITY, '{ "$real": "-Infinity" }'],
  ['{"$blob": "YQ=="}', '"{\\"$blob\\": \\"YQ==\\"}"'],
  ['a\0b', '"a\\u0000b"'],
  [Buffer.from('hej'), '{ "$blob": "aGVq" }'],
  [new RawText(Buffer.from([0xff])), '{ "$text": "/w==" }'],
]

test.each(exact)('%o is written as %s', (before, json) => {
  expect(encodeValue(before)).toBe(json)
})

const refused: Array<[json: string, reason: RegExp]> = [
  ['true', /no true and false/],
  ['[1]', /a list is no SQLite value/],
  ['{}', /an object is no SQLite value/],
  ['{"a": 1}', /an object is no SQLite value/],
  ['{"$date": "2026"}', /the escape "\$date" is not understood/],
  ['{"$real": "NaN"}', /the escape "\$real" is not understood/],
  ['{"$blob": "a"}', /base64 is damaged/],
  ['{"$blob": "YQ==", "$text": "YQ=="}', /an object is no SQLite value/],
  ['{"$text": 5}', /base64 is damaged/],
  ['9223372036854775808', /does not fit 64 bits/],
  ['-9223372036854775809', /does not fit 64 bits/],
  ['1e999', /larger than a real can be/],
  ['"\\ud83c"', /half a character/],
]

test.each(refused)('%s is refused', (json, reason) => {
  expect(() => decodeValue(read(json))).toThrow(reason)
})

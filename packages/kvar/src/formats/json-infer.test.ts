/**
 * Goal: a file that says nothing of its schema gets tables that change no value, and the seed's gets
 * the Python app's own table. Method: the exact CREATE for each kind of column.
 */
import { expect, test } from 'vitest'
import { type ColumnSurvey, inferTable, SEED_EVENTS_SQL, type ValueKind } from './json-infer.ts'

function columns(shape: Record<string, ValueKind[]>): Map<string, ColumnSurvey> {
  return new Map(Object.entries(shape).map(([name, kinds]) => [name, new Set(kinds)]))
}

test('a column gets a type only where all its values have it', () => {
  const shape = columns({
    id: ['integer'],
    'a"b': ['text', 'null'],
    mixed: ['integer', 'real'],
    photo: ['blob'],
    empty: ['null'],
  })
  expect(inferTable('my table', shape)).toBe(
    'CREATE TABLE "my table" (\n  "id" INTEGER PRIMARY KEY AUTOINCREMENT,\n  "a""b" TEXT,\n  "mixed",\n  "photo" BLOB,\n  "empty"\n)',
  )
})

test('only a first column of integers called id is a key', () => {
  expect(inferTable('t', columns({ name: ['text'], id: ['integer'] }))).toContain('"id" INTEGER\n')
  expect(inferTable('t', columns({ id: ['integer', 'null'] }))).toContain('"id" INTEGER\n')
  expect(inferTable('t', columns({ ID: ['integer'] }))).toContain('PRIMARY KEY')
})

test('the seed’s events become the Python app’s table, in older files and empty ones too', () => {
  const required = {
    id: ['integer'],
    user: ['text'],
    date: ['text'],
    time: ['text'],
    title: ['text'],
  } as const
  const older = columns(required as unknown as Record<string, ValueKind[]>)
  expect(inferTable('events', older)).toBe(SEED_EVENTS_SQL)
  expect(inferTable('events', new Map())).toBe(SEED_EVENTS_SQL)
  expect(inferTable('events', new Map([...older, ['colour', new Set<ValueKind>(['text'])]]))).not.toBe(
    SEED_EVENTS_SQL,
  )
  expect(inferTable('other', new Map())).toBeUndefined()
})

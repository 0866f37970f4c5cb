// Goal: docs/PROMISES.md promises nothing that no test would break.
// Method: its tables are read. Every rule, system and way to lose data has a row; every row names
// test files that exist, or says plainly that the promise is not kept yet and what it comes with.
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { ROOT, readText } from './repository.ts'

interface PromiseRow {
  id: string
  test: string
}

const rows = readText('docs/PROMISES.md').split('\n').flatMap(toRow)

/** Columns: id, promise, test, rounds or figure, command. */
function toRow(line: string): PromiseRow[] {
  const cells = line.split('|').map((cell) => cell.trim())
  return /^[RSL]\d+$/.test(cells[1] ?? '') && cells.length === 7
    ? [{ id: cells[1] ?? '', test: cells[3] ?? '' }]
    : []
}

function testFilesOf(row: PromiseRow): string[] {
  return [...row.test.matchAll(/`([^`]+\.test\.ts)`/g)].map((match) => match[1] ?? '')
}

it('has a row for every promise', () => {
  const ids = (letter: string, count: number) =>
    Array.from({ length: count }, (_, index) => `${letter}${index + 1}`)
  const wanted = [...ids('R', 12), ...ids('S', 12), ...ids('L', 9)]
  expect(rows.map((row) => row.id)).toEqual(wanted)
})

it('names a test in every row, or what the promise waits for', () => {
  const empty = rows.filter(
    (row) => testFilesOf(row).length === 0 && !/not yet: comes with \w/.test(row.test),
  )
  expect(empty).toEqual([])
})

it('names only tests that exist', () => {
  const missing = rows.flatMap((row) => testFilesOf(row).filter((path) => !existsSync(join(ROOT, path))))
  expect(missing).toEqual([])
})

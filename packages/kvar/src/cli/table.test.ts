// Goal: tables line up and waste no room. Method: one table with every kind of cell.
import { expect, test } from 'vitest'
import { tableLines } from './table.ts'

test('numbers stand to the right, empty columns are left out, lines have no blanks at their end', () => {
  const columns = [
    { title: 'target' },
    { title: 'size', align: 'right' as const },
    { title: 'empty' },
    { title: 'note' },
  ]
  const rows = [
    ['folder', '5 bytes', '', 'ledger'],
    ['s3', '14.2 MB', '', ''],
  ]
  expect(tableLines(columns, rows)).toEqual([
    '  target     size  note',
    '  folder  5 bytes  ledger',
    '  s3      14.2 MB',
  ])
})

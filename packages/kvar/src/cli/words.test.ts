// Goal: figures that people read are right at the edges of their units.
// Method: examples on both sides of each edge.
import { expect, test } from 'vitest'
import { bytesText, countText, durationText, shortTimeText, timeText } from './words.ts'

test.each([
  [0, '0 bytes'],
  [1, '1 byte'],
  [999, '999 bytes'],
  [1000, '1.0 KB'],
  [14_200_000, '14.2 MB'],
  [999_949, '999.9 KB'],
  [999_950, '1.0 MB'],
  [590_000_000_000, '590.0 GB'],
])('%i bytes are %s', (sizeBytes, text) => {
  expect(bytesText(sizeBytes)).toBe(text)
})

test.each([
  [-5, '0 s'],
  [41_400, '41 s'],
  [119_499, '119 s'],
  [120_000, '2 min'],
  [7_140_000, '119 min'],
  [7_200_000, '2 h'],
  [172_800_000, '2 d'],
])('%i ms are %s', (durationMs, text) => {
  expect(durationText(durationMs)).toBe(text)
})

test('times are local, and without the date today', () => {
  const at = new Date(2026, 10, 23, 14, 3, 7)
  expect(timeText(at.getTime())).toBe('2026-11-23 14:03:07')
  expect(shortTimeText(at.toISOString(), at.getTime() + 3_600_000)).toBe('14:03:07')
  expect(shortTimeText(at.toISOString(), at.getTime() + 86_400_000)).toBe('2026-11-23 14:03:07')
})

test('counts have their plural', () => {
  expect([countText(1, 'row'), countText(0, 'row'), countText(2, 'branch', 'branches')]).toEqual([
    '1 row',
    '0 rows',
    '2 branches',
  ])
})

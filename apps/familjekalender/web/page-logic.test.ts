// Goal: what the page computes itself is right: colours, times, weeks, the words after a save.
// Method: properties where there is a rule, examples where there are words.
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import type { SafetyAnswer } from '../shared/event-types.ts'
import { fieldsOf, newDraft } from './event-draft.ts'
import { COLOUR_COUNT, personColours } from './people-colours.ts'
import { savedWords } from './saved-words.ts'
import { endTime, localToday, readTime, weekTitle } from './week.ts'

test('up to eight people have eight colours, the same ones when more people join', () => {
  const names = fc.uniqueArray(fc.string({ minLength: 1 }), { minLength: 1, maxLength: 20 })
  fc.assert(
    fc.property(names, (people) => {
      const colours = personColours(people)
      const first = people.slice(0, COLOUR_COUNT)
      expect(new Set(first.map((name) => colours.get(name))).size).toBe(first.length)
      expect([...personColours(first)]).toEqual(first.map((name) => [name, colours.get(name)]))
      for (const colour of colours.values()) expect(colour).toBeOneOf([0, 1, 2, 3, 4, 5, 6, 7])
    }),
  )
})

test.each([
  ['8', '08:00'],
  ['830', '08:30'],
  ['8.30', '08:30'],
  [' 16:30 ', '16:30'],
  ['1630', '16:30'],
  ['halv nio', 'halv nio'],
  ['', ''],
])('the typed time %j is read as %j', (typed, read) => expect(readTime(typed)).toBe(read))

test.each([
  ['16:30', 1.5, '18:00'],
  ['23:00', 2, '01:00'],
  ['08:10', 0.75, '08:55'],
  ['08:10', null, undefined],
  ['', 1, undefined],
])('%s and %s hours end at %s', (start, hours, end) => expect(endTime(start, hours)).toBe(end))

test('a week is named in the language of the page', () => {
  expect(weekTitle('2026-11-23', 'sv-SE')).toBe('23–29 november 2026')
  expect(weekTitle('2026-12-28', 'sv-SE')).toMatch(/^28 december 2026\s?–\s?3 januari 2027$/)
})

test('today is the day on the wall, not the day in Greenwich', () => {
  expect(localToday(new Date(2026, 2, 5, 0, 30))).toBe('2026-03-05')
  expect(localToday(new Date(2026, 2, 5, 23, 59))).toBe('2026-03-05')
})

test('what is sent leaves out what the person took away', () => {
  const draft = {
    ...newDraft('2026-03-25', []),
    title: 'Kör',
    newName: 'Astrid',
    until: '2026-05-01',
    description: '  ',
  }
  expect(fieldsOf(draft)).toMatchObject({
    user: 'Astrid',
    repeat_pattern: null,
    repeat_until: null,
    description: null,
    reminder: 0,
  })
})

describe('the words after a save', () => {
  const place = (saved: boolean, elsewhere = true) => ({
    name: { sv: 'En mapp', en: 'A folder' },
    saved,
    elsewhere,
  })
  const answer = (changes: Partial<SafetyAnswer>): SafetyAnswer => ({
    safety: 'safe',
    sentence: { sv: '', en: '' },
    advice: null,
    waiting: false,
    savedAt: null,
    places: [],
    restored: null,
    ...changes,
  })
  test.each([
    [answer({ places: [place(true), place(true)] }), 'Sparat på 2 ställen.'],
    [answer({ safety: 'late', places: [place(true), place(false)] }), 'Sparat på 1 ställe.'],
    [answer({ safety: 'only-here', places: [place(true, false)] }), 'Sparat, men bara på den här datorn.'],
    [undefined, 'Sparat.'],
  ])('%#', (safety, sv) => expect(savedWords(safety, false).sv).toBe(sv))
  test('a removal says so first', () => {
    expect(savedWords(answer({ places: [place(true)] }), true).sv).toBe('Borttaget. Sparat på 1 ställe.')
  })
})

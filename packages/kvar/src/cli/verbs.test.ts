// Goal: the verb is found wherever options stand, so that only its file is loaded.
// Method: argument lists as people write them.
import { expect, test } from 'vitest'
import { findVerb, VERBS } from './verbs.ts'

test.each<[words: string[], verb: string | undefined]>([
  [['status', '--json'], 'status'],
  [['--json', 'status'], 'status'],
  [['--db', 'run', 'status'], 'status'],
  [['--db=run', '--target', 'restore', 'backup'], 'backup'],
  [['help', 'restore'], 'restore'],
  [['run', '--', 'status'], 'run'],
  [['--help'], undefined],
  [[], undefined],
])('%j', (words, verb) => {
  expect(findVerb(words)).toBe(verb)
})

test('every verb has a file that configures it', async () => {
  for (const { load } of VERBS) expect(await load()).toHaveProperty('configure')
})

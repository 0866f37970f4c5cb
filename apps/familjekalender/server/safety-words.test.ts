// Goal: the family is told the truth, in its own words. Method: one status for every kind of safety
// and trouble; the words are compared with a list of what a family should never have to read.

import { DatabaseSync } from 'node:sqlite'
import type { KeeperStatus } from 'kvar'
import { describe, expect, test } from 'vitest'
import type { SafetyAnswer } from '../shared/event-types.ts'
import { createApp } from './app.ts'
import { safetyAnswer } from './safety-words.ts'
import { fakePersistence, handClock, keeperStatus, targetStatus } from './testing/fake-persistence.ts'

const problem = (code: NonNullable<KeeperStatus['problem']>['code']) => ({
  code,
  message: 'WAL on the S3 target',
  data: {},
})
const behind = targetStatus({
  kind: 's3',
  version: 6,
  role: 'follower',
  problem: problem('TARGET_TEMPORARY'),
})

const CASES: Array<[name: string, status: KeeperStatus, sv: string, waiting: boolean]> = [
  ['safe', keeperStatus(), 'Allt är sparat på 2 ställen.', false],
  ['safe in one place', keeperStatus({ targets: [targetStatus()] }), 'Allt är sparat på 1 ställe.', false],
  [
    'safe with one more on the own disk',
    keeperStatus({ targets: [targetStatus(), targetStatus({ sameDisk: true })] }),
    'Allt är sparat på 1 ställe.',
    false,
  ],
  [
    'late: one place behind',
    keeperStatus({ safety: 'late', targets: [targetStatus(), behind] }),
    'Allt är sparat på 1 av 2 ställen.',
    false,
  ],
  [
    'late: being stored',
    keeperStatus({ safety: 'late', version: 8 }),
    'De senaste ändringarna väntar på lagring.',
    true,
  ],
  [
    'late: not cut yet',
    keeperStatus({ safety: 'late', pendingPages: 3 }),
    'De senaste ändringarna väntar på lagring.',
    true,
  ],
  [
    'only here',
    keeperStatus({ safety: 'only-here', targets: [targetStatus({ sameDisk: true })] }),
    'Kalendern finns bara på den här datorn.',
    false,
  ],
  [
    'only here, no target',
    keeperStatus({ safety: 'only-here', targets: [] }),
    'Kalendern finns bara på den här datorn.',
    false,
  ],
  [
    'not safe',
    keeperStatus({ safety: 'not-safe', problem: problem('DAMAGED') }),
    'De senaste ändringarna är inte i säkerhet.',
    false,
  ],
  [
    'not safe: denied',
    keeperStatus({ safety: 'not-safe', problem: problem('TARGET_DENIED') }),
    'De senaste ändringarna är inte i säkerhet.',
    false,
  ],
  [
    'stale',
    keeperStatus({ safety: 'not-safe', state: 'stale', problem: problem('UNREACHABLE') }),
    'De senaste ändringarna är inte i säkerhet.',
    true,
  ],
  [
    'fenced',
    keeperStatus({ safety: 'not-safe', state: 'fenced', problem: problem('FENCED') }),
    'En nyare kopia av kalendern har tagit över.',
    true,
  ],
]

const TECHNICAL =
  /wal|target|version|snapshot|ledger|delta|log|s3|backup|kvar|keeper|sqlite|databas(?!e online| på nätet)/i

describe.each(CASES)('%s', (_name, status, sv, waiting) => {
  const answer = safetyAnswer(status)
  test('says it', () => {
    expect(answer.sentence.sv).toBe(sv)
    expect(answer.waiting).toBe(waiting)
    expect(answer.safety).toBe(status.safety)
  })
  test('holds no technical word and no secret place', () => {
    const { safety: _safety, ...words } = answer
    const texts = JSON.stringify(words).replaceAll('/', ' ')
    expect(texts).not.toMatch(TECHNICAL)
    expect(texts).not.toContain('srv')
  })
  test('tells what to do unless everything is well', () => {
    expect(answer.advice === null).toBe(status.safety === 'safe')
  })
})

test('a calendar that was brought back says so', () => {
  const start = {
    action: 'restored-from-log',
    from: 'folder:/srv',
    version: 7,
    restored: true,
    branch: null,
    durationMs: 40,
    sentence: 'Restored.',
  } as const
  expect(safetyAnswer(keeperStatus({ start })).restored?.sv).toContain('hämtades tillbaka')
  expect(
    safetyAnswer(keeperStatus({ start: { ...start, action: 'kept-local', restored: false } })).restored,
  ).toBeNull()
})

describe('when the keeper does not answer, nobody is told that all is well', () => {
  const database = new DatabaseSync(':memory:')
  test.each([
    ['rejects', () => Promise.reject(new Error('gone'))],
    ['hangs', () => new Promise<never>(() => {})],
  ])('status %s', async (_how, status) => {
    const clock = handClock()
    const app = createApp({ database, persistence: fakePersistence({ status }), clock })
    const asked = Promise.resolve(app.request('/api/status'))
    await new Promise(setImmediate)
    clock.advance(2_000)
    const answer = (await (await asked).json()) as SafetyAnswer
    expect(answer).toMatchObject({ safety: 'not-safe', waiting: true, places: [] })
  })
})

/*
 * Goal: the start table (docs/START.md) decides as it is written, row by row, and the first row that
 * fits wins; whatever the facts are, some things never happen.
 * Method: each row by name as a pure case, pairs of rows that both fit, then properties over all
 * combinations of facts (fast-check).
 */
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { decideStart, type LocalFacts, type StartDecision, type StartFacts } from './decide-start.ts'

interface Case {
  content?: LocalFacts['content']
  local?: Partial<LocalFacts>
  /** The version our state names; undefined: no state. */
  state?: number
  stateDiffers?: boolean
  ancestor?: boolean
  withoutTargets?: boolean
  /** The ledger's newest version, or what it answered instead. */
  ledger?: number | 'empty' | 'follower' | 'unreachable'
  intent?: boolean
  copies?: boolean
}

function facts(given: Case): StartFacts {
  const { content = 'rows', local = {}, ledger = 7, copies = false } = given
  const nothing = { equalsHead: false, equalsState: false, equalsBackupCopy: false }
  return {
    local: { content, ...nothing, equalsKnownVersion: false, wentBack: false, ...local },
    state:
      given.state === undefined
        ? undefined
        : {
            version: given.state,
            checksumMatchesHead: given.stateDiffers !== true,
            headIsAncestor: given.ancestor === true,
            withoutTargets: given.withoutTargets === true,
          },
    ledger:
      ledger === 'unreachable'
        ? { kind: 'unreachable' }
        : typeof ledger === 'number'
          ? { kind: 'log', head: ledger, headIsOurIntent: given.intent === true }
          : { kind: 'empty', followerHasVersions: ledger === 'follower' },
    copies,
  }
}

const restore = (why: string, branch = false) => ({ kind: 'restore-head', branch, why })
const keep = (why: string) => ({ kind: 'keep-local', why })

const ROWS: Array<[string, Case, object]> = [
  ['the ledger does not answer', { ledger: 'unreachable' }, { kind: 'ledger-unreachable' }],
  ['… even with nothing here', { content: 'none', ledger: 'unreachable' }, { kind: 'ledger-unreachable' }],
  ['empty, but a follower has versions', { ledger: 'follower' }, { kind: 'fill-ledger' }],
  ['missing or zero bytes', { content: 'none', state: 7 }, restore('empty')],
  ['no tables', { content: 'no-tables', state: 7 }, restore('empty')],
  [
    'missing, no version anywhere, a copy',
    { content: 'none', ledger: 'empty', copies: true },
    { kind: 'restore-copies' },
  ],
  ['missing, no version anywhere, no copy', { content: 'none', ledger: 'empty' }, { kind: 'nothing-yet' }],
  ['no tables, no version anywhere', { content: 'no-tables', ledger: 'empty' }, { kind: 'nothing-yet' }],
  ['damaged', { content: 'invalid', state: 7 }, restore('damaged', true)],
  [
    'damaged, no version, a copy',
    { content: 'invalid', ledger: 'empty', copies: true },
    { kind: 'restore-copies' },
  ],
  ['damaged, no version, no copy', { content: 'invalid', ledger: 'empty' }, { kind: 'refuse-damaged' }],
  ['no rows, state = head', { content: 'no-rows', state: 7 }, keep('emptied')],
  ['no rows, no state', { content: 'no-rows' }, restore('empty')],
  [
    'no rows, no version anywhere, a copy',
    { content: 'no-rows', ledger: 'empty', copies: true },
    { kind: 'restore-copies' },
  ],
  ['no rows, no version anywhere, no copy', { content: 'no-rows', ledger: 'empty' }, { kind: 'adopt' }],
  [
    'no rows, without any target, emptied in our own memory',
    { content: 'no-rows', ledger: 'empty', copies: true, state: 3, withoutTargets: true },
    { kind: 'adopt' },
  ],
  [
    'the .backup copied, state = head',
    { state: 7, local: { equalsBackupCopy: true } },
    keep('backup-copied'),
  ],
  ['went back', { state: 7, local: { wentBack: true } }, restore('went-back', true)],
  [
    'went back to a version we know',
    { state: 7, local: { wentBack: true, equalsKnownVersion: true } },
    restore('went-back'),
  ],
  ['head was sent by us and never noted', { state: 6, intent: true }, { kind: 'adopt-own-head' }],
  ['equals head', { local: { equalsHead: true } }, { kind: 'go-on' }],
  ['state = head, content ahead', { state: 7 }, keep('ahead')],
  [
    'the ledger lost its end, and its head was ours',
    { state: 9, ancestor: true, stateDiffers: true },
    keep('ahead'),
  ],
  ['state behind, content is its version', { state: 5, local: { equalsState: true } }, restore('moved-on')],
  ['state behind, content of its own', { state: 5 }, restore('diverged', true)],
  ['no state', {}, restore('diverged', true)],
  ['state at head, by another content', { state: 7, stateDiffers: true }, restore('diverged', true)],
  ['rows, no version anywhere', { ledger: 'empty', copies: true }, { kind: 'adopt' }],
]

describe('each row', () => {
  test.each(ROWS)('%s', (_name, given, expected) => {
    expect(decideStart(facts(given))).toEqual(expected)
  })
})

const PAIRS: Array<[string, Case, object]> = [
  ['missing beats state = head', { content: 'none', state: 7, local: { wentBack: true } }, restore('empty')],
  ['missing beats our unnoted version', { content: 'none', state: 6, intent: true }, restore('empty')],
  [
    'went back beats emptied on purpose: the first rows were lost, nobody deleted them',
    { content: 'no-rows', state: 7, local: { wentBack: true } },
    restore('went-back', true),
  ],
  [
    'the .backup beats went back: it is older by nature',
    { state: 7, local: { equalsBackupCopy: true, wentBack: true } },
    keep('backup-copied'),
  ],
  [
    'the .backup loses where the state is not head’s',
    { state: 5, local: { equalsBackupCopy: true } },
    restore('diverged', true),
  ],
  [
    'went back beats our unnoted version: nothing older may follow it',
    { state: 6, intent: true, local: { wentBack: true } },
    restore('went-back', true),
  ],
  [
    'equals head beats everything',
    { state: 5, intent: true, local: { equalsHead: true, wentBack: true } },
    { kind: 'go-on' },
  ],
  [
    'equals head beats emptied on purpose',
    { content: 'no-rows', state: 7, local: { equalsHead: true } },
    { kind: 'go-on' },
  ],
  [
    'went back beats a ledger that lost its end',
    { state: 9, ancestor: true, local: { wentBack: true } },
    restore('diverged', true),
  ],
  [
    'a follower with versions beats rows of our own',
    { ledger: 'follower', copies: true },
    { kind: 'fill-ledger' },
  ],
]

describe('two rows fit, the first wins', () => {
  test.each(PAIRS)('%s', (_name, given, expected) => {
    expect(decideStart(facts(given))).toEqual(expected)
  })
})

const yes = fc.boolean()
/** Facts of one disk contradict each other in some ways only: what equals the state is known. */
const anyFacts: fc.Arbitrary<StartFacts> = fc
  .record({
    content: fc.constantFrom<LocalFacts['content']>('none', 'no-tables', 'no-rows', 'rows', 'invalid'),
    local: fc.record({
      equalsHead: yes,
      equalsState: yes,
      equalsBackupCopy: yes,
      equalsKnownVersion: yes,
      wentBack: yes,
    }),
    state: fc.option(fc.integer({ min: 0, max: 4 }), { nil: undefined }),
    stateDiffers: yes,
    ancestor: yes,
    withoutTargets: yes,
    ledger: fc.constantFrom<number | 'empty' | 'follower' | 'unreachable'>(
      1,
      2,
      3,
      'empty',
      'follower',
      'unreachable',
    ),
    intent: yes,
    copies: yes,
  })
  .map(({ state, ...rest }) => facts(state === undefined ? rest : { ...rest, state }))
  .filter(({ local }) => !local.equalsState || local.equalsKnownVersion)

function always(name: string, holds: (found: StartFacts, decision: StartDecision) => boolean): void {
  test(name, () => {
    fc.assert(
      fc.property(anyFacts, (found) => holds(found, decideStart(found))),
      { numRuns: 3000 },
    )
  })
}

const isEmpty = ({ content }: LocalFacts) => content === 'none' || content === 'no-tables'

describe('whatever is found', () => {
  always('rows that no version holds are never replaced without a branch', ({ local }, decision) => {
    const held = local.equalsKnownVersion || local.equalsHead
    return !(local.content === 'rows' && decision.kind === 'restore-head' && !decision.branch && !held)
  })

  always('a damaged database is never appended', ({ local, ledger }, decision) => {
    const appends = ['keep-local', 'adopt', 'go-on', 'adopt-own-head'].includes(decision.kind)
    return !(local.content === 'invalid' && appends && ledger.kind !== 'unreachable')
  })

  always('content that went back never follows what was stored', ({ local, ledger }, decision) => {
    const follows = decision.kind === 'keep-local' || decision.kind === 'adopt-own-head'
    const older = local.wentBack && !local.equalsBackupCopy
    return !(older && ledger.kind === 'log' && follows)
  })

  always('content behind the ledger is never kept', ({ local, state, ledger }, decision) => {
    const behind = ledger.kind === 'log' && (state === undefined || state.version < ledger.head)
    const ours = ledger.kind === 'log' && ledger.headIsOurIntent
    return !(behind && !ours && !local.equalsHead && ['keep-local', 'adopt'].includes(decision.kind))
  })

  always('nobody starts empty while anybody has versions', ({ ledger }, decision) => {
    const versions = ledger.kind === 'log' || (ledger.kind === 'empty' && ledger.followerHasVersions)
    return !(versions && (decision.kind === 'nothing-yet' || decision.kind === 'adopt'))
  })

  always(
    'nobody starts empty beside a readable copy',
    ({ local, ledger, copies }, decision) =>
      !(copies && isEmpty(local) && ledger.kind === 'empty' && decision.kind === 'nothing-yet'),
  )

  always(
    'a ledger that does not answer decides nothing',
    ({ ledger }, decision) => (ledger.kind === 'unreachable') === (decision.kind === 'ledger-unreachable'),
  )

  always(
    'copies never replace rows',
    ({ local }, decision) => !(local.content === 'rows' && decision.kind === 'restore-copies'),
  )
})

/*
 * Goal: bringing up a follower or filling a ledger, interrupted wherever, leaves nothing that misleads
 * a reader, and the next run completes it.
 * Method: every situation once without trouble, then again with the process dying at its k-th call to
 * the target, before or after the call took effect, for every k.
 */
import * as fs from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { History, LINEAGE, START_MS } from '../../../../tests/support/log-history.ts'
import { dieAt, MemoryTarget, revive } from '../../../../tests/support/memory-target.ts'
import {
  code,
  expectHolds,
  expectNothingMisleading,
  folder,
  follow,
  imageOf,
  LIMITS,
  stored,
} from '../../../../tests/support/stored-logs.ts'
import { systemPlatform } from '../platform/system.ts'
import { branchLog, listBranches } from './branches.ts'
import { fillFrom } from './complete-log.ts'
import { createLineage, lineageText } from './lineage.ts'
import { BRANCHES_PREFIX, LINEAGE_KEY, versionKey } from './log-layout.ts'
import { storeSnapshot } from './snapshot.ts'
import { VersionLog } from './version-log.ts'

interface Situation {
  name: string
  ledger: () => Promise<MemoryTarget>
  follower: () => Promise<MemoryTarget>
  history: History
  others: History[]
  branches: number
}

const common = new History({ seed: 20 }).grow(4)
const ours = new History({ seed: 21, from: common, nodeId: 1n }).grow(3)
const long = new History({ seed: 24, from: ours, nodeId: 1n }).grow(8)
const theirs = new History({ seed: 22, from: common, nodeId: 2n }).grow(4)
const foreign = new History({ seed: 23, nodeId: 3n }).grow(3)

const holed = async () => {
  const target = await stored(ours, 'follower')
  target.objects.delete(versionKey(target, 3))
  return target
}
const pruned = async () => {
  const target = await stored(long, 'ledger')
  const log = new VersionLog(target)
  await storeSnapshot({ log, version: 10, pages: long.pages(10) })
  for (let n = 1; n < 10; n++) target.objects.delete(versionKey(target, n))
  return target
}

const situations: Situation[] = [
  {
    name: 'empty',
    ledger: () => stored(ours, 'ledger'),
    follower: async () => new MemoryTarget('follower'),
    history: ours,
    others: [],
    branches: 0,
  },
  {
    name: 'behind',
    ledger: () => stored(ours, 'ledger'),
    follower: () => stored(ours, 'follower', 3),
    history: ours,
    others: [],
    branches: 0,
  },
  {
    name: 'far behind',
    ledger: () => stored(long, 'ledger'),
    follower: () => stored(long, 'follower', 2),
    history: long,
    others: [],
    branches: 0,
  },
  {
    name: 'empty and far behind',
    ledger: () => stored(long, 'ledger'),
    follower: async () => new MemoryTarget('follower'),
    history: long,
    others: [],
    branches: 0,
  },
  {
    name: 'behind a pruned ledger',
    ledger: pruned,
    follower: () => stored(long, 'follower', 4),
    history: long,
    others: [],
    branches: 0,
  },
  {
    name: 'with a hole',
    ledger: () => stored(ours, 'ledger'),
    follower: holed,
    history: ours,
    others: [],
    branches: 0,
  },
  {
    name: 'with another tail',
    ledger: () => stored(ours, 'ledger'),
    follower: () => stored(theirs, 'follower'),
    history: ours,
    others: [theirs],
    branches: 1,
  },
  {
    name: 'with a longer log',
    ledger: () => stored(common, 'ledger'),
    follower: () => stored(theirs, 'follower'),
    history: common,
    others: [theirs],
    branches: 1,
  },
  {
    name: 'with another history',
    ledger: () => stored(long, 'ledger'),
    follower: () => stored(foreign, 'follower'),
    history: long,
    others: [foreign],
    branches: 1,
  },
]

describe.each(situations)('a follower $name', (situation) => {
  const head = situation.history.version

  async function expectDone(target: MemoryTarget): Promise<void> {
    await expectHolds(target, situation.history, head)
    const branches = await listBranches(target)
    expect(branches.length).toBe(situation.branches)
    for (const branch of branches) {
      const other = situation.others[0] as History
      expect(
        Buffer.compare(
          await imageOf(branchLog(target, branch.id), other.version),
          other.image(other.version),
        ),
      ).toBe(0)
    }
    // Nothing unfinished lies about: every branch with objects has its branch.json.
    const ids = new Set(target.keys(BRANCHES_PREFIX).map((key) => key.split('/')[2]))
    expect(ids.size).toBe(branches.length)
  }

  it('is brought up', async () => {
    const target = await situation.follower()
    const progress = await follow(target, await situation.ledger()).catchUp(head)
    expect(progress.confirmed).toBe(head)
    expect(progress.branch === undefined ? 0 : 1).toBe(situation.branches)
    await expectDone(target)
  })

  it.each(['before', 'after'] as const)(
    'is brought up although the process dies %s any call',
    async (when) => {
      let deaths = 0
      for (let k = 1; ; k++) {
        const target = await situation.follower()
        const ledger = await situation.ledger()
        target.calls.length = 0
        dieAt(k, when, target)
        const died = await follow(target, ledger)
          .catchUp(head)
          .then(() => false)
          .catch(() => true)
        revive(target)
        fs.rmSync(join(folder, 'scratch'), { force: true })
        await expectNothingMisleading(
          target,
          [situation.history, ...situation.others],
          Math.max(head, ...situation.others.map((h) => h.version)),
        )
        await follow(target, ledger).catchUp(head)
        await expectDone(target)
        if (!died) break
        deaths++
      }
      expect(deaths).toBeGreaterThan(3)
    },
  )
})

describe('fillFrom', () => {
  const fill = (ledger: MemoryTarget, follower: MemoryTarget) =>
    fillFrom({
      ...{ from: new VersionLog(follower), to: new VersionLog(ledger), platform: systemPlatform },
      ...{ scratchPath: join(folder, 'scratch'), limits: LIMITS },
    })

  it.each([
    ['every version', common, false],
    ['all pages once', long, true],
  ] as const)(
    'fills an empty ledger with %s, and counts as a log only when all is there',
    async (_, history, snapshot) => {
      const follower = await stored(history, 'follower')
      for (const when of ['before', 'after'] as const) {
        for (let k = 1; ; k++) {
          const ledger = new MemoryTarget('ledger')
          dieAt(k, when, ledger)
          const died = await fill(ledger, follower)
            .then(() => false)
            .catch(() => true)
          revive(ledger)
          const log = new VersionLog(ledger)
          const state = await log.state()
          // The last create may have been done although its answer was lost: then the log is whole.
          if (died && state !== 'log') await expect(log.plan({ kind: 'latest' })).rejects.toThrow()
          else expect((await log.findHead())?.version).toBe(history.version)
          const filled = await fill(ledger, follower)
          expect(filled.version).toBe(history.version)
          await expectHolds(ledger, history, history.version)
          if (died) continue
          expect(k).toBeGreaterThan(4)
          break
        }
      }
      expect(snapshot).toBe((await fill(new MemoryTarget('ledger'), follower)).snapshot)
    },
  )

  it('refuses a ledger with a log of its own, and pieces of another history', async () => {
    const follower = await stored(ours, 'follower')
    const refused = await stored(common, 'ledger')
    await expect(fill(refused, follower)).rejects.toThrow(code('WOULD_OVERWRITE'))
    const pieces = new MemoryTarget('ledger')
    const key = versionKey(pieces, 7)
    await pieces.create(key, theirs.bytes(7), { modifiedAtMs: 1 })
    await createLineage(pieces, { lineage: lineageText(LINEAGE), createdAtMs: START_MS })
    await expect(fill(pieces, follower)).rejects.toThrow(code('LOG_BROKEN'))
    expect(pieces.keys()).toEqual([LINEAGE_KEY, key])
    pieces.objects.delete(LINEAGE_KEY)
    await expect(fill(pieces, follower)).rejects.toThrow(code('LINEAGE_MISMATCH'))
    expect(pieces.keys()).toEqual([key])
    await expect(fill(new MemoryTarget('ledger'), new MemoryTarget('empty'))).rejects.toThrow('no version')
  })
})

/*
 * Goal: a follower always holds a prefix of the ledger's log; what it holds against it is kept as a
 * branch that can be restored; an interrupted run, wherever it was interrupted, leaves nothing that
 * misleads a reader, and the next run completes it.
 * Method: every situation once without trouble, then again with the process dying at its k-th call to
 * the target, before or after the call took effect, for every k.
 */
import * as fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { History, LINEAGE, START_MS } from '../../../../tests/support/log-history.ts'
import { dieAt, MemoryTarget, revive } from '../../../../tests/support/memory-target.ts'
import { KvarError } from '../errors.ts'
import { encodeLtx } from '../formats/ltx-encoder.ts'
import { systemPlatform } from '../platform/system.ts'
import { branchLog, listBranches } from './branches.ts'
import { fillFrom } from './complete-log.ts'
import { Follower } from './follower.ts'
import { createLineage, lineageText, readLineage } from './lineage.ts'
import { BRANCHES_PREFIX, LINEAGE_KEY, versionKey } from './log-layout.ts'
import { restoreToFile } from './restore.ts'
import { newestVersion } from './restore-plan.ts'
import { storeSnapshot } from './snapshot.ts'
import { VersionLog } from './version-log.ts'

let folder = ''
beforeEach(() => {
  folder = fs.mkdtempSync(join(tmpdir(), 'kvar-follower-'))
})
afterEach(() => {
  fs.rmSync(folder, { recursive: true })
})

const code = (value: string) => expect.objectContaining({ code: value })
const OWN_NODE = 4242n
const LIMITS = { catchUpVersions: 6 }

async function stored(history: History, name: string, upTo = history.version): Promise<MemoryTarget> {
  const target = new MemoryTarget(name)
  await createLineage(target, { lineage: lineageText(LINEAGE), createdAtMs: START_MS })
  const log = new VersionLog(target)
  for (const cut of history.cuts.slice(0, upTo)) await log.append(cut.version, cut.bytes, cut.timestampMs)
  return target
}

function follow(target: MemoryTarget, ledger: MemoryTarget) {
  const ledgerLog = new VersionLog(ledger)
  const options = {
    platform: systemPlatform,
    scratchPath: join(folder, 'scratch'),
    nodeId: OWN_NODE,
    limits: LIMITS,
  }
  const follower = new Follower({ log: new VersionLog(target), ledgerLog, ...options })
  return { follower, catchUp: (head: number) => follower.catchUp(head, (n) => ledgerLog.readVersion(n)) }
}

async function imageOf(log: VersionLog, version: number): Promise<Uint8Array> {
  const path = join(folder, 'image')
  const plan = await log.plan({ kind: 'version', version })
  await restoreToFile({ log, plan, path, platform: systemPlatform })
  const bytes = new Uint8Array(fs.readFileSync(path))
  fs.rmSync(path)
  return bytes
}

/** The follower's newest version is the history's, byte for byte, and nothing is left over here. */
async function expectHolds(target: MemoryTarget, history: History, version: number): Promise<void> {
  const log = new VersionLog(target)
  expect((await log.findHead())?.version).toBe(version)
  expect(Buffer.compare(await imageOf(log, version), history.image(version))).toBe(0)
  for await (const file of log.listVersions()) {
    const bytes = target.bytesOf(file.key)
    expect(Buffer.compare(bytes, history.bytes(file.maxVersion))).toBe(0)
  }
  expect(fs.readdirSync(folder)).toEqual([])
}

/** What a reader may see while a follower is being brought up: a prefix, nothing, or an error; never a mixture. */
async function expectNothingMisleading(
  target: MemoryTarget,
  histories: History[],
  newest: number,
): Promise<void> {
  const log = new VersionLog(target)
  const files = await log.listFiles()
  for (const file of files) expect(file.maxVersion).toBeLessThanOrEqual(newestVersion(files))
  try {
    const plan = await log.plan({ kind: 'latest' })
    const bytes = await imageOf(log, plan.version)
    expect(plan.version).toBeLessThanOrEqual(newest)
    expect(
      histories.some((h) => plan.version <= h.version && Buffer.compare(bytes, h.image(plan.version)) === 0),
    ).toBe(true)
  } catch (thrown) {
    if (!(thrown instanceof KvarError)) throw thrown
    expect(['NO_BACKUP', 'LOG_BROKEN']).toContain(thrown.code)
  }
}

describe('Follower', () => {
  it('receives versions in order from memory, and no more than the ledger confirmed', async () => {
    const history = new History({ seed: 1 }).grow(5)
    const ledger = await stored(history, 'ledger')
    const target = new MemoryTarget('follower')
    const ledgerLog = new VersionLog(ledger)
    const platform = systemPlatform
    const follower = new Follower({
      log: new VersionLog(target),
      ledgerLog,
      platform,
      scratchPath: join(folder, 's'),
      nodeId: 1n,
    })
    const asked: number[] = []
    const source = async (n: number) => {
      asked.push(n)
      return history.bytes(n)
    }
    expect(await follower.catchUp(3, source)).toMatchObject({
      confirmed: 3,
      copiedVersions: 3,
      snapshot: false,
    })
    expect([asked, follower.confirmed]).toEqual([[1, 2, 3], 3])
    const calls = target.calls.length
    expect(await follower.catchUp(4, source)).toMatchObject({ confirmed: 4, copiedVersions: 1 })
    expect(target.calls.length - calls).toBe(1)
    expect(await follower.catchUp(4, source)).toMatchObject({ confirmed: 4, copiedVersions: 0 })
    await expectHolds(target, history, 4)
    expect((await readLineage(target))?.lineage).toBe(lineageText(LINEAGE))
  })

  it('refuses the log of another database and changes nothing', async () => {
    const ledger = await stored(new History({ seed: 1 }).grow(3), 'ledger')
    const target = new MemoryTarget('follower')
    await createLineage(target, { lineage: lineageText(5n), createdAtMs: START_MS })
    const keys = target.keys()
    await expect(follow(target, ledger).catchUp(3)).rejects.toThrow(code('LINEAGE_MISMATCH'))
    expect(target.keys()).toEqual(keys)
  })

  it('knows a log without a lineage by its versions, and refuses a stranger’s', async () => {
    const history = new History({ seed: 2 }).grow(3)
    const ledger = await stored(history, 'ledger')
    const lost = await stored(history, 'follower', 2)
    lost.objects.delete(LINEAGE_KEY)
    expect(await follow(lost, ledger).catchUp(3)).toMatchObject({ confirmed: 3, branch: undefined })
    expect((await readLineage(lost))?.lineage).toBe(lineageText(LINEAGE))

    const stranger = new MemoryTarget('stranger')
    const page = [1, new Uint8Array(512)] as const
    const range = { minVersion: 1, maxVersion: 1, pageSize: 512, pageCount: 1, timestampMs: 1, nodeId: 0n }
    await stranger.create(versionKey(stranger, 1), encodeLtx(range, [page]), { modifiedAtMs: 1 })
    const keys = stranger.keys()
    await expect(follow(stranger, ledger).catchUp(3)).rejects.toThrow(code('LINEAGE_MISMATCH'))
    expect(stranger.keys()).toEqual(keys)
  })

  it('meets another version where it believed the place free, keeps it and goes on', async () => {
    const history = new History({ seed: 9 }).grow(5)
    const other = new History({ seed: 10, from: new History({ seed: 9 }).grow(3), nodeId: 9n }).grow(1)
    const ledger = await stored(history, 'ledger')
    const target = new MemoryTarget('follower')
    const { catchUp } = follow(target, ledger)
    await catchUp(3)
    await target.create(versionKey(target, 4), other.bytes(4), { modifiedAtMs: 1 })
    expect(await catchUp(5)).toMatchObject({ confirmed: 5, branch: { baseVersion: 3, headVersion: 4 } })
    await expectHolds(target, history, 5)
  })

  it('builds nothing on versions that the ledger no longer keeps', async () => {
    const history = new History({ seed: 11 }).grow(6)
    const other = new History({ seed: 12 }).grow(3)
    const ledger = await stored(history, 'ledger')
    await storeSnapshot({ log: new VersionLog(ledger), version: 5, pages: history.pages(5) })
    for (let n = 1; n < 4; n++) ledger.objects.delete(versionKey(ledger, n))
    const target = await stored(other, 'follower')
    expect(await follow(target, ledger).catchUp(6)).toMatchObject({ confirmed: 6, branch: undefined })
    expect(Buffer.compare(await imageOf(new VersionLog(target), 6), history.image(6))).toBe(0)
    expect(Buffer.compare(await imageOf(new VersionLog(target), 3), other.image(3))).toBe(0)
  })

  it('removes a tail from the top, after its branch is whole', async () => {
    const ledger = await stored(ours, 'ledger')
    const target = await stored(theirs, 'follower')
    await follow(target, ledger).catchUp(7)
    const steps = target.calls.filter(({ verb, key }) => verb === 'remove' || key.endsWith('branch.json'))
    const removed = steps.map(({ verb, key }) => (verb === 'remove' ? key : `${verb} branch`))
    const versions = [8, 7, 6, 5].map((n) => versionKey(target, n))
    expect(removed.slice(-4)).toEqual(versions)
    expect(removed.slice(0, -4).every((step) => step.endsWith(' branch'))).toBe(true)
  })

  it('does not judge by an old head: what another keeper stored on both stays', async () => {
    const history = new History({ seed: 2 }).grow(6)
    const ledger = await stored(history, 'ledger')
    const target = await stored(history, 'follower')
    expect(await follow(target, ledger).catchUp(4)).toMatchObject({ confirmed: 6, branch: undefined })
    await expectHolds(target, history, 6)
  })

  it('does not pass on damaged bytes', async () => {
    const history = new History({ seed: 3 }).grow(3)
    const ledger = await stored(history, 'ledger')
    const bytes = ledger.bytesOf(versionKey(ledger, 3))
    bytes[200] = (bytes[200] as number) ^ 4
    const target = new MemoryTarget('follower')
    await expect(follow(target, ledger).catchUp(3)).rejects.toThrow(code('DAMAGED'))
    await expectHolds(target, history, 2)
  })

  it('replaces a damaged head of its own and keeps the damaged file', async () => {
    const history = new History({ seed: 4 }).grow(4)
    const ledger = await stored(history, 'ledger')
    const target = await stored(history, 'follower', 3)
    target.bytesOf(versionKey(target, 3))[2] = 0
    const progress = await follow(target, ledger).catchUp(4)
    expect(progress.branch).toMatchObject({ baseVersion: 2, headVersion: 3 })
    await expectHolds(target, history, 4)
  })

  it('puts all pages above what the ledger no longer keeps, and leaves the old files', async () => {
    const history = new History({ seed: 5 }).grow(9)
    const ledger = await stored(history, 'ledger')
    const ledgerLog = new VersionLog(ledger)
    await storeSnapshot({ log: ledgerLog, version: 7, pages: history.pages(7) })
    for (let n = 1; n < 7; n++) ledger.objects.delete(versionKey(ledger, n))
    const target = await stored(history, 'follower', 3)
    const progress = await follow(target, ledger).catchUp(9)
    expect(progress.branch).toBeUndefined()
    await expectHolds(target, history, 9)
    expect(Buffer.compare(await imageOf(new VersionLog(target), 2), history.image(2))).toBe(0)
  })

  it('keeps the branch of a tail restorable by itself', async () => {
    const base = new History({ seed: 6 }).grow(5)
    const history = new History({ seed: 7, from: base }).grow(3)
    const other = new History({ seed: 8, from: base, nodeId: 99n }).grow(4)
    const ledger = await stored(history, 'ledger')
    const target = await stored(other, 'follower')
    const log = new VersionLog(target)
    await storeSnapshot({ log, version: 4, pages: other.pages(4) })
    await storeSnapshot({ log, version: 7, pages: other.pages(7) })
    const { branch } = await follow(target, ledger).catchUp(8)
    expect(branch).toMatchObject({
      baseVersion: 5,
      headVersion: 9,
      reason: 'follower-tail',
      lineage: lineageText(LINEAGE),
    })
    await expectHolds(target, history, 8)
    expect(await listBranches(target)).toEqual([branch])
    const kept = branchLog(target, branch?.id ?? '')
    for (const version of [7, 8, 9])
      expect(Buffer.compare(await imageOf(kept, version), other.image(version))).toBe(0)
    expect((await kept.findHead())?.version).toBe(9)
  })
})

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

import * as fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, expect } from 'vitest'
import { KvarError } from '../../packages/kvar/src/errors.ts'
import { Follower } from '../../packages/kvar/src/log/follower.ts'
import { createLineage, lineageText } from '../../packages/kvar/src/log/lineage.ts'
import { restoreToFile } from '../../packages/kvar/src/log/restore.ts'
import { newestVersion } from '../../packages/kvar/src/log/restore-plan.ts'
import { VersionLog } from '../../packages/kvar/src/log/version-log.ts'
import { systemPlatform } from '../../packages/kvar/src/platform/system.ts'
import { type History, LINEAGE, START_MS } from './log-history.ts'
import { MemoryTarget } from './memory-target.ts'

// What the tests of followers share: logs on targets in memory, and what may be seen of them. Each
// test gets a folder of its own, in which nothing may be left.

export let folder = ''
beforeEach(() => {
  folder = fs.mkdtempSync(join(tmpdir(), 'kvar-follower-'))
})
afterEach(() => {
  fs.rmSync(folder, { recursive: true })
})

export const code = (value: string) => expect.objectContaining({ code: value })
const OWN_NODE = 4242n
export const LIMITS = { catchUpVersions: 6 }

export async function stored(history: History, name: string, upTo = history.version): Promise<MemoryTarget> {
  const target = new MemoryTarget(name)
  await createLineage(target, { lineage: lineageText(LINEAGE), createdAtMs: START_MS })
  const log = new VersionLog(target)
  for (const cut of history.cuts.slice(0, upTo)) await log.append(cut.version, cut.bytes, cut.timestampMs)
  return target
}

export function follow(target: MemoryTarget, ledger: MemoryTarget) {
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

export async function imageOf(log: VersionLog, version: number): Promise<Uint8Array> {
  const path = join(folder, 'image')
  const plan = await log.plan({ kind: 'version', version })
  await restoreToFile({ log, plan, path, platform: systemPlatform })
  const bytes = new Uint8Array(fs.readFileSync(path))
  fs.rmSync(path)
  return bytes
}

/** The follower's newest version is the history's, byte for byte, and nothing is left over here. */
export async function expectHolds(target: MemoryTarget, history: History, version: number): Promise<void> {
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
export async function expectNothingMisleading(
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

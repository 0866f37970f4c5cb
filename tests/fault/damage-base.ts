import { join } from 'node:path'
import { Retention } from '../../packages/kvar/src/log/retention.ts'
import { snapshotFromLog } from '../../packages/kvar/src/log/snapshot.ts'
import { VersionLog } from '../../packages/kvar/src/log/version-log.ts'
import { MemoryTarget } from '../support/memory-target.ts'
import { ModelApp } from './model-app.ts'
import { modelKeeper, restoredBytes, unsynced, until, wipe } from './model-keeper.ts'
import type { Choices } from './proof-random.ts'

/** A log as a keeper left it, with the pages of each of its versions. */
export interface BaseLog {
  ledger: MemoryTarget
  follower: MemoryTarget
  head: number
  images: Map<number, Buffer>
  /** Those that the ledger still promises. */
  versions: number[]
}

const FEWEST = 12
const MOST = 60

/** Lets an app and a keeper make a log, then ranges and snapshots out of it, differently on both targets. */
export async function baseLog(folder: string, choices: Choices): Promise<BaseLog> {
  const [ledger, follower] = [new MemoryTarget('ledger'), new MemoryTarget('follower')]
  const path = join(folder, 'app.db')
  wipe(path)
  const keeper = modelKeeper({
    databasePath: path,
    targets: [ledger, follower],
    settings: { intervalMs: 3_600_000 },
  })
  await keeper.start(false)
  const app = new ModelApp({ path, journalMode: 'wal', pageSize: 512, autoVacuum: 'none' })
  const images = new Map<number, Buffer>()
  let head = 0
  for (const wanted = choices.between(FEWEST, MOST); head < wanted; ) {
    app.act(choices)
    head = (await keeper.flush()).version
    images.set(head, app.images[app.look()] as Buffer)
    app.images.splice(0, app.images.length - 1)
  }
  await until('the follower has it', () => keeper.status().targets[1]?.version === head)
  app.close()
  await keeper.close(60_000)
  for (const target of [ledger, follower]) await tidy(target, head, join(folder, 'scratch'), choices)
  return { ledger, follower, head, images, versions: await restorable(ledger, head, folder) }
}

/** Half of the logs keep everything, the others what the newest seconds allow. */
async function tidy(
  target: MemoryTarget,
  head: number,
  scratchPath: string,
  choices: Choices,
): Promise<void> {
  const log = new VersionLog(target)
  if (choices.chance(0.5))
    await snapshotFromLog({ log, version: choices.between(1, head), platform: unsynced, scratchPath })
  const all = choices.pick(['forever', 'forever', '50ms', '1ms'])
  const keep = { all, hourly: '30d', daily: '1y', monthly: 'forever' }
  const retention = new Retention({ log, keep, platform: unsynced, scratchPath })
  if (choices.chance(0.25)) return
  while (await retention.compactNext(head));
  if (choices.chance(0.7)) await retention.removeDue(head, { graceMs: 0 })
}

async function restorable(target: MemoryTarget, head: number, folder: string): Promise<number[]> {
  const versions: number[] = []
  for (let version = 1; version <= head; version++) {
    const found = await restoredBytes(target, version, folder).catch(() => undefined)
    if (found !== undefined) versions.push(version)
  }
  return versions
}

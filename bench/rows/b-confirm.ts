import { closeSync, fsyncSync, linkSync, mkdirSync, openSync, unlinkSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { setTimeout as pause } from 'node:timers/promises'
import { eventAdder, makeEvents } from '../support/databases.ts'
import { atMost, type Figure, type Row, type RowOptions } from '../support/figure.ts'
import { contentsOf } from '../support/folders.ts'
import { LITESTREAM, litestreamProgram, replicate } from '../support/litestream.ts'
import { protect } from '../support/protect.ts'
import { median, percentile, seededNumbers, timed } from '../support/statistics.ts'

/** From the end of the app's COMMIT until the target confirms the version that holds it. */
export const confirm: Row = {
  name: 'b',
  question: 'How long after a commit is it safe?',
  async run(options) {
    const ours = await measureOurs(options)
    return [...ours, ...(await measureLitestream(options))]
  },
}

async function measureOurs({ folder, quick }: RowOptions): Promise<Figure[]> {
  const commits = quick ? 200 : 1000
  const path = join(folder, 'confirm.db')
  makeEvents(path, 1000)
  const { persistence, targetPath } = await protect(path, join(folder, 'confirm-target'))
  const database = new DatabaseSync(path)
  const add = eventAdder(database)
  const bare = bareStore(join(folder, 'bare'), 2500)
  const before = await contentsOf(targetPath)
  const [confirmMs, bareMs, commitMs]: number[][] = [[], [], []]
  for (let n = 0; n < commits; n++) {
    commitMs?.push(await timed(() => add(n)))
    confirmMs?.push(await timed(() => persistence.flush()))
    // In the same breath, so that both meet the same machine.
    bareMs?.push(await timed(() => bare(n)))
  }
  const after = await contentsOf(targetPath)
  database.close()
  await persistence.close()
  const objectBytes = Math.round((after.bytes - before.bytes) / commits)
  return report(confirmMs ?? [], bareMs ?? [], commitMs ?? [], objectBytes)
}

function report(confirmMs: number[], bareMs: number[], commitMs: number[], objectBytes: number): Figure[] {
  const bareP50 = median(bareMs)
  const p50 = median(confirmMs)
  const p99 = percentile(confirmMs, 0.99)
  const what = `commit to confirmed on a folder, ${confirmMs.length} commits`
  return [
    {
      what: `${what}: p50`,
      whose: 'ours',
      value: p50,
      unit: 'ms',
      samples: confirmMs,
      goal: atMost(p50, 5 * bareP50, 'at most 5 × the bare write'),
    },
    { what: `${what}: p99`, whose: 'ours', value: p99, unit: 'ms', goal: atMost(p99, 30, 'at most 30 ms') },
    { what: `${what}: p50 as a multiple of the bare write`, whose: 'ours', value: p50 / bareP50, unit: '×' },
    {
      what: `bare write + fsync + link + fsync: p50`,
      whose: 'limit',
      value: bareP50,
      unit: 'ms',
      samples: bareMs,
      note: `versions stored had ${objectBytes} bytes on average`,
    },
    {
      what: `bare write + fsync + link + fsync: p99`,
      whose: 'limit',
      value: percentile(bareMs, 0.99),
      unit: 'ms',
    },
    {
      what: 'the commit itself (synchronous=FULL): p50',
      whose: 'limit',
      value: median(commitMs),
      unit: 'ms',
    },
  ]
}

/** What storing an object of a folder target needs at the very least. */
function bareStore(folder: string, sizeBytes: number): (n: number) => void {
  mkdirSync(folder)
  const bytes = new Uint8Array(sizeBytes).map((_, i) => (i * 2654435761) >>> 13)
  const temporary = join(folder, 'temporary')
  const folderDescriptor = openSync(folder, 'r')
  return (n) => {
    const descriptor = openSync(temporary, 'wx')
    writeSync(descriptor, bytes)
    fsyncSync(descriptor)
    closeSync(descriptor)
    linkSync(temporary, join(folder, String(n)))
    fsyncSync(folderDescriptor)
    unlinkSync(temporary)
  }
}

/**
 * Litestream looks once a second; commits come at moments spread over that second (seeded). Confirmed
 * is when the replica has grown.
 */
async function measureLitestream({ folder, quick, tell }: RowOptions): Promise<Figure[]> {
  const program = litestreamProgram()
  if (program === undefined) return []
  tell(`${LITESTREAM}: one commit at a time, about a second each`)
  const path = join(folder, 'litestream.db')
  makeEvents(path, 1000)
  const replica = join(folder, 'litestream-replica')
  const replication = replicate(program, path, replica)
  await replication.said(/wal segment written/)
  const database = new DatabaseSync(path)
  const add = eventAdder(database)
  const phase = seededNumbers(1)
  const samples: number[] = []
  for (let n = 0; n < (quick ? 5 : 40); n++) {
    await pause(phase.next().value * 1000)
    const { bytes } = await contentsOf(replica)
    add(n)
    samples.push(
      await timed(async () => {
        while ((await contentsOf(replica)).bytes === bytes) await pause(1)
      }),
    )
  }
  database.close()
  await replication.stop()
  const what = `commit to confirmed on a folder, ${samples.length} commits`
  return [
    { what: `${what}: p50`, whose: LITESTREAM, value: median(samples), unit: 'ms', samples },
    { what: `${what}: p99`, whose: LITESTREAM, value: percentile(samples, 0.99), unit: 'ms' },
  ]
}

import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { setTimeout as pause } from 'node:timers/promises'
import { eventAdder, makeEvents } from '../support/databases.ts'
import type { Figure, Row } from '../support/figure.ts'
import { type Contents, contentsOf } from '../support/folders.ts'
import { LITESTREAM, litestreamProgram, replicate } from '../support/litestream.ts'
import { protect } from '../support/protect.ts'

const COMMITS = 1000
/** One look of Litestream, and then some. */
const LITESTREAM_SETTLING_MS = 3000

type Pace = 'in a burst' | '20 ms apart' | 'each one flushed'

export const stored: Row = {
  name: 'f',
  question: 'How much is stored for a thousand single-row commits?',
  async run({ folder, quick, tell }) {
    const figures: Figure[] = []
    const paces: Pace[] = ['in a burst', '20 ms apart', 'each one flushed']
    for (const [index, pace] of paces.entries()) {
      tell(pace)
      const where = join(folder, String(index))
      const commits = quick ? 100 : COMMITS
      figures.push(
        ...storedFigures('ours', pace, commits, await ours(`${where}.db`, `${where}-target`, pace, commits)),
      )
      if (pace === 'each one flushed' || litestreamProgram() === undefined) continue
      const peer = await litestream(`${where}-peer.db`, `${where}-replica`, pace, commits)
      figures.push(...storedFigures(LITESTREAM, pace, commits, peer))
    }
    return figures
  },
}

async function ours(path: string, targetPath: string, pace: Pace, commits: number): Promise<Contents> {
  makeEvents(path, 1000)
  const { persistence } = await protect(path, targetPath)
  const before = await contentsOf(targetPath)
  await write(path, pace, commits, () => persistence.flush())
  await persistence.flush()
  const after = await contentsOf(targetPath)
  await persistence.close()
  return difference(before, after)
}

async function litestream(path: string, replica: string, pace: Pace, commits: number): Promise<Contents> {
  makeEvents(path, 1000)
  const replication = replicate(litestreamProgram() ?? '', path, replica)
  await replication.said(/wal segment written/)
  const before = await contentsOf(replica)
  await write(path, pace, commits, async () => undefined)
  await pause(LITESTREAM_SETTLING_MS)
  await replication.stop()
  return difference(before, await contentsOf(replica))
}

async function write(
  path: string,
  pace: Pace,
  commits: number,
  flush: () => Promise<unknown>,
): Promise<void> {
  const database = new DatabaseSync(path)
  const add = eventAdder(database)
  for (let n = 0; n < commits; n++) {
    add(n)
    if (pace === '20 ms apart') await pause(20)
    else if (pace === 'each one flushed') await flush()
  }
  // The one that closes last would checkpoint and delete the WAL.
  await flush()
  database.close()
}

function difference(before: Contents, after: Contents): Contents {
  return { bytes: after.bytes - before.bytes, objects: after.objects - before.objects }
}

function storedFigures(whose: string, pace: Pace, commits: number, { bytes, objects }: Contents): Figure[] {
  return [
    { what: `${commits} commits ${pace}`, whose, value: bytes / 1000, unit: 'kB' },
    { what: `${commits} commits ${pace}`, whose, value: objects, unit: 'objects' },
  ]
}

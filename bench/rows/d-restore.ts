import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { bigDatabase } from '../support/databases.ts'
import { atMost, type Figure, type Row, type RowOptions } from '../support/figure.ts'
import { LITESTREAM, litestreamProgram, replicate } from '../support/litestream.ts'
import { runToEnd } from '../support/processes.ts'
import { NODE } from '../support/product.ts'
import { protect } from '../support/protect.ts'
import { median } from '../support/statistics.ts'

const PROGRAM = fileURLToPath(new URL('../programs/restore.mjs', import.meta.url))
const ROUNDS = 7

/** One way of getting a database back, each round into a new file. */
interface Way {
  whose: string
  what: string
  program: string
  args: (out: string) => string[]
}

export const restore: Row = {
  name: 'd',
  question: 'How long does it take to get a large database back?',
  async run(options) {
    const { folder, quick, cacheFolder, tell } = options
    const sizeMb = quick ? 60 : 590
    const path = join(folder, 'large.db')
    await bigDatabase(path, sizeMb, cacheFolder)
    tell('storing the database with both')
    const { persistence, targetPath } = await protect(path, join(folder, 'target'))
    await persistence.close()
    const ways = [
      ours(targetPath, sizeMb),
      ...(await litestreamWay(options, path, sizeMb)),
      copyWay(path, sizeMb),
    ]
    const results = await measure(ways, quick ? 5 : ROUNDS, folder)
    return figures(ways, results, sizeMb)
  },
}

function ours(targetPath: string, sizeMb: number): Way {
  return {
    whose: 'ours',
    what: `restore of ${sizeMb} MB`,
    program: NODE,
    args: (out) => [PROGRAM, targetPath, out],
  }
}

async function litestreamWay({ folder }: RowOptions, path: string, sizeMb: number): Promise<Way[]> {
  const program = litestreamProgram()
  if (program === undefined) return []
  const replica = join(folder, 'replica')
  const replication = replicate(program, path, replica)
  await replication.said(/wal segment written/)
  await replication.stop()
  const args = (out: string) => ['restore', '-o', out, `file://${replica}`]
  return [{ whose: LITESTREAM, what: `restore of ${sizeMb} MB`, program, args }]
}

function copyWay(path: string, sizeMb: number): Way {
  const args = (out: string) => ['-c', 'cp --reflink=never "$1" "$2" && sync "$2"', 'sh', path, out]
  return { whose: 'cp + sync', what: `copy of ${sizeMb} MB`, program: 'sh', args }
}

/** The ways take turns, so that all meet the same machine; the first round of each only warms up. */
async function measure(ways: Way[], rounds: number, folder: string) {
  const results = ways.map(() => ({ seconds: [] as number[], peakMb: 0 }))
  for (let round = -1; round < rounds; round++) {
    for (const [index, way] of ways.entries()) {
      const out = join(folder, 'restored.db')
      const { wallMs, peakMb } = await runToEnd(way.program, way.args(out))
      for (const suffix of ['', '-wal', '-shm']) await rm(out + suffix, { force: true })
      const result = results[index]
      if (round < 0 || result === undefined) continue
      result.seconds.push(wallMs / 1000)
      result.peakMb = Math.max(result.peakMb, peakMb)
    }
  }
  return results
}

function figures(
  ways: Way[],
  results: Array<{ seconds: number[]; peakMb: number }>,
  sizeMb: number,
): Figure[] {
  const peer = ways.findIndex((way) => way.whose === LITESTREAM)
  const peerSeconds = median(results[peer]?.seconds ?? [])
  return ways.flatMap(({ what, whose }, index) => {
    const { seconds, peakMb } = results[index] ?? { seconds: [], peakMb: 0 }
    const value = median(seconds)
    const isOurs = whose === 'ours'
    const inTime = peer < 0 ? undefined : atMost(value, 1.5 * peerSeconds, 'at most 1.5 × Litestream 0.3.13')
    const time: Figure = { what, whose, value, unit: 's', samples: seconds }
    const memory: Figure = { what: `peak memory of it`, whose, value: peakMb, unit: 'MB' }
    if (!isOurs) return [time, memory]
    if (inTime !== undefined) time.goal = inTime
    memory.goal = atMost(peakMb, 200, 'at most 200 MB')
    const multiple: Figure = {
      what: `restore of ${sizeMb} MB as a multiple of Litestream’s`,
      whose,
      value: value / peerSeconds,
      unit: '×',
    }
    return peer < 0 ? [time, memory] : [time, multiple, memory]
  })
}

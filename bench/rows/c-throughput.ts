import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { makeEvents } from '../support/databases.ts'
import { atLeast, type Figure, type Row, type RowOptions } from '../support/figure.ts'
import { LITESTREAM, litestreamProgram, replicate } from '../support/litestream.ts'
import { cpuOf, runToEnd } from '../support/processes.ts'
import { NODE } from '../support/product.ts'
import { protect } from '../support/protect.ts'
import { median } from '../support/statistics.ts'

const PROGRAM = fileURLToPath(new URL('../programs/writer.ts', import.meta.url))
const ROUNDS = 5

interface Load {
  what: string
  journalMode: string
  synchronous: string
  rows: number
  /** Share of the bare throughput that is promised, in percent. */
  goal?: number
}

const LOADS: Load[] = [
  { what: 'WAL, single rows, synchronous=FULL', journalMode: 'wal', synchronous: 'FULL', rows: 1, goal: 95 },
  {
    what: 'WAL, single rows, synchronous=NORMAL',
    journalMode: 'wal',
    synchronous: 'NORMAL',
    rows: 1,
    goal: 95,
  },
  {
    what: 'WAL, 10 000 rows a transaction, FULL',
    journalMode: 'wal',
    synchronous: 'FULL',
    rows: 10_000,
    goal: 95,
  },
  { what: 'rollback journal, single rows, FULL', journalMode: 'delete', synchronous: 'FULL', rows: 1 },
]

interface Seen {
  commitsPerSecond: number
  p50Ms: number
  p99Ms: number
  slowestMs: number
  failed: number
}

/** An app in a process of its own writes without pause, alone and protected in turn. */
export const throughput: Row = {
  name: 'c',
  question: 'What does the app feel of being protected?',
  async run(options) {
    const figures: Figure[] = []
    for (const load of LOADS) figures.push(...(await measureLoad(load, options)))
    return figures
  },
}

type Protection = 'alone' | 'ours' | 'litestream'

async function measureLoad(load: Load, options: RowOptions): Promise<Figure[]> {
  const peers = load.journalMode === 'wal' && litestreamProgram() !== undefined
  const ways: Protection[] = peers ? ['alone', 'ours', 'litestream'] : ['alone', 'ours']
  const seen: Record<Protection, Seen[]> = { alone: [], ours: [], litestream: [] }
  const keeperShare: number[] = []
  for (let round = 0; round < (options.quick ? 2 : ROUNDS); round++) {
    options.tell(`${load.what}, round ${round + 1}`)
    for (const way of ways)
      seen[way].push(
        await measureOnce(
          load,
          way,
          `${load.rows}-${load.synchronous}-${load.journalMode}-${round}-${way}`,
          options,
          keeperShare,
        ),
      )
  }
  return ways.flatMap((way) => figuresOf(load, way, seen, keeperShare))
}

async function measureOnce(
  load: Load,
  way: Protection,
  name: string,
  options: RowOptions,
  keeperShare: number[],
): Promise<Seen> {
  const { folder, quick } = options
  const path = join(folder, `${name}.db`)
  makeEvents(path, 1000, load.journalMode)
  const seconds = quick ? 1 : 5
  const args = [PROGRAM, path, load.synchronous, String(load.rows), String(seconds)]
  const write = async () =>
    JSON.parse((await runToEnd(NODE, args)).output.trim().split('\n').at(-1) ?? '') as Seen
  if (way === 'alone') return write()
  if (way === 'litestream') {
    const replication = replicate(litestreamProgram() ?? '', path, join(folder, `${name}-replica`))
    await replication.said(/wal segment written/)
    const seen = await write()
    await replication.stop()
    return seen
  }
  const { persistence, keeperId } = await protect(path, join(folder, `${name}-target`))
  const [cpuMs, begunMs] = [cpuOf(keeperId), performance.now()]
  const seen = await write()
  keeperShare.push(((cpuOf(keeperId) - cpuMs) / (performance.now() - begunMs)) * 100)
  await persistence.close()
  return seen
}

function figuresOf(
  load: Load,
  way: Protection,
  seen: Record<Protection, Seen[]>,
  keeperShare: number[],
): Figure[] {
  const whose = way === 'alone' ? 'unprotected' : way === 'ours' ? 'ours' : LITESTREAM
  const per = (pick: (one: Seen) => number) => seen[way].map(pick)
  const commits = per((one) => one.commitsPerSecond)
  const rate: Figure = {
    what: `${load.what}: commits`,
    whose,
    value: median(commits),
    unit: 'commits/s',
    samples: commits,
  }
  const slow: Figure = {
    what: `${load.what}: p99 of a commit`,
    whose,
    value: median(per((one) => one.p99Ms)),
    unit: 'ms',
  }
  if (way === 'alone') return [rate, slow]
  // Each round is compared with the bare run just before it.
  const shares = commits.map(
    (value, round) => (value / (seen.alone[round]?.commitsPerSecond ?? Number.NaN)) * 100,
  )
  const share: Figure = {
    what: `${load.what}: share of the bare throughput`,
    whose,
    value: median(shares),
    unit: '%',
    samples: shares,
  }
  const times = per((one) => one.failed).reduce((a, b) => a + b, 0)
  const locked: Figure = {
    what: `${load.what}: "database is locked" seen`,
    whose,
    value: times,
    unit: 'times',
  }
  if (way !== 'ours') return [rate, share, slow, locked]
  if (load.goal !== undefined) share.goal = atLeast(share.value, load.goal, `at least ${load.goal} %`)
  locked.goal = { text: 'none', met: times === 0 }
  const keeper: Figure = {
    what: `${load.what}: the keeper meanwhile`,
    whose,
    value: median(keeperShare),
    unit: '% of a core',
  }
  return [rate, share, slow, keeper, locked]
}

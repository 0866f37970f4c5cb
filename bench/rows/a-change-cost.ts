import { copyFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { eventAdder, makeEvents } from '../support/databases.ts'
import { atMost, type Figure, type Row, type RowOptions } from '../support/figure.ts'
import { contentsOf } from '../support/folders.ts'
import { cpuOf } from '../support/processes.ts'
import { protect } from '../support/protect.ts'
import { median, timed } from '../support/statistics.ts'

/** Copies may use a twentieth of a core; the rest of the keeper's time is the versions'. */
const COPY_SHARE_PERCENT = 5

export const changeCost: Row = {
  name: 'a',
  question: 'What does protecting one change cost, as the calendar grows?',
  async run(options) {
    const sizes = options.quick ? [4, 1000, 20_000] : [4, 1000, 100_000, 1_000_000]
    const figures: Figure[] = []
    let smallestMs = Number.NaN
    for (const events of sizes) {
      options.tell(`${events} events`)
      const versions = await costOfVersions(options, events)
      if (events === sizes[0]) smallestMs = versions.ms
      figures.push(...versionFigures(versions, events, smallestMs, events === sizes.at(-1)))
      figures.push(...(await costOfCopies(options, events)), costOfSeed(options, events))
    }
    return figures
  },
}

interface VersionCost {
  ms: number
  samples: number[]
  bytes: number
}

async function costOfVersions({ folder, quick }: RowOptions, events: number): Promise<VersionCost> {
  const path = join(folder, `a-${events}.db`)
  makeEvents(path, events)
  const { persistence, targetPath } = await protect(path, join(folder, `a-${events}-target`))
  const database = new DatabaseSync(path)
  const add = eventAdder(database)
  const samples: number[] = []
  for (let n = 0; n < 20; n++) await change(n)
  const before = await contentsOf(targetPath)
  const changes = quick ? 50 : 300
  for (let n = 0; n < changes; n++) samples.push(await change(n))
  const after = await contentsOf(targetPath)
  database.close()
  await persistence.close()
  return { ms: median(samples), samples, bytes: (after.bytes - before.bytes) / changes }

  async function change(n: number): Promise<number> {
    add(n)
    return timed(() => persistence.flush())
  }
}

function versionFigures(cost: VersionCost, events: number, smallestMs: number, isLargest: boolean): Figure[] {
  const time: Figure = {
    what: `one change confirmed at ${events} events`,
    whose: 'ours',
    value: cost.ms,
    unit: 'ms',
    samples: cost.samples,
  }
  if (isLargest) time.goal = atMost(cost.ms, 1.5 * smallestMs, 'at most 1.5 × that at 4 events')
  return [time, { what: `its version at ${events} events`, whose: 'ours', value: cost.bytes, unit: 'bytes' }]
}

/** A change a fifth of a second while the copies are written within their bound. */
async function costOfCopies({ folder, quick }: RowOptions, events: number): Promise<Figure[]> {
  const path = join(folder, `a-${events}.db`)
  const { persistence, keeperId } = await protect(path, join(folder, `a-${events}-target`), {
    copies: ['json', 'backup'],
  })
  const database = new DatabaseSync(path)
  const add = eventAdder(database)
  add(0)
  const copyMs = await timed(() => persistence.backupDatabase())
  const samples: number[] = []
  const seconds = quick ? 3 : Math.min(90, Math.max(20, (copyMs / 1000) * 25))
  const [cpuBefore, begunMs] = [cpuOf(keeperId), performance.now()]
  for (let n = 0; performance.now() - begunMs < seconds * 1000; n++) {
    add(n)
    samples.push(await timed(() => persistence.flush()))
    await new Promise((resolve) => setTimeout(resolve, 200))
  }
  const tookMs = performance.now() - begunMs
  const share = ((cpuOf(keeperId) - cpuBefore) / tookMs) * 100
  database.close()
  // Copies of a million events may take longer than a keeper has to leave; versions are stored by then.
  await persistence.close().catch(() => undefined)
  const bound = {
    text: `at most ${COPY_SHARE_PERCENT} % of a core for copies and as much for versions`,
    met: share <= COPY_SHARE_PERCENT * 2,
  }
  return [
    { what: `JSON and .backup once at ${events} events`, whose: 'ours', value: copyMs, unit: 'ms' },
    {
      what: `one change confirmed while copies are kept, at ${events} events`,
      whose: 'ours',
      value: median(samples),
      unit: 'ms',
      samples,
    },
    {
      what: `the keeper with copies and 5 changes a second, at ${events} events`,
      whose: 'ours',
      value: share,
      unit: '% of a core',
      goal: bound,
    },
  ]
}

/** The first version's way, re-implemented: after each change the whole JSON and a file copy. */
function costOfSeed({ folder, quick }: RowOptions, events: number): Figure {
  const path = join(folder, `a-${events}.db`)
  const database = new DatabaseSync(path)
  const samples: number[] = []
  const rounds = quick || events > 200_000 ? 3 : 5
  for (let round = 0; round < rounds; round++) {
    const begunMs = performance.now()
    const rows = database.prepare('SELECT * FROM events ORDER BY id').all()
    const text = JSON.stringify({ backup_time: new Date().toISOString(), events: rows }, null, 2)
    writeFileSync(`${path}.seed.json`, text)
    copyFileSync(path, `${path}.seed.backup`)
    samples.push(performance.now() - begunMs)
  }
  database.close()
  for (const suffix of ['json', 'backup']) rmSync(`${path}.seed.${suffix}`)
  const note = 'everything as JSON and a file copy after each change; neither is synced to the disk'
  return {
    what: `one change at ${events} events`,
    whose: 'the seed’s way',
    value: median(samples),
    unit: 'ms',
    samples,
    note,
  }
}

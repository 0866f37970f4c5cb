import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { bigDatabase } from '../support/databases.ts'
import type { Figure, Row } from '../support/figure.ts'
import { LITESTREAM, litestreamProgram, replicate } from '../support/litestream.ts'
import { cpuOf, memoryOf, runToEnd } from '../support/processes.ts'
import { NODE } from '../support/product.ts'
import { median, timed } from '../support/statistics.ts'

const BOOT = fileURLToPath(new URL('../programs/boot.mjs', import.meta.url))
const SNAPSHOT = fileURLToPath(new URL('../programs/snapshot.mjs', import.meta.url))
const ROUNDS = 5

/** What has to read or write every page of a large database, and what that takes of time and memory. */
export const large: Row = {
  name: 'h',
  question: 'What does a large database cost where every page counts?',
  async run({ folder, quick, cacheFolder, tell }) {
    const sizeMb = quick ? 60 : 590
    const path = join(folder, 'large.db')
    await bigDatabase(path, sizeMb, cacheFolder)
    const target = join(folder, 'target')
    const state = join(folder, '.large.db-kvar')
    const work: Array<[string, () => Promise<Taken>]> = [
      [
        'adoption: first start until the app may go on',
        () => fresh([target, state], () => boot(path, target)),
      ],
      ['a start with the state in order', () => boot(path, target)],
      [
        'a start after the state was lost: every page compared',
        () => fresh([state], () => boot(path, target)),
      ],
      [
        'a snapshot made from the log: restored, checked, stored',
        () => fresh([join(target, 'ltx/9')], () => alone(NODE, [SNAPSHOT, target, join(folder, 'scratch')])),
      ],
      [
        'cp + sync',
        () =>
          fresh([join(folder, 'copy')], () =>
            alone('sh', [
              '-c',
              'cp --reflink=never "$1" "$2" && sync "$2"',
              'sh',
              path,
              join(folder, 'copy'),
            ]),
          ),
      ],
      ['sha256sum', () => alone('sha256sum', [path])],
    ]
    if (spawnSync('sqlite3', ['-version']).status === 0) {
      work.push([
        'sqlite3 .backup',
        () =>
          fresh([join(folder, 'copy')], () => alone('sqlite3', [path, `.backup '${join(folder, 'copy')}'`])),
      ])
    }
    if (litestreamProgram() !== undefined) {
      work.push([
        'first snapshot',
        () =>
          fresh([join(folder, 'replica'), join(folder, '.large.db-litestream')], () =>
            litestreamSnapshot(path, join(folder, 'replica')),
          ),
      ])
    }
    const figures: Figure[] = []
    for (const [what, run] of work) {
      tell(what)
      const taken: Taken[] = []
      for (let round = 0; round < (quick ? 2 : ROUNDS); round++) taken.push(await run())
      figures.push(...figuresOf(what, sizeMb, taken))
    }
    return figures
  },
}

interface Taken {
  whose: string
  seconds: number
  cpuSeconds?: number
  peakMb: number
}

async function fresh(paths: string[], work: () => Promise<Taken>): Promise<Taken> {
  for (const path of paths) await rm(path, { recursive: true, force: true })
  return work()
}

/** An app starts on the database and leaves again; the keeper's own figures count. */
async function boot(path: string, targetPath: string): Promise<Taken> {
  const app = spawn(NODE, [BOOT, path, targetPath], { stdio: ['pipe', 'pipe', 'inherit'] })
  const [line] = (await once(app.stdout, 'data')) as [Buffer]
  const { openMs, keeperId } = JSON.parse(String(line)) as { openMs: number; keeperId: number }
  const taken = {
    whose: 'ours',
    seconds: openMs / 1000,
    cpuSeconds: cpuOf(keeperId) / 1000,
    peakMb: memoryOf(keeperId).peakMb,
  }
  const gone = once(app, 'exit')
  app.stdin.end()
  await gone
  return taken
}

async function alone(program: string, args: string[]): Promise<Taken> {
  const { wallMs, peakMb } = await runToEnd(program, args)
  return { whose: program === NODE ? 'ours' : 'limit', seconds: wallMs / 1000, peakMb }
}

async function litestreamSnapshot(path: string, replica: string): Promise<Taken> {
  let replication: ReturnType<typeof replicate> | undefined
  const ms = await timed(() => {
    replication = replicate(litestreamProgram() ?? '', path, replica)
    return replication.said(/wal segment written/)
  })
  const { peakMb } = memoryOf(replication?.child.pid ?? 0)
  await replication?.stop()
  return { whose: LITESTREAM, seconds: ms / 1000, peakMb }
}

function figuresOf(what: string, sizeMb: number, taken: Taken[]): Figure[] {
  const whose = taken[0]?.whose ?? ''
  const seconds = taken.map((one) => one.seconds)
  const cpu = taken.flatMap((one) => one.cpuSeconds ?? [])
  const peakMb = Math.max(...taken.map((one) => one.peakMb))
  const time: Figure = {
    what: `${what}, ${sizeMb} MB`,
    whose,
    value: median(seconds),
    unit: 's',
    samples: seconds,
  }
  if (cpu.length > 0) time.note = `${median(cpu).toFixed(2)} s of processor time of the keeper`
  const memory: Figure = { what: `peak memory of it`, whose, value: peakMb, unit: 'MB' }
  return [time, memory]
}

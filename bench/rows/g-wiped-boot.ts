import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { fileURLToPath } from 'node:url'
import { makeEvents } from '../support/databases.ts'
import type { Figure, Row, RowOptions } from '../support/figure.ts'
import { contentsOf } from '../support/folders.ts'
import { LITESTREAM, litestreamProgram, replicate } from '../support/litestream.ts'
import { runToEnd } from '../support/processes.ts'
import { NODE } from '../support/product.ts'
import { protect } from '../support/protect.ts'
import { median } from '../support/statistics.ts'

const PROGRAM = fileURLToPath(new URL('../programs/boot.mjs', import.meta.url))
const EVENTS = 1000

/** The disk was thrown away; the target still has the log. */
export const wipedBoot: Row = {
  name: 'g',
  question: 'How long does an app wait on a wiped disk until it may open its database?',
  async run(options) {
    return [...(await ours(options)), ...(await litestream(options)), ...bareStart(await nodeStart(options))]
  },
}

const roundsOf = ({ quick }: RowOptions) => (quick ? 5 : 15)

async function ours(options: RowOptions): Promise<Figure[]> {
  const { folder } = options
  const disk = join(folder, 'disk')
  const targetPath = join(folder, 'target')
  await mkdir(disk)
  makeEvents(join(disk, 'app.db'), EVENTS)
  const { persistence } = await protect(join(disk, 'app.db'), targetPath)
  await persistence.close()
  const [openMs, wholeMs, bytes]: number[][] = [[], [], []]
  for (let round = 0; round < roundsOf(options); round++) {
    await rm(disk, { recursive: true })
    await mkdir(disk)
    const before = await contentsOf(targetPath)
    const boot = await bootOnce(join(disk, 'app.db'), targetPath)
    openMs?.push(boot.openMs)
    wholeMs?.push(boot.wholeMs)
    bytes?.push((await contentsOf(targetPath)).bytes - before.bytes)
  }
  return [
    {
      what: `wiped boot with ${EVENTS} events: createPersistentDb`,
      whose: 'ours',
      value: median(openMs ?? []),
      unit: 'ms',
      samples: openMs ?? [],
    },
    {
      what: `wiped boot with ${EVENTS} events: the whole process until then`,
      whose: 'ours',
      value: median(wholeMs ?? []),
      unit: 'ms',
      samples: wholeMs ?? [],
    },
    {
      what: 'bytes uploaded by it',
      whose: 'ours',
      value: median(bytes ?? []),
      unit: 'bytes',
      samples: bytes ?? [],
      goal: { text: 'one page: the claim', met: median(bytes ?? []) <= 4096 + 200 },
    },
  ]
}

async function bootOnce(path: string, targetPath: string): Promise<{ openMs: number; wholeMs: number }> {
  const begunMs = performance.now()
  const app = spawn(NODE, [PROGRAM, path, targetPath], { stdio: ['pipe', 'pipe', 'inherit'] })
  const [line] = (await once(app.stdout, 'data')) as [Buffer]
  const wholeMs = performance.now() - begunMs
  const { openMs, restored } = JSON.parse(String(line)) as { openMs: number; restored: { restored: boolean } }
  if (!restored.restored) throw new Error(`nothing was restored: ${line}`)
  const database = new DatabaseSync(path)
  const { n } = database.prepare('SELECT count(*) AS n FROM events').get() as { n: number }
  database.close()
  if (n !== EVENTS) throw new Error(`${n} events of ${EVENTS} came back`)
  const gone = once(app, 'exit')
  app.stdin.end()
  await gone
  return { openMs, wholeMs }
}

async function litestream(options: RowOptions): Promise<Figure[]> {
  const program = litestreamProgram()
  if (program === undefined) return []
  const { folder } = options
  const path = join(folder, 'peer.db')
  makeEvents(path, EVENTS)
  const replica = join(folder, 'replica')
  const replication = replicate(program, path, replica)
  await replication.said(/wal segment written/)
  await replication.stop()
  const samples: number[] = []
  for (let round = 0; round < roundsOf(options); round++) {
    const out = join(folder, 'peer-restored.db')
    samples.push((await runToEnd(program, ['restore', '-o', out, `file://${replica}`])).wallMs)
    await rm(out)
  }
  return [
    {
      what: `restore of ${EVENTS} events, the command alone`,
      whose: LITESTREAM,
      value: median(samples),
      unit: 'ms',
      samples,
    },
  ]
}

/** What every program of this kind pays: two processes have to start, the app's and the keeper's. */
async function nodeStart(options: RowOptions): Promise<number[]> {
  const samples: number[] = []
  for (let round = 0; round < roundsOf(options); round++)
    samples.push((await runToEnd(NODE, ['-e', '0'])).wallMs)
  return samples
}

function bareStart(samples: number[]): Figure[] {
  return [
    {
      what: 'an empty Node process, start to end',
      whose: 'limit',
      value: median(samples),
      unit: 'ms',
      samples,
    },
  ]
}

import { mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { setTimeout as pause } from 'node:timers/promises'
import type { Figure, Row, RowOptions } from '../support/figure.ts'
import { createPersistentDb, productModule } from '../support/product.ts'
import { keeperOf } from '../support/protect.ts'
import { median, seededNumbers } from '../support/statistics.ts'
import { goneMs, Ticker, type TickerOrder } from '../support/ticker.ts'

const ROUNDS = 7
/** Fifty commits a second. */
const PAUSE_MS = 20
/** So long the app has run at least before anything happens to it, and at most an interval longer. */
const RUN_MS = 1500

type Loss = 'lost machine' | 'power cut' | 'killed app' | 'killed keeper'

interface Setting {
  what: string
  order: Pick<TickerOrder, 'interval' | 'journalMode' | 'synchronous' | 'flush'>
  intervalMs: number
  losses: Loss[]
}

const ALL: Loss[] = ['lost machine', 'power cut', 'killed app', 'killed keeper']
const WAL = { journalMode: 'wal', synchronous: 'FULL', flush: false } as const
const SETTINGS: Setting[] = [
  { what: 'interval 1s (default), WAL', order: { ...WAL, interval: '1s' }, intervalMs: 1000, losses: ALL },
  {
    what: 'interval 1s, WAL, synchronous=NORMAL',
    order: { ...WAL, synchronous: 'NORMAL', interval: '1s' },
    intervalMs: 1000,
    losses: ['lost machine', 'power cut'],
  },
  {
    what: 'interval 1s, rollback journal',
    order: { ...WAL, journalMode: 'delete', interval: '1s' },
    intervalMs: 1000,
    losses: ALL,
  },
  { what: 'interval 200ms, WAL', order: { ...WAL, interval: '200ms' }, intervalMs: 200, losses: ALL },
  {
    what: 'interval 10s, WAL',
    order: { ...WAL, interval: '10s' },
    intervalMs: 10_000,
    losses: ['lost machine'],
  },
  {
    what: 'flush() after each commit, WAL',
    order: { ...WAL, flush: true, interval: '1s' },
    intervalMs: 0,
    losses: ALL,
  },
]

/** What is missing afterwards, of what the app had committed. */
interface Cost {
  commits: number
  /** From the commit of the oldest missing row to the loss. */
  seconds: number
  /** Missing although `flush()` had confirmed it: never. */
  confirmed: number
  /** How long nobody protected, until everything was stored again. */
  unprotectedSeconds?: number
}

/** An app commits fifty times a second; then something is lost, in a moment drawn by lot. */
export const loss: Row = {
  name: 'loss',
  question: 'What does a lost machine, a power cut, a killed app or a killed keeper cost?',
  async run(options) {
    const figures: Figure[] = []
    const numbers = seededNumbers(7)
    for (const setting of SETTINGS) {
      for (const kind of setting.losses) {
        options.tell(`${setting.what}: ${kind}`)
        const costs: Cost[] = []
        const rounds = options.quick ? 2 : ROUNDS
        for (let round = 0; round < rounds; round++)
          costs.push(
            await loseOnce(setting, kind, RUN_MS + numbers.next().value * setting.intervalMs, options),
          )
        figures.push(...figuresOf(setting, kind, costs))
      }
    }
    return figures
  },
}

async function loseOnce(setting: Setting, kind: Loss, runMs: number, { folder }: RowOptions): Promise<Cost> {
  const disk = join(folder, 'disk')
  await mkdir(disk)
  const order = {
    ...setting.order,
    path: join(disk, 'app.db'),
    targetPath: join(folder, 'target'),
    pauseMs: PAUSE_MS,
  }
  const ticker = await Ticker.start(order)
  await pause(runMs)
  try {
    return await LOSSES[kind](ticker, order)
  } finally {
    for (const path of [disk, order.targetPath, `${folder}/restored.db`])
      await rm(path, { recursive: true, force: true })
  }
}

const LOSSES: Record<Loss, (ticker: Ticker, order: TickerOrder) => Promise<Cost>> = {
  async 'lost machine'(ticker, { targetPath }) {
    const atMs = await killBoth(ticker)
    return costOf(ticker, atMs, await newestStored(targetPath))
  },
  /** The worst that SQLite allows: with synchronous=NORMAL everything that no checkpoint has synced. */
  async 'power cut'(ticker, order) {
    const atMs = await killBoth(ticker)
    if (order.synchronous === 'NORMAL')
      for (const suffix of ['-wal', '-shm']) await rm(order.path + suffix, { force: true })
    return costOf(ticker, atMs, await startAgain(order))
  },
  async 'killed app'(ticker, { targetPath }) {
    const atMs = Date.now()
    await ticker.killApp()
    const unprotectedSeconds = ((await goneMs(ticker.keeperId)) - atMs) / 1000
    return { ...costOf(ticker, atMs, await newestStored(targetPath)), unprotectedSeconds }
  },
  /** The app goes on; its next flush() waits for the new keeper. */
  async 'killed keeper'(ticker, order) {
    const atMs = Date.now()
    ticker.killKeeper()
    const unprotectedSeconds = ((await ticker.flush()) - atMs) / 1000
    const stored = await newestStored(order.targetPath)
    const before = ticker.commits.filter((commit) => commit.atMs <= atMs).length
    const keeperId = keeperOf(order.path)
    await ticker.killApp()
    await goneMs(keeperId)
    return { commits: Math.max(0, before - stored), seconds: 0, confirmed: 0, unprotectedSeconds }
  },
}

async function killBoth(ticker: Ticker): Promise<number> {
  const atMs = Date.now()
  ticker.killKeeper()
  await ticker.killApp()
  await goneMs(ticker.keeperId)
  return atMs
}

function costOf({ commits, stored }: Ticker, atMs: number, held: number): Cost {
  const missing = commits.filter(({ n }) => n > held)
  const oldestMs = missing[0]?.atMs ?? atMs
  return {
    commits: missing.length,
    seconds: Math.max(0, atMs - oldestMs) / 1000,
    confirmed: Math.max(0, stored - held),
  }
}

type System = typeof import('../../packages/kvar/src/platform/system.ts')
type Folder = typeof import('../../packages/kvar/src/targets/folder/folder-target.ts')
type Log = typeof import('../../packages/kvar/src/log/version-log.ts')
type Restore = typeof import('../../packages/kvar/src/log/restore.ts')

/** The number of the newest row on the target. */
async function newestStored(targetPath: string): Promise<number> {
  const { systemPlatform: platform } = (await import(productModule('platform/system'))) as System
  const { createFolderTarget } = (await import(productModule('targets/folder/folder-target'))) as Folder
  const { VersionLog } = (await import(productModule('log/version-log'))) as Log
  const { restoreToFile } = (await import(productModule('log/restore'))) as Restore
  const target = await createFolderTarget({ path: targetPath, platform })
  const log = new VersionLog(target)
  const path = `${targetPath}/../restored.db`
  await rm(path, { force: true })
  await restoreToFile({ log, plan: await log.plan({ kind: 'latest' }), path, platform })
  await target.close()
  return newestRow(path)
}

async function startAgain({ path, targetPath }: TickerOrder): Promise<number> {
  const persistence = await createPersistentDb(path, {
    targets: [`folder:${targetPath}`],
    copies: [],
    handleSignals: false,
  })
  const newest = newestRow(path)
  await persistence.close()
  return newest
}

function newestRow(path: string): number {
  const database = new DatabaseSync(path, { timeout: 5000 })
  const { n } = database.prepare('SELECT coalesce(max(n), 0) AS n FROM ticks').get() as { n: number }
  database.close()
  return n
}

function figuresOf({ what, order }: Setting, kind: Loss, costs: Cost[]): Figure[] {
  const figure = (name: string, unit: Figure['unit'], samples: number[]): Figure => ({
    ...{ what: `${kind}, ${what}: ${name}`, whose: 'ours', value: median(samples), unit, samples },
  })
  const commits = costs.map((cost) => cost.commits)
  const figures = [figure('commits lost', 'commits', commits)]
  if (kind === 'killed app' || kind === 'killed keeper') {
    const none = commits.every((count) => count === 0)
    if (figures[0] !== undefined) figures[0].goal = { text: 'none', met: none }
    const name =
      kind === 'killed app' ? 'until all of it was stored' : 'until the next one had stored all of it'
    figures.push(
      figure(
        name,
        's',
        costs.map((cost) => cost.unprotectedSeconds ?? 0),
      ),
    )
  } else
    figures.push(
      figure(
        'back in time',
        's',
        costs.map(({ seconds }) => seconds),
      ),
    )
  if (order.flush) {
    const confirmed = costs.map((cost) => cost.confirmed)
    const met = confirmed.every((count) => count === 0)
    figures.push({ ...figure('confirmed commits lost', 'commits', confirmed), goal: { text: 'none', met } })
  }
  return figures
}

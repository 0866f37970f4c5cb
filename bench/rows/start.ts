import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { setTimeout as pause } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { atMost, type Row } from '../support/figure.ts'
import { median } from '../support/statistics.ts'

const SERVER = fileURLToPath(new URL('../../apps/familjekalender/dist/server/main.js', import.meta.url))
const ROUNDS = 5
const LONGEST_WAIT_MS = 30_000

/** From starting the calendar to its first served page, on a folder it has used before. */
export const start: Row = {
  name: 'start',
  question: 'How long does a family wait when the calendar is started a second time?',
  async run({ folder }) {
    const firstMs = await startOnce(folder)
    const samples: number[] = []
    for (let round = 0; round < ROUNDS; round++) samples.push(await startOnce(folder))
    const value = median(samples)
    return [
      { what: 'calendar: first start to first page', whose: 'ours', value: firstMs, unit: 'ms' },
      {
        what: 'calendar: a later start to first page',
        whose: 'ours',
        value,
        unit: 'ms',
        samples,
        goal: atMost(value, 2000, 'at most 2 s'),
      },
    ]
  },
}

async function startOnce(folder: string): Promise<number> {
  const port = await freePort()
  // A developer's own targets are no part of the measurement.
  const { KVAR_TARGETS: _own, ...inherited } = process.env
  const environment = { ...inherited, PORT: String(port), DATA_DIR: folder }
  const startedAt = performance.now()
  const server = spawn(process.execPath, [SERVER], {
    env: environment,
    stdio: ['ignore', 'ignore', 'inherit'],
  })
  try {
    await firstPage(`http://127.0.0.1:${port}/`, server)
    return Math.round(performance.now() - startedAt)
  } finally {
    await stop(server)
  }
}

/** Asks every few milliseconds, because the moment of the first answer is what is measured. */
async function firstPage(url: string, server: ChildProcess): Promise<void> {
  const giveUpAt = performance.now() + LONGEST_WAIT_MS
  while (performance.now() < giveUpAt && server.exitCode === null) {
    const answer = await fetch(url).catch(() => undefined)
    if (answer?.ok === true) return void (await answer.text())
    await pause(5)
  }
  throw new Error(`The calendar served no page within ${LONGEST_WAIT_MS} ms`)
}

async function stop(server: ChildProcess): Promise<void> {
  if (server.exitCode !== null) return
  const gone = once(server, 'exit')
  server.kill('SIGTERM')
  await gone
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  server.close()
  if (address === null || typeof address === 'string') throw new Error('The system gave no port')
  return address.port
}

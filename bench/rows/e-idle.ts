import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { setTimeout as pause } from 'node:timers/promises'
import { eventAdder, makeEvents } from '../support/databases.ts'
import { atMost, type Figure, type Row } from '../support/figure.ts'
import { LITESTREAM, litestreamProgram, replicate } from '../support/litestream.ts'
import { cpuOf, memoryOf } from '../support/processes.ts'
import { protect } from '../support/protect.ts'

/** System calls that change a file or speak to a network; the look itself only asks for facts and reads. */
const CHANGING =
  /^(write|pwrite64|writev|rename|unlink|link|mkdir|ftruncate|fsync|fdatasync|openat|sendto|sendmsg|connect)$/
const SETTLING_MS = 10_000

export const idle: Row = {
  name: 'e',
  question: 'What does protection cost while nothing happens?',
  async run({ folder, quick, tell }) {
    const seconds = quick ? 10 : 60
    const path = join(folder, 'idle.db')
    makeEvents(path, 1000)
    const { persistence, keeperId } = await protect(path, join(folder, 'target'))
    const database = new DatabaseSync(path)
    eventAdder(database)(1)
    await persistence.flush()
    tell(`waiting, then ${seconds} s of nothing, twice`)
    await pause(quick ? 3000 : SETTLING_MS)
    const ours = await rest(keeperId, seconds, 'ours')
    const calls = await countCalls(keeperId, seconds)
    database.close()
    await persistence.close()
    return [...ours, ...callFigures(calls, seconds), ...(await litestreamIdle(folder, path, seconds))]
  },
}

async function rest(processId: number, seconds: number, whose: string): Promise<Figure[]> {
  const before = cpuOf(processId)
  await pause(seconds * 1000)
  const share = (cpuOf(processId) - before) / (seconds * 10)
  const { nowMb, peakMb } = memoryOf(processId)
  const isOurs = whose === 'ours'
  const cpu: Figure = {
    what: `processor, idle for ${seconds} s`,
    whose,
    value: share,
    unit: '% of a core',
    note: 'counted in steps of 10 ms',
  }
  const memory: Figure = {
    what: 'memory, idle',
    whose,
    value: nowMb,
    unit: 'MB',
    note: `${Math.round(proportional(processId))} MB without what is shared, peak ${Math.round(peakMb)} MB`,
  }
  if (isOurs) {
    cpu.goal = atMost(share, 0.1, 'at most 0.1 % of a core')
    memory.goal = atMost(nowMb, 80, 'at most 80 MB')
  }
  return [cpu, memory]
}

/** Memory that would be free if the process ended, nearly: shared pages are divided among those who share them. */
function proportional(processId: number): number {
  const rollup = readFileSync(`/proc/${processId}/smaps_rollup`, 'utf8')
  return Number(/^Pss:\s+(\d+) kB/m.exec(rollup)?.[1]) / 1000
}

/** Every system call of all threads by name, as strace counts them. */
async function countCalls(processId: number, seconds: number): Promise<Map<string, number> | undefined> {
  const strace = spawn('strace', ['-f', '-c', '-S', 'calls', '-p', String(processId)], {
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  let output = ''
  strace.stderr.on('data', (part) => {
    output += part
  })
  const begun = await Promise.race([pause(1000).then(() => true), once(strace, 'error').then(() => false)])
  if (!begun || strace.exitCode !== null) return undefined
  await pause(seconds * 1000)
  strace.kill('SIGINT')
  await once(strace, 'exit')
  const counts = new Map<string, number>()
  for (const line of output.split('\n')) {
    const match = /^\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)\s+(?:\d+\s+)?([a-z]\w*)$/.exec(line)
    if (match !== null && match[2] !== 'total') counts.set(match[2] as string, Number(match[1]))
  }
  return counts
}

function callFigures(calls: Map<string, number> | undefined, seconds: number): Figure[] {
  if (calls === undefined) return []
  const all = [...calls].sort((a, b) => b[1] - a[1])
  const changing = all.filter(([name]) => CHANGING.test(name))
  const sum = (some: Array<[string, number]>) => some.reduce((total, [, count]) => total + count, 0)
  const list = (some: Array<[string, number]>) => some.map(([name, count]) => `${count} ${name}`).join(', ')
  return [
    {
      what: `system calls in ${seconds} s of idleness`,
      whose: 'ours',
      value: sum(all),
      unit: 'calls',
      note: list(all),
    },
    {
      what: `of them such as could write or send`,
      whose: 'ours',
      value: sum(changing),
      unit: 'calls',
      note: list(changing),
      goal: {
        text: 'no file written and nothing sent (write: only wakes our own threads)',
        met: changing.every(([name]) => name === 'write'),
      },
    },
  ]
}

async function litestreamIdle(folder: string, path: string, seconds: number): Promise<Figure[]> {
  const program = litestreamProgram()
  if (program === undefined) return []
  const replication = replicate(program, path, join(folder, 'replica'))
  await replication.said(/wal segment written/)
  await pause(2000)
  const figures = await rest(replication.child.pid ?? 0, seconds, LITESTREAM)
  await replication.stop()
  return figures
}

import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'

/** Memory of a living process in MB, as Linux counts it. */
export function memoryOf(processId: number): { nowMb: number; peakMb: number } {
  const status = readFileSync(`/proc/${processId}/status`, 'utf8')
  const field = (name: string) => Number(new RegExp(`${name}:\\s+(\\d+) kB`).exec(status)?.[1]) / 1000
  return { nowMb: field('VmRSS'), peakMb: field('VmHWM') }
}

/** Processor time of all threads of a living process, in milliseconds. */
export function cpuOf(processId: number): number {
  const fields = readFileSync(`/proc/${processId}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? []
  const ticksPerSecond = 100
  return ((Number(fields[11]) + Number(fields[12])) * 1000) / ticksPerSecond
}

/** Begins the peak memory of a process anew. */
export interface Ended {
  wallMs: number
  peakMb: number
  output: string
}

/**
 * Runs a program to its end. Its peak memory is asked for every few milliseconds, since it is gone
 * with the process.
 */
export async function runToEnd(program: string, args: string[], options: SpawnOptions = {}): Promise<Ended> {
  const begunMs = performance.now()
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'], ...options })
  const output = collect(child)
  const peak = watchPeak(child)
  const [code] = await once(child, 'exit')
  const wallMs = performance.now() - begunMs
  clearInterval(peak.timer)
  if (code !== 0) throw new Error(`${program} ${args.join(' ')} ended with ${code}: ${output()}`)
  return { wallMs, peakMb: peak.mb(), output: output() }
}

function watchPeak(child: ChildProcess) {
  let mb = 0
  const timer = setInterval(() => {
    try {
      mb = Math.max(mb, memoryOf(child.pid as number).peakMb || 0)
    } catch {
      // It has just ended: the last answer counts.
    }
  }, 5)
  return { timer, mb: () => mb }
}

function collect(child: ChildProcess): () => string {
  let text = ''
  child.stdout?.on('data', (part) => {
    text += part
  })
  child.stderr?.on('data', (part) => {
    text += part
  })
  return () => text
}

/** Ends a process we started and waits for it. */
export async function stop(child: ChildProcess, signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  const gone = once(child, 'exit')
  child.kill(signal)
  await gone
}

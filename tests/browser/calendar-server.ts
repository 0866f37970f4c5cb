import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { accessSync, constants, existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as pause } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const APP = join(ROOT, 'apps/familjekalender')

/** Builds server and page, so that the test never looks at yesterday's. */
export function buildCalendar(): void {
  const environment = {
    ...process.env,
    PATH: `${join(ROOT, 'node_modules/.bin')}${delimiter}${process.env.PATH}`,
  }
  for (const [command, ...parameters] of [
    ['tsc', '-b', '.'],
    ['vite', 'build'],
  ] as const) {
    execFileSync(command, parameters, { cwd: APP, env: environment, stdio: 'pipe' })
  }
}

/** A machine that forgets, with one place away from it. */
export interface Machine {
  dataFolder: string
  /** Where everything must be found again. */
  placeFolder: string
  start(): Promise<RunningServer>
  /** What happens when a host takes the machine away: nothing is left but the place. */
  forget(): void
  remove(): void
}

export interface RunningServer {
  url: string
  /** Kills the server and its keeper in one moment and waits until both are gone. */
  destroy(): Promise<void>
  /** Ends it as a host does, and answers the exit code. */
  stop(): Promise<number | null>
}

/** @param away targets away from the machine, and what they need, as a host's environment would give them */
export function makeMachine(away: Record<string, string> = {}): Machine {
  const dataFolder = mkdtempSync(join(tmpdir(), 'calendar-machine-'))
  const placeFolder = mkdtempSync(join(anotherDisk(), 'calendar-place-'))
  const clear = (folder: string) => rmSync(folder, { recursive: true, force: true })
  return {
    dataFolder,
    placeFolder,
    start: () => startServer(dataFolder, { KVAR_TARGETS: `folder:${placeFolder}`, ...away }),
    forget: () => clear(dataFolder),
    remove() {
      clear(dataFolder)
      clear(placeFolder)
    },
  }
}

/** A place on the database's own disk would be called no safety, so we take memory where there is some. */
function anotherDisk(): string {
  try {
    accessSync('/dev/shm', constants.W_OK)
    return '/dev/shm'
  } catch {
    return tmpdir()
  }
}

async function startServer(dataFolder: string, away: Record<string, string>): Promise<RunningServer> {
  const server = spawn(process.execPath, ['dist/server/main.js'], {
    cwd: APP,
    env: { ...process.env, PORT: '0', DATA_DIR: dataFolder, ...away },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  const url = await firstUrl(server)
  return {
    url,
    async destroy() {
      for (const id of processesOf(dataFolder)) kill(id)
      await untilGone(dataFolder)
    },
    async stop() {
      const ended = once(server, 'exit')
      server.kill('SIGTERM')
      const [exitCode] = (await ended) as [number | null]
      await untilGone(dataFolder)
      return exitCode
    },
  }
}

/** The line the server prints once it listens; if it ends before, what it said. */
async function firstUrl(server: ChildProcess): Promise<string> {
  let said = ''
  server.stderr?.on('data', (text) => {
    said += text
  })
  if (server.stdout === null) throw new Error('the server has no output')
  for await (const line of createInterface({ input: server.stdout })) {
    const url = /http:\/\/localhost:\d+/.exec(line)?.[0]
    if (url !== undefined) return url
  }
  throw new Error(`The server ended before it listened: ${said}`)
}

/** The server and whatever it started: all carry the data folder in environment or command line. */
function processesOf(dataFolder: string): number[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid)
    .filter((id) =>
      ['environ', 'cmdline'].some((file) => readOrEmpty(`/proc/${id}/${file}`).includes(dataFolder)),
    )
    .map(Number)
}

function readOrEmpty(path: string): string {
  try {
    return existsSync(path) ? readFileSync(path, 'latin1') : ''
  } catch {
    return ''
  }
}

function kill(id: number): void {
  try {
    process.kill(id, 'SIGKILL')
  } catch {
    // It had ended by itself.
  }
}

const GONE_LIMIT_MS = 20_000

async function untilGone(dataFolder: string): Promise<void> {
  for (let waitedMs = 0; processesOf(dataFolder).length > 0; waitedMs += 50) {
    if (waitedMs > GONE_LIMIT_MS) throw new Error(`Still running: ${processesOf(dataFolder).join(', ')}`)
    await pause(50)
  }
}

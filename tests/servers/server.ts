// Real servers for tests: each on a free port of the loopback, with a temporary folder of its own, and
// gone when the test file ends, whichever way it ends. The same few helpers start all of them.

import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createWriteStream, existsSync } from 'node:fs'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import * as net from 'node:net'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'

/** Longest time a server may take until it answers: CI machines are slow. */
const START_LIMIT_MS = 90_000
/** How long a server may take to leave by itself before it is killed. */
const STOP_LIMIT_MS = 5000

/** A program that runs until it is stopped. */
export interface RunningServer {
  processId: number
  stop(): Promise<void>
}

/** The path of the first of these programs that is installed; servers often lie outside the PATH. */
export function findProgram(...names: string[]): string | undefined {
  const folders = [
    ...(process.env.PATH ?? '').split(delimiter),
    '/usr/local/sbin',
    '/usr/sbin',
    '/sbin',
    '/usr/bin',
  ]
  const paths = names.flatMap((name) => folders.filter((one) => one !== '').map((one) => join(one, name)))
  return paths.find((path) => existsSync(path))
}

/** Whether all of these programs are there. */
export function isInstalled(...names: string[]): boolean {
  return names.every((name) => existsSync(name) || findProgram(name) !== undefined)
}

/** For a test's name: empty when all programs are there, else ` (left out: no …)`. */
export function leftOutWithout(...names: string[]): string {
  const missing = names.filter((name) => !isInstalled(name))
  return missing.length === 0 ? '' : ` (left out: no ${missing.join(', ')})`
}

export async function temporaryFolder(name: string): Promise<string> {
  return mkdtemp(join(tmpdir(), `kvar-${name}-`))
}

export async function removeFolder(path: string): Promise<void> {
  await rm(path, { recursive: true, force: true, maxRetries: 5, retryDelay: 100 })
}

/** Ports of the loopback that nobody uses at this moment, all different. */
export async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(Array.from({ length: count }, () => listenAnywhere()))
  const ports = servers.map((server) => (server.address() as net.AddressInfo).port)
  await Promise.all(servers.map((server) => new Promise((resolve) => server.close(resolve))))
  return ports
}

export async function freePort(): Promise<number> {
  return (await freePorts(1))[0] as number
}

async function listenAnywhere(): Promise<net.Server> {
  const server = net.createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  return server
}

export interface StartOptions {
  /** Where its output goes; shown when it does not come up. */
  logFile: string
  env?: Record<string, string | undefined>
  cwd?: string
  /** Resolves to true once the server answers; asked again and again until then. */
  isReady: () => Promise<boolean>
}

/** Starts a program in the foreground and waits until it answers. */
export async function startServer(
  program: string,
  args: string[],
  options: StartOptions,
): Promise<RunningServer> {
  const output = createWriteStream(options.logFile, { flags: 'a' })
  await once(output, 'open')
  const env = { ...process.env, ...options.env }
  const child = spawn(program, args, {
    detached: true,
    env,
    stdio: ['ignore', output, output],
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
  })
  output.close()
  await once(child, 'spawn')
  const server = guarded(child)
  try {
    await untilReady(child, options)
    return server
  } catch (thrown) {
    await server.stop()
    throw thrown
  }
}

async function untilReady(child: ChildProcess, { isReady, logFile }: StartOptions): Promise<void> {
  const deadline = performance.now() + START_LIMIT_MS
  while (!(await isReady().catch(() => false))) {
    if (child.exitCode === null && child.signalCode === null && performance.now() < deadline) await pause(50)
    else {
      const said = (await readFile(logFile, 'utf8').catch(() => '')).slice(-2000)
      throw new Error(`${child.spawnfile} does not answer${said === '' ? '' : `; it said: ${said}`}`)
    }
  }
}

/**
 * Each server leads a process group of its own, so that its workers go with it, and has a guard: a
 * shell that waits for this process to end, however that happens, and then ends the group.
 */
function guarded(child: ChildProcess): RunningServer {
  const processId = child.pid as number
  const script = `cat >/dev/null; kill -TERM -${processId}; sleep 3; kill -KILL -${processId}`
  const guard = spawn('/bin/sh', ['-c', script], { detached: true, stdio: ['pipe', 'ignore', 'ignore'] })
  for (const one of [child, guard]) one.unref()
  const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  const stop = async () => {
    if (signal(processId, 'SIGTERM')) {
      const isGone = await Promise.race([exited.then(() => true), pause(STOP_LIMIT_MS, false)])
      // Its workers may outlive the first of them, so the group is ended either way.
      signal(processId, 'SIGKILL')
      if (!isGone) await exited
    }
    signal(guard.pid as number, 'SIGKILL')
  }
  return { processId, stop }
}

/** Signals a whole process group; false when nobody of it is left. */
function signal(processId: number, name: 'SIGTERM' | 'SIGKILL'): boolean {
  try {
    return process.kill(-processId, name)
  } catch {
    return false
  }
}

/** Whether something accepts connections on a port of the loopback. */
export function accepts(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = net.connect(port, '127.0.0.1')
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false))
    socket.once('connect', () => socket.destroy())
  })
}

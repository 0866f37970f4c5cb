import { spawn } from 'node:child_process'
import * as fs from 'node:fs'
import { constants, hostname } from 'node:os'
import { KvarError } from '../errors.ts'

/** The machine's name, noted in branches so that a person knows where content came from. */
export function hostName(): string {
  return hostname()
}

export const processId = process.pid

/** What this process has taken of the machine so far. */
export function ownUsage(): { residentBytes: number; cpuSeconds: number } {
  const { user, system } = process.cpuUsage()
  return { residentBytes: process.memoryUsage.rss(), cpuSeconds: (user + system) / 1e6 }
}

export interface DetachedProcess {
  processId: number | undefined
  /** Resolves when the process ends, with its exit code (null after a signal). */
  ended: Promise<number | null>
}

/**
 * Starts a Node program that outlives us, in a session of its own so that a signal to our process
 * group does not reach it. Its output goes to a file; nothing secret may be in `programArguments`.
 */
export function startDetached(options: {
  programPath: string
  programArguments: string[]
  outputPath: string
}): DetachedProcess {
  const output = fs.openSync(options.outputPath, isFull(options.outputPath) ? 'w' : 'a', 0o600)
  try {
    const child = spawn(process.execPath, [options.programPath, ...options.programArguments], {
      detached: true,
      stdio: ['ignore', output, output],
      // The environment holds the app's secrets: the keeper is told what it needs over its socket.
      env: environmentWithoutSecrets(),
    })
    const ended = new Promise<number | null>((resolve) => {
      child.once('exit', (code) => resolve(code))
      child.once('error', () => resolve(null))
    })
    child.unref()
    return { processId: child.pid, ended }
  } finally {
    fs.closeSync(output)
  }
}

/** Output is what Node says when it dies: a program that dies again and again must not fill the disk (R11). */
const OUTPUT_LIMIT_BYTES = 1024 * 1024

function isFull(path: string): boolean {
  return (fs.statSync(path, { throwIfNoEntry: false })?.size ?? 0) > OUTPUT_LIMIT_BYTES
}

const NEEDED = [
  'PATH',
  'HOME',
  'TMPDIR',
  'XDG_RUNTIME_DIR',
  'LANG',
  'LC_ALL',
  'TZ',
  'NODE_EXTRA_CA_CERTS',
  'SSL_CERT_FILE',
]

/** The few variables that a program needs to run at all. */
export function environmentWithoutSecrets(): NodeJS.ProcessEnv {
  return Object.fromEntries(
    NEEDED.flatMap((name) => (process.env[name] === undefined ? [] : [[name, process.env[name]]])),
  )
}

/** A command that runs on our own input and output, in our own process group. */
export interface RunningCommand {
  /** Hands a signal on; one that comes after the end is lost. */
  signal(name: NodeJS.Signals): void
  /** The command's exit code, or 128 + the signal's number if it died of one, as shells have it. */
  ended: Promise<number>
}

/**
 * Starts a command, with our environment and working directory.
 *
 * @throws KvarError `NOT_FOUND` when there is no such command, `USAGE` when it cannot be executed
 * @example
 * const running = await runCommand('python3', ['app.py'])
 * process.exitCode = await running.ended
 */
export async function runCommand(command: string, commandArguments: string[]): Promise<RunningCommand> {
  const child = spawn(command, commandArguments, { stdio: 'inherit' })
  const ended = new Promise<number>((resolve) => {
    child.once('exit', (code, signal) => resolve(code ?? exitCodeOfSignal(signal)))
  })
  await new Promise<void>((resolve, reject) => {
    child.once('spawn', resolve)
    child.once('error', (cause) => reject(cannotRun(command, cause)))
  })
  return { signal: (name) => void child.kill(name), ended }
}

/** What shells answer for a command that died of a signal: 128 and the signal's number. */
export function exitCodeOfSignal(signal: NodeJS.Signals | null): number {
  return 128 + (signal === null ? 0 : (constants.signals[signal] ?? 0))
}

function cannotRun(command: string, cause: NodeJS.ErrnoException): KvarError {
  const name = JSON.stringify(command)
  if (cause.code === 'ENOENT') {
    const hint = 'check the spelling and the PATH; a file in this folder is started as ./NAME'
    return new KvarError('NOT_FOUND', `There is no command ${name}`, { hint, cause })
  }
  return new KvarError('USAGE', `Cannot start ${name}: ${cause.message}`, {
    hint: 'see whether it may be executed (chmod +x) and is made for this machine',
    cause,
  })
}

/**
 * Whether a terminal sends its signals (Ctrl-C) to our whole process group, and so to a command that
 * runs in it as well.
 */
export function isForegroundOfTerminal(): boolean {
  try {
    // proc_pid_stat(5): pid (name) state ppid pgrp session tty_nr tpgid …; a name may hold anything.
    const text = fs.readFileSync('/proc/self/stat', 'latin1')
    const [, , group, , terminal, foreground] = text.slice(text.lastIndexOf(')') + 2).split(' ')
    return terminal !== '0' && group === foreground
  } catch {
    return process.stdin.isTTY === true
  }
}

/**
 * The processes that have a file open, as far as /proc shows them to us; empty where it does not.
 * Our own process is left out.
 */
export function processesHolding(path: string): number[] {
  const wanted = fs.statSync(path, { bigint: true, throwIfNoEntry: false })
  if (wanted === undefined) return []
  return listProcesses().filter((id) => id !== process.pid && hasOpen(id, wanted))
}

function listProcesses(): number[] {
  try {
    return fs.readdirSync('/proc').flatMap((name) => (/^\d+$/.test(name) ? [Number(name)] : []))
  } catch {
    return []
  }
}

function hasOpen(id: number, wanted: fs.BigIntStats): boolean {
  try {
    return fs.readdirSync(`/proc/${id}/fd`).some((descriptor) => {
      const there = fs.statSync(`/proc/${id}/fd/${descriptor}`, { bigint: true, throwIfNoEntry: false })
      return there !== undefined && there.ino === wanted.ino && there.dev === wanted.dev
    })
  } catch {
    return false
  }
}

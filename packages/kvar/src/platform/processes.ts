import { spawn } from 'node:child_process'
import * as fs from 'node:fs'
import { hostname } from 'node:os'

/** The machine's name, noted in branches so that a person knows where content came from. */
export function hostName(): string {
  return hostname()
}

export const processId = process.pid

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
  const output = fs.openSync(options.outputPath, 'a', 0o600)
  try {
    const child = spawn(process.execPath, [options.programPath, ...options.programArguments], {
      detached: true,
      stdio: ['ignore', output, output],
      // The environment holds the app's secrets: the keeper is told what it needs over its socket.
      env: withoutSecrets(process.env),
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

function withoutSecrets(environment: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return Object.fromEntries(
    NEEDED.flatMap((name) => (environment[name] === undefined ? [] : [[name, environment[name]]])),
  )
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

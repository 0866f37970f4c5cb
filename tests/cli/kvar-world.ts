import { type ChildProcess, spawn } from 'node:child_process'
import * as fs from 'node:fs'
import * as net from 'node:net'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'

export const ROOT = join(import.meta.dirname, '../..')
export const KVAR = join(ROOT, 'packages/kvar/bin/kvar.js')
export const PYTHON = '/usr/bin/python3'
export const PYTHON_APP = join(import.meta.dirname, 'python-app.py')
/** A second file system, so that a target counts as lying on another disk. */
const OTHER_DISK = fs.existsSync('/dev/shm') ? '/dev/shm' : tmpdir()
/** Longer than any keeper takes to leave (8 s and a moment). */
const LEAVE_LIMIT_MS = 20_000

export interface Finished {
  code: number | null
  signal: NodeJS.Signals | null
  stdout: string
  stderr: string
}

/** A kvar process under way. */
export class RunningKvar {
  readonly child: ChildProcess
  readonly ended: Promise<Finished>
  stdout = ''
  stderr = ''
  #look: () => void = () => undefined

  constructor(command: string, words: string[], options: { cwd: string; env: NodeJS.ProcessEnv }) {
    // A process group of its own: at the end of a test the app goes with it, whatever became of kvar.
    this.child = spawn(command, words, { ...options, stdio: ['ignore', 'pipe', 'pipe'], detached: true })
    this.child.stdout?.on('data', (bytes) => {
      this.stdout += bytes
      this.#look()
    })
    this.child.stderr?.on('data', (bytes) => {
      this.stderr += bytes
      this.#look()
    })
    this.ended = new Promise((resolve, reject) => {
      this.child.once('error', reject)
      this.child.once('close', (code, signal) => {
        this.#look()
        resolve({ code, signal, stdout: this.stdout, stderr: this.stderr })
      })
    })
  }

  /** Waits until both outputs together match; fails when the process ends before. */
  until(pattern: RegExp): Promise<void> {
    return new Promise((resolve, reject) => {
      this.#look = () => {
        const text = this.stdout + this.stderr
        if (pattern.test(text)) resolve()
        else if (this.child.exitCode !== null) reject(new Error(`ended without ${pattern}: ${text}`))
      }
      this.#look()
    })
  }

  /** A signal to kvar alone. */
  kill(signal: NodeJS.Signals): void {
    this.child.kill(signal)
  }

  /** Ends kvar and whatever it started in its group; the keeper has a session of its own. */
  killGroup(): void {
    try {
      if (this.child.pid !== undefined) process.kill(-this.child.pid, 'SIGKILL')
    } catch {
      // All of them have ended already.
    }
  }
}

/** Folders, targets and processes of one test. `end` sees to it that nothing stays. */
export class KvarWorld {
  readonly folder = fs.mkdtempSync(join(tmpdir(), 'kvar-cli-'))
  readonly elsewhere = fs.mkdtempSync(join(OTHER_DISK, 'kvar-cli-'))
  readonly database = join(this.folder, 'app.db')
  readonly targetFolder = join(this.elsewhere, 'log')
  readonly target = `folder:${this.targetFolder}`
  variables: Record<string, string> = { KVAR_DB: this.database, KVAR_TARGETS: this.target }
  readonly #running: RunningKvar[] = []
  readonly #databases = new Set([this.database])

  start(words: string[], options: { cwd?: string; variables?: Record<string, string> } = {}): RunningKvar {
    return this.startCommand(process.execPath, [KVAR, ...words], options)
  }

  startCommand(
    command: string,
    words: string[],
    options: { cwd?: string; variables?: Record<string, string> } = {},
  ): RunningKvar {
    const env = { ...cleanEnvironment(), ...this.variables, ...options.variables }
    this.#databases.add(env.KVAR_DB ?? this.database)
    const running = new RunningKvar(command, words, { cwd: options.cwd ?? this.folder, env })
    this.#running.push(running)
    return running
  }

  kvar(
    words: string[],
    options: { cwd?: string; variables?: Record<string, string> } = {},
  ): Promise<Finished> {
    return this.start(words, options).ended
  }

  /** `kvar run` of the Python app. */
  run(words: string[], options: { variables?: Record<string, string> } = {}): RunningKvar {
    const database = options.variables?.KVAR_DB ?? this.variables.KVAR_DB ?? this.database
    return this.start(['run', '--', PYTHON, PYTHON_APP, database, ...words], options)
  }

  /** Adds a row under protection; answers all rows. */
  async add(text: string): Promise<string[]> {
    const finished = await this.run(['add', text]).ended
    if (finished.code !== 0) throw new Error(finished.stderr)
    return JSON.parse(finished.stdout) as string[]
  }

  /** The host throws the disk away: everything beside the targets is gone. */
  wipe(): void {
    for (const name of fs.readdirSync(this.folder)) fs.rmSync(join(this.folder, name), { recursive: true })
  }

  rows(path = this.database): string[] {
    const database = new DatabaseSync(path, { readOnly: true })
    try {
      return database
        .prepare('SELECT text FROM notes ORDER BY id')
        .all()
        .map((row) => String(row.text))
    } finally {
      database.close()
    }
  }

  path(name: string): string {
    return join(this.folder, name)
  }

  keeperLog(): string {
    return fs.readFileSync(join(stateFolder(this.database), 'keeper.log'), 'utf8')
  }

  async end(): Promise<void> {
    for (const running of this.#running) running.killGroup()
    await Promise.all(this.#running.map(({ ended }) => ended.catch(() => undefined)))
    for (const database of this.#databases) await keeperGone(database)
    fs.rmSync(this.folder, { recursive: true })
    fs.rmSync(this.elsewhere, { recursive: true })
  }
}

/** Resolves when the keeper of a database has ended: it closes its connections then. */
export function keeperGone(database: string): Promise<void> {
  const address = join(stateFolder(database), 'keeper.json')
  if (!fs.existsSync(address)) return Promise.resolve()
  const { socket, processId } = JSON.parse(fs.readFileSync(address, 'utf8')) as {
    socket: string
    processId: number
  }
  return new Promise((resolve, reject) => {
    const late = setTimeout(
      () => reject(new Error(`keeper ${processId} of ${database} stays`)),
      LEAVE_LIMIT_MS,
    )
    const connection = net.connect(socket)
    connection.once('error', () => undefined)
    connection.once('close', () => {
      clearTimeout(late)
      resolve()
    })
    connection.resume()
  })
}

function stateFolder(database: string): string {
  return join(dirname(database), `.${basename(database)}-kvar`)
}

/** No setting of the machine that runs the tests may reach them. */
function cleanEnvironment(): NodeJS.ProcessEnv {
  return Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !/^(KVAR_|NO_COLOR|FORCE_COLOR)/.test(name)),
  )
}

/** The JSON objects of an output, one a line. */
export function jsonLines(text: string): Array<Record<string, unknown>> {
  return text
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>)
}

/** The last JSON object of an output: the result. */
export function lastOf(text: string): Record<string, unknown> {
  return jsonLines(text).at(-1) ?? {}
}

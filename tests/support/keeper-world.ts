import { type ChildProcess, fork } from 'node:child_process'
import * as fs from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { pathToFileURL } from 'node:url'
import {
  createPersistentDb,
  type DatabasePersistence,
  type FlushResult,
  type KeeperStatus,
  type PersistentDbOptions,
  type StartReport,
} from '../../packages/kvar/src/index.ts'
import { type BranchInfo, listBranches } from '../../packages/kvar/src/log/branches.ts'
import { restoreToFile } from '../../packages/kvar/src/log/restore.ts'
import { VersionLog } from '../../packages/kvar/src/log/version-log.ts'
import { systemPlatform } from '../../packages/kvar/src/platform/system.ts'
import { createFolderTarget } from '../../packages/kvar/src/targets/folder/folder-target.ts'

export const KEEPER_APP = join(import.meta.dirname, 'keeper-app.mjs')

/** Everything a test with real keepers makes, and its end: no process and no folder stays. */
export class KeeperWorld {
  readonly folder = fs.mkdtempSync(join(tmpdir(), 'kvar-world-'))
  readonly #persistences: DatabasePersistence[] = []
  readonly #databases: DatabaseSync[] = []
  readonly #apps: AppProcess[] = []
  readonly #paths = new Set<string>()
  readonly #keepers = new Set<number>()

  path(...names: string[]): string {
    const path = join(this.folder, ...names)
    fs.mkdirSync(dirname(path), { recursive: true })
    return path
  }

  /** Opens through the public door; this test process is the app. */
  async open(path: string, options: PersistentDbOptions & { limits?: object } = {}) {
    this.#paths.add(path)
    const all: PersistentDbOptions = { handleSignals: false, copies: [], ...options }
    const persistence = await createPersistentDb(path, all)
    this.#persistences.push(persistence)
    this.#keepers.add(keeperProcessId(path))
    return persistence
  }

  database(path: string, timeoutMs = 5000): DatabaseSync {
    const database = new DatabaseSync(path, { timeout: timeoutMs })
    this.#databases.push(database)
    return database
  }

  /** An app in a process of its own. */
  async app(path: string, options: AppOptions = {}): Promise<AppProcess> {
    this.#paths.add(path)
    const app = new AppProcess(options.variables)
    this.#apps.push(app)
    const { variables: _, journalMode, timeoutMs, ...rest } = options
    const params = { path, journalMode, timeoutMs, options: { copies: [], ...rest } }
    app.report = await app.call<StartReport>('open', params)
    this.#keepers.add(keeperProcessId(path))
    return app
  }

  /** A process without the library: `openPlain` opens a database in it. */
  bareApp(): AppProcess {
    const app = new AppProcess()
    this.#apps.push(app)
    return app
  }

  /** A keeper that was started outside `open` and `app`. */
  watchFor(path: string): void {
    this.#paths.add(path)
  }

  async end(): Promise<void> {
    for (const path of this.#paths) this.#keepers.add(keeperProcessId(path))
    for (const database of this.#databases) if (database.isOpen) database.close()
    for (const app of this.#apps) await app.end()
    await Promise.allSettled(this.#persistences.map((persistence) => persistence.close()))
    // A keeper in a container of its own noted the number it has there: another process may have it here.
    const keepers = [...this.#keepers].filter((id) => id > 0 && isKeeper(id))
    try {
      await waitFor('every keeper has left', () => keepers.every((id) => !isAlive(id)), 12_000)
    } finally {
      for (const id of keepers) killProcess(id)
      fs.rmSync(this.folder, { recursive: true, force: true })
    }
  }
}

type AppOptions = PersistentDbOptions & {
  limits?: object
  journalMode?: string
  timeoutMs?: number
  variables?: Record<string, string>
}

/** The other end of keeper-app.mjs. */
export class AppProcess {
  readonly child: ChildProcess
  readonly ended: Promise<number | string | null>
  readonly #calls = new Map<number, (answer: Answer) => void>()
  #nextId = 1
  report: StartReport | undefined

  constructor(variables: Record<string, string> = {}) {
    this.child = fork(KEEPER_APP, {
      stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
      execArgv: [],
      env: { ...process.env, ...variables },
    })
    this.child.on('message', (message: Answer & { id: number }) => {
      const call = this.#calls.get(message.id)
      this.#calls.delete(message.id)
      call?.(message)
    })
    this.ended = new Promise((resolve) => {
      this.child.once('exit', (code, signal) => {
        for (const call of this.#calls.values()) call({ error: { code: 'ENDED', message: 'the app ended' } })
        resolve(code ?? signal)
      })
    })
  }

  call<T = unknown>(verb: string, params: object = {}): Promise<T> {
    const id = this.#nextId++
    if (!this.child.connected) return Promise.reject(new Error('the app has ended'))
    return new Promise((resolve, reject) => {
      this.#calls.set(id, ({ result, error }) => {
        if (error === undefined) resolve(result as T)
        else reject(Object.assign(new Error(error.message), { code: error.code }))
      })
      this.child.send({ id, verb, params })
    })
  }

  sql(text: string): Promise<unknown> {
    return this.call('sql', { text })
  }

  all<T = Record<string, number>>(text: string): Promise<T[]> {
    return this.call('all', { text })
  }

  flush(): Promise<FlushResult> {
    return this.call('flush')
  }

  status(): Promise<KeeperStatus> {
    return this.call('status')
  }

  /** Leaves as after a crash. */
  async kill(): Promise<void> {
    this.child.kill('SIGKILL')
    await this.ended
  }

  async end(): Promise<void> {
    if (this.child.exitCode === null && this.child.signalCode === null) await this.kill()
  }
}

interface Answer {
  result?: unknown
  error?: AppError
}

interface AppError {
  code: string
  message: string
}

/** The keeper's process as it says of itself; 0 when none ever was. */
export function keeperProcessId(databasePath: string): number {
  try {
    const file = join(dirname(databasePath), `.${basename(databasePath)}-kvar`, 'keeper.json')
    return (JSON.parse(fs.readFileSync(file, 'utf8')) as { processId: number }).processId
  } catch {
    return 0
  }
}

/** Every keeper of a database that lives, whether it holds the lock or not: the path is its only argument. */
export function keepersOf(databasePath: string): number[] {
  return fs
    .readdirSync('/proc')
    .map(Number)
    .filter((id) => id > 0 && commandLine(id)[2] === databasePath && isAlive(id))
}

function isKeeper(processId: number): boolean {
  return /keeper[^/]*\/main\.[jt]s$|crashing-keeper/.test(commandLine(processId)[1] ?? '')
}

function commandLine(processId: number): string[] {
  try {
    return fs.readFileSync(`/proc/${processId}/cmdline`, 'utf8').split('\0')
  } catch {
    return []
  }
}

/** A zombie counts as gone: whoever started it has not looked yet. */
export function isAlive(processId: number): boolean {
  try {
    return !/^\d+ \(.*\) Z/s.test(fs.readFileSync(`/proc/${processId}/stat`, 'utf8'))
  } catch {
    return false
  }
}

export function killProcess(processId: number): void {
  if (!isAlive(processId)) return
  try {
    process.kill(processId, 'SIGKILL')
  } catch {
    // It went by itself in this very moment.
  }
}

/** Waits for what no event tells, and names it when it does not come. */
export async function waitFor<T>(
  what: string,
  isMet: () => T | Promise<T>,
  limitMs = 10_000,
): Promise<NonNullable<T>> {
  for (const until = performance.now() + limitMs; ; ) {
    const answer = await isMet()
    if (answer) return answer as NonNullable<T>
    if (performance.now() > until) throw new Error(`waited ${limitMs} ms in vain until ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}

/** The log in a folder, read without any keeper. */
export async function logIn(folder: string): Promise<VersionLog> {
  return new VersionLog(await createFolderTarget({ path: folder, platform: systemPlatform }))
}

export async function newestVersionIn(folder: string): Promise<number> {
  return (await (await logIn(folder)).findHead())?.version ?? 0
}

export async function branchesIn(folder: string): Promise<BranchInfo[]> {
  return listBranches((await logIn(folder)).target)
}

let restores = 0

/** Restores a version (the newest without `version`) into a new file and answers its path. */
export async function restoreFrom(folder: string, into: string, version?: number): Promise<string> {
  const log = await logIn(folder)
  const path = join(into, `restored-${process.pid}-${restores++}.db`)
  const plan = await log.plan(version === undefined ? { kind: 'latest' } : { kind: 'version', version })
  await restoreToFile({ log, plan, path, platform: systemPlatform })
  return path
}

/** What a query says of a file that nobody else uses. */
export function rowsOf<T = Record<string, number>>(path: string, query: string): T[] {
  const url = `${pathToFileURL(path).href}?mode=ro&immutable=1`
  const database = new DatabaseSync(url, { readOnly: true })
  try {
    const check = database.prepare('PRAGMA integrity_check').get() as { integrity_check: string }
    if (check.integrity_check !== 'ok') throw new Error(`"${path}": ${check.integrity_check}`)
    return database.prepare(query).all() as T[]
  } finally {
    database.close()
  }
}

/** Restores a version from a folder and queries it. */
export async function rowsIn<T = Record<string, number>>(
  folder: string,
  into: string,
  query: string,
  version?: number,
): Promise<T[]> {
  return rowsOf<T>(await restoreFrom(folder, into, version), query)
}

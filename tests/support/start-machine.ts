import { spawn } from 'node:child_process'
import { once } from 'node:events'
import * as fs from 'node:fs'
import * as fsp from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { Keeper } from '../../packages/kvar/src/keeper/keeper.ts'
import type { StartReport } from '../../packages/kvar/src/keeper/status.ts'
import { branchLog, listBranches } from '../../packages/kvar/src/log/branches.ts'
import { restoreToFile } from '../../packages/kvar/src/log/restore.ts'
import { VersionLog } from '../../packages/kvar/src/log/version-log.ts'
import { systemPlatform } from '../../packages/kvar/src/platform/system.ts'
import {
  DEFAULT_KEEP,
  DEFAULT_LIMITS,
  type KeeperSettings,
} from '../../packages/kvar/src/settings/keeper-settings.ts'
import { stateFolder } from '../../packages/kvar/src/settings/names.ts'
import type { TargetSetting } from '../../packages/kvar/src/settings/target-url.ts'
import { createFolderTarget } from '../../packages/kvar/src/targets/folder/folder-target.ts'
import { openTarget } from '../../packages/kvar/src/targets/open-target.ts'
import { type Target, TargetError } from '../../packages/kvar/src/targets/target.ts'
import { type Change, CrashingMachine } from './start-crash.ts'

/** A second file system, so that a target really lies on another device; the first one where there is none. */
const OTHER_DISK = fs.existsSync('/dev/shm') ? '/dev/shm' : tmpdir()
/** Nothing is cut by itself: what a test did not flush is committed and not stored. */
const NEVER_MS = 3_600_000

export type Rows = Array<{ id: number; text: string }>

/** One row in the table that the tests write to. */
export function row(id: number, text: string) {
  return { id, text }
}

/** A machine with a database on one disk and two folder targets, the ledger on another disk. */
export class TestMachine {
  readonly home: string
  readonly away: string
  readonly #keepers = new Set<Keeper>()
  readonly #apps = new Set<DatabaseSync>()
  overrides: Partial<KeeperSettings> = {}
  /** Target folders that do not answer, and how often one was asked in vain. */
  readonly silent = new Set<string>()
  asked = 0

  private constructor(home: string, away: string) {
    this.home = home
    this.away = away
  }

  /** @param options.oneDisk in memory where that is possible: for loops that start hundreds of times */
  static async create(
    overrides: Partial<KeeperSettings> = {},
    options: { oneDisk?: boolean } = {},
  ): Promise<TestMachine> {
    const home = await fsp.mkdtemp(join(options.oneDisk ? OTHER_DISK : tmpdir(), 'kvar-start-'))
    const away = await fsp.mkdtemp(join(OTHER_DISK, 'kvar-away-'))
    await fsp.mkdir(join(home, 'app'))
    const machine = new TestMachine(home, away)
    machine.overrides = overrides
    return machine
  }

  get appFolder(): string {
    return join(this.home, 'app')
  }

  get databasePath(): string {
    return join(this.appFolder, 'family.db')
  }

  get statePath(): string {
    return stateFolder(this.databasePath)
  }

  get ledgerPath(): string {
    return join(this.away, 'ledger')
  }

  get followerPath(): string {
    return join(this.home, 'follower')
  }

  settings(): KeeperSettings {
    return {
      databasePath: this.databasePath,
      targets: [folder(this.ledgerPath)],
      ledger: `folder:${this.ledgerPath}`,
      durable: 'ledger',
      copies: [],
      intervalMs: NEVER_MS,
      startTimeoutMs: 10_000,
      onUnreachable: 'fail',
      keep: DEFAULT_KEEP,
      limits: { ...DEFAULT_LIMITS, targetTries: 1 },
      ...this.overrides,
    }
  }

  /** Ledger and follower. */
  bothTargets() {
    return [folder(this.ledgerPath), folder(this.followerPath)]
  }

  /** Another machine that runs the same app with the same targets. */
  async sibling(): Promise<TestMachine> {
    const home = await fsp.mkdtemp(join(this.home, 'sibling-'))
    await fsp.mkdir(join(home, 'app'))
    const sibling = new TestMachine(home, this.away)
    sibling.overrides = { ...this.overrides }
    return sibling
  }

  keeper(life?: CrashingMachine): Keeper {
    // The keeper's process makes it, for its lock.
    fs.mkdirSync(this.statePath, { recursive: true, mode: 0o700 })
    const nothing = () => undefined
    const events = { changed: nothing, fenced: nothing, tell: nothing }
    const platform = life?.platform ?? systemPlatform
    const keeper = new Keeper(this.settings(), platform, events, (setting) => this.#reach(setting, life))
    this.#keepers.add(keeper)
    return keeper
  }

  async #reach(setting: TargetSetting, life: CrashingMachine | undefined): Promise<Target> {
    if (this.silent.has(setting.path ?? '')) {
      this.asked += 1
      throw new TargetError('temporary', `${setting.url} is out of reach`)
    }
    const target = await openTarget(setting, systemPlatform)
    return life?.target(target) ?? target
  }

  /** Starts a keeper as it is started before the app opens the database. */
  async start(life?: CrashingMachine): Promise<{ keeper: Keeper; report: StartReport }> {
    const keeper = this.keeper(life)
    return { keeper, report: await keeper.start(false) }
  }

  /** The app's own connection. */
  openApp(): DatabaseSync {
    const app = new DatabaseSync(this.databasePath)
    this.#apps.add(app)
    return app
  }

  closeApp(app: DatabaseSync): void {
    this.#apps.delete(app)
    app.close()
  }

  async closeKeeper(keeper: Keeper, deadlineMs = 10_000): Promise<void> {
    this.#keepers.delete(keeper)
    const unfinished = await keeper.close(deadlineMs)
    if (unfinished !== undefined && deadlineMs > 0) throw new Error(`the keeper left: ${unfinished}`)
  }

  /** A whole life: start, the app's work (ends with a flush), a clean end. */
  async live(work: (app: DatabaseSync, keeper: Keeper) => unknown): Promise<StartReport> {
    const { keeper, report } = await this.start()
    const app = this.openApp()
    await work(app, keeper)
    await keeper.flush()
    this.closeApp(app)
    await this.closeKeeper(keeper)
    return report
  }

  /**
   * A life that ends by a kill of everything: what the app committed without a flush stays in its files
   * only. Connections of this process would clean up after themselves, so their files are put back.
   *
   * @param killedAt the change of the keeper that does not happen any more; without it the work goes to its end
   */
  async liveAndDie(
    work: (app: DatabaseSync, keeper: Keeper) => unknown,
    killedAt?: (change: Change) => boolean,
  ): Promise<void> {
    const life = new CrashingMachine(killedAt)
    const { keeper } = await this.start(life)
    const app = this.openApp()
    const killed = killedAt === undefined ? [] : [life.happened]
    await Promise.race([Promise.resolve(work(app, keeper)), ...killed])
    life.crashNow()
    const files = this.saveFiles()
    this.closeApp(app)
    await this.closeKeeper(keeper, 0)
    this.putBack(files)
  }

  /** An app in a process of its own, killed in the middle of a transaction: leaves a hot journal. */
  async killInTransaction(): Promise<void> {
    const program = join(import.meta.dirname, 'start-hot-journal.mjs')
    const child = spawn(process.execPath, [program, this.databasePath], {
      stdio: ['ignore', 'pipe', 'inherit'],
    })
    await once(child.stdout, 'data')
    child.kill('SIGKILL')
    await once(child, 'exit')
  }

  /** The database and its side files as they lie there now, with their times. */
  saveFiles(): SavedFiles {
    const saved: SavedFiles = new Map()
    for (const suffix of ['', '-wal', '-journal']) saved.set(suffix, readWithTime(this.databasePath + suffix))
    return saved
  }

  putBack(files: SavedFiles): void {
    fs.rmSync(`${this.databasePath}-shm`, { force: true })
    for (const [suffix, file] of files) {
      const path = this.databasePath + suffix
      if (file === undefined) fs.rmSync(path, { force: true })
      else {
        fs.writeFileSync(path, file.bytes)
        fs.utimesSync(path, file.modified, file.modified)
      }
    }
  }

  /** Removes the database with its side files; the state and copies stay. */
  wipeDatabase(): void {
    for (const suffix of ['', '-wal', '-journal', '-shm'])
      fs.rmSync(this.databasePath + suffix, { force: true })
  }

  wipeState(): void {
    fs.rmSync(this.statePath, { recursive: true, force: true })
  }

  rows(): Rows {
    return rowsOf(this.databasePath)
  }

  /** The rows of the newest version that a target holds. */
  async headRows(path = this.ledgerPath): Promise<{ version: number; rows: Rows } | undefined> {
    const target = await createFolderTarget({ path, platform: systemPlatform })
    try {
      const log = new VersionLog(target)
      const head = await log.findHead()
      return head && { version: head.version, rows: await this.#rowsIn(log) }
    } finally {
      await target.close()
    }
  }

  /** The rows of every branch on the ledger. */
  async branches(): Promise<Rows[]> {
    const target = await createFolderTarget({ path: this.ledgerPath, platform: systemPlatform })
    try {
      const found: Rows[] = []
      for (const { id } of await listBranches(target)) found.push(await this.#rowsIn(branchLog(target, id)))
      return found
    } finally {
      await target.close()
    }
  }

  async #rowsIn(log: VersionLog): Promise<Rows> {
    const path = join(this.home, 'look.tmp')
    await fsp.rm(path, { force: true })
    const plan = await log.plan({ kind: 'latest' })
    await restoreToFile({ log, plan, path, platform: systemPlatform })
    return rowsOf(path)
  }

  /** The folders that restores moved replaced files to. */
  asideFolders(): string[] {
    const names = fs.readdirSync(this.appFolder).filter((name) => name.includes('.before-restore-'))
    return names.map((name) => join(this.appFolder, name))
  }

  /** The rows in those folders. */
  setAside(): Rows[] {
    return this.asideFolders().flatMap((aside) => {
      const path = join(aside, 'family.db')
      return fs.existsSync(path) ? [rowsOf(path)] : []
    })
  }

  /** Everything that lies on both disks, to start from again and again. */
  async photograph(): Promise<string> {
    const image = await fsp.mkdtemp(join(OTHER_DISK, 'kvar-photo-'))
    const options = { recursive: true, preserveTimestamps: true }
    fs.cpSync(this.home, join(image, 'home'), options)
    fs.cpSync(this.away, join(image, 'away'), options)
    return image
  }

  async bringBack(image: string): Promise<void> {
    const options = { recursive: true, preserveTimestamps: true }
    for (const [name, path] of [['home', this.home] as const, ['away', this.away] as const]) {
      await fsp.rm(path, { recursive: true, force: true })
      fs.cpSync(join(image, name), path, options)
    }
  }

  /** Ends every keeper and app that a failed test left, and removes both disks. */
  async destroy(): Promise<void> {
    for (const app of this.#apps) app.close()
    for (const keeper of this.#keepers) await keeper.close(0)
    await fsp.rm(this.home, { recursive: true, force: true })
    await fsp.rm(this.away, { recursive: true, force: true })
  }
}

export type SavedFiles = Map<string, { bytes: Buffer; modified: Date } | undefined>

function readWithTime(path: string) {
  if (!fs.existsSync(path)) return undefined
  return { bytes: fs.readFileSync(path), modified: fs.statSync(path).mtime }
}

export function folder(path: string) {
  return { url: `folder:${path}`, scheme: 'folder', path, parameters: {}, secrets: {} }
}

/** Rows of a database file that nobody has open, after SQLite found it sound. */
export function rowsOf(path: string): Rows {
  const database = new DatabaseSync(path, {
    readOnly: !['-wal', '-journal'].some((suffix) => fs.existsSync(path + suffix)),
  })
  try {
    const { integrity_check: check } = database.prepare('PRAGMA integrity_check').get() as {
      integrity_check: string
    }
    if (check !== 'ok') throw new Error(`${path}: ${check}`)
    const has = database.prepare(`SELECT 1 FROM sqlite_schema WHERE name = 'notes'`).get() !== undefined
    if (!has) return []
    // Rows of node:sqlite have no prototype; plain ones compare and print better.
    return database
      .prepare('SELECT id, text FROM notes ORDER BY id')
      .all()
      .map((one) => ({ ...one })) as Rows
  } finally {
    database.close()
  }
}

const TABLE = 'CREATE TABLE IF NOT EXISTS notes (id INTEGER PRIMARY KEY, text TEXT NOT NULL)'

/** The app's table, in the given journal mode. */
export function makeTable(app: DatabaseSync, journal: 'WAL' | 'DELETE' = 'DELETE'): DatabaseSync {
  app.exec(`PRAGMA journal_mode=${journal}; ${TABLE}`)
  return app
}

export function add(app: DatabaseSync, ...rows: Rows): void {
  const insert = app.prepare('INSERT INTO notes (id, text) VALUES (?, ?)')
  for (const { id, text } of rows) insert.run(id, text)
}

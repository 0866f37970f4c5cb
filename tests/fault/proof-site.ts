import * as fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type AppOrder, AppProcess } from './proof-app.ts'
import { askKeeper, keeperSettings } from './proof-keeper-line.ts'
import { type Bound, type Content, History, Violation } from './proof-model.ts'
import { childrenOf, keepersOf, kill, killKeepers, until } from './proof-processes.ts'
import { commandLine, moduleOf } from './proof-product.ts'
import type { Choices } from './proof-random.ts'
import { readContent, restoredContent } from './proof-restore.ts'

/** Everything about an app and its targets that differs between sites. */
export interface SiteKind {
  app: 'node' | 'python'
  journalMode: AppOrder['journalMode']
}

/** Where a ledger lies when it is no folder: its URL, and the environment that holds its secrets. */
export interface LedgerPlace {
  url: string
  secrets: Record<string, string>
}

const SUPPORT = join(import.meta.dirname, '../support')
const NAME = 'notes.db'
/** Another disk than the temporary folder's, where there is one. */
const OTHER_DISK = fs.existsSync('/dev/shm') ? '/dev/shm' : tmpdir()

/** One database with its app, its targets and what is known of it, in folders of its own. */
export class Site {
  readonly history = new History()
  readonly folder: string
  readonly ledgerUrl: string
  readonly followerFolder: string | undefined
  readonly order: Omit<AppOrder, 'firstToken' | 'database'>
  readonly kind: SiteKind
  /** Where the app runs now: another machine is another folder. */
  dataFolder: string
  app: AppProcess | undefined
  readonly story: string[] = []
  readonly #otherDisk: string
  #machines = 0

  constructor(kind: SiteKind, choices: Choices, place?: LedgerPlace) {
    this.kind = kind
    this.folder = fs.mkdtempSync(join(tmpdir(), 'kvar-proof-'))
    this.#otherDisk = fs.mkdtempSync(join(OTHER_DISK, 'kvar-proof-'))
    this.dataFolder = this.newMachine()
    const ledgerFolder = join(choices.chance(0.8) ? this.#otherDisk : this.folder, 'ledger')
    this.ledgerUrl = place?.url ?? `folder:${ledgerFolder}`
    // The app, its keeper and our own look at the log all find them there.
    Object.assign(process.env, place?.secrets)
    this.followerFolder = choices.chance(0.5) ? join(this.folder, 'follower') : undefined
    this.order = this.#choose(choices)
    this.note(JSON.stringify({ ...kind, ...this.order }))
  }

  #choose(choices: Choices): Site['order'] {
    const follower = this.followerFolder === undefined ? [] : [`folder:${this.followerFolder}`]
    return {
      library: moduleOf('index.js'),
      settings: {
        targets: [this.ledgerUrl, ...follower],
        durable: choices.chance(0.2) ? 'all' : 'ledger',
        copies: choices.pick([[], ['json'], ['json', 'backup']]),
        interval: choices.pick(['50ms', '200ms', '1s']),
      },
      journalMode: this.kind.journalMode,
      pageSize: choices.pick([1024, 4096]),
      // A cache of a few pages spills into the database before the commit: journals become hot.
      cachePages: choices.pick([5, 2000]),
      busyMs: 5000,
      ...this.#pace(choices),
      flushEvery: choices.pick([3, 10, 40]),
      vacuumEvery: choices.pick([60, 1_000_000]),
    }
  }

  /**
   * In rollback modes the keeper waits for a moment without a writer (docs/decisions/012), so there the
   * quick apps write in bursts: on a busy machine it would wait for minutes beside one without pauses.
   */
  #pace(choices: Choices): { burst: number; pauseMs: number } {
    const pauseMs = choices.pick([0, 2, 10, 25])
    if (pauseMs >= 10 || this.kind.journalMode === 'wal') return { burst: 1, pauseMs }
    return { burst: 20, pauseMs: 60 }
  }

  get databasePath(): string {
    return join(this.dataFolder, NAME)
  }

  get stateFolder(): string {
    return join(this.dataFolder, `.${NAME}-kvar`)
  }

  newMachine(): string {
    const folder = join(this.folder, `machine-${this.#machines++}`)
    fs.mkdirSync(folder)
    return folder
  }

  note(line: string): void {
    this.story.push(`${new Date().toISOString()} ${line}`)
  }

  /** Starts the app; afterwards Kvar has done its work and the app has not yet opened the database. */
  async start(): Promise<string> {
    this.launch()
    return this.ready()
  }

  launch(): void {
    const order: AppOrder = { ...this.order, database: this.databasePath, firstToken: this.history.nextToken }
    const text = JSON.stringify(order)
    const isPython = this.kind.app === 'python'
    const command = isPython
      ? [process.execPath, commandLine, 'run', '--', '/usr/bin/python3', join(SUPPORT, 'proof-app.py'), text]
      : [process.execPath, join(SUPPORT, 'proof-app.mjs'), text]
    const { settings } = this.order
    const environment = {
      KVAR_DB: this.databasePath,
      KVAR_TARGETS: settings.targets.join(' '),
      KVAR_DURABLE: settings.durable,
      KVAR_COPIES: settings.copies.join(',') || 'none',
      KVAR_INTERVAL: settings.interval,
    }
    this.note(`start in ${this.dataFolder}`)
    this.app = new AppProcess({
      command,
      history: this.history,
      ...(isPython ? { environment, onDone: (token) => void this.#flushNowAndThen(token) } : {}),
    })
  }

  async ready(): Promise<string> {
    const report = await this.#app.ask(undefined, 'ready')
    this.note(`ready: ${report}`)
    return report
  }

  get #app(): AppProcess {
    if (this.app === undefined) throw new Error('no app runs')
    return this.app
  }

  go(): void {
    this.#app.tell('go')
  }

  /** Lets the app work for a while, in most cases until it has committed something. */
  async load(choices: Choices): Promise<void> {
    const untilCommit = choices.chance(0.8)
    const forMs = choices.between(20, 300)
    const none = () => this.history.lastDone === 0 && !this.#app.ended
    if (untilCommit) await until(() => !none(), 'the app does not commit', 20_000)
    await new Promise((resolve) => setTimeout(resolve, forMs))
  }

  pause(): Promise<string> {
    return this.#app.ask('pause', 'paused')
  }

  /** Everything the app saw committed is stored, however the keeper fares meanwhile. */
  async flush(): Promise<void> {
    if (this.kind.app === 'node') {
      await this.#app.ask('flush', 'flushed')
      return this.#app.assertNoTrouble()
    }
    await this.#flushUntilAnswered()
  }

  /** Every target holds everything. */
  async settle(): Promise<void> {
    if (this.kind.app === 'node') {
      await this.#app.ask('settle', 'settled')
      return this.#app.assertNoTrouble()
    }
    await this.#flushUntilAnswered()
    await this.#targetsAreEven()
  }

  async #targetsAreEven(): Promise<void> {
    const settings = keeperSettings(this.databasePath, this.order.settings)
    const end = Date.now() + 45_000
    for (;;) {
      const answer = await askKeeper(join(this.stateFolder, 'keeper.json'), settings, 'status')
      const status = answer as { durableVersion: number; targets: Array<{ version: number }> } | false
      if (status !== false && status.targets.every((one) => one.version >= status.durableVersion)) return
      if (Date.now() > end) throw new Violation('stuck', 'a target does not catch up')
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
  }

  async #flushUntilAnswered(): Promise<void> {
    const end = Date.now() + 30_000
    while (!(await this.#flushThroughSocket())) {
      if (Date.now() > end) throw new Violation('stuck', 'no keeper answers a flush')
      await new Promise((resolve) => setTimeout(resolve, 20))
    }
  }

  async #flushThroughSocket(): Promise<boolean> {
    const upTo = this.history.lastDone
    const settings = keeperSettings(this.databasePath, this.order.settings)
    const answer = await askKeeper(join(this.stateFolder, 'keeper.json'), settings, 'flush')
    if (answer !== false) this.history.acknowledge(upTo)
    return answer !== false
  }

  #socketFlushes = 0
  async #flushNowAndThen(token: number): Promise<void> {
    if (token % this.order.flushEvery !== 0 || this.#socketFlushes >= 2) return
    this.#socketFlushes += 1
    try {
      await this.#flushThroughSocket()
    } catch (thrown) {
      if (this.app !== undefined) this.app.trouble ??= `flush: ${(thrown as Error).message}`
    } finally {
      this.#socketFlushes -= 1
    }
  }

  /** SIGKILL to the app, and to `kvar run` above it. */
  async killApp(): Promise<void> {
    const { app } = this
    if (app === undefined) return
    this.note('kill the app')
    const commands = app.process.pid === undefined ? [] : childrenOf(app.process.pid)
    if (this.kind.app === 'python')
      for (const id of commands) if (!keepersOf(this.databasePath).includes(id)) kill(id)
    await app.kill()
  }

  /** SIGKILL to the keeper that listens now; answers how many there were. */
  killKeeper(): number {
    const keepers = keepersOf(this.databasePath)
    this.note(`kill keeper ${keepers.join(' ')}`)
    for (const id of keepers) kill(id)
    return keepers.length
  }

  /** The machine dies: nothing of this site runs any more. */
  async killAll(): Promise<void> {
    await this.killApp()
    await killKeepers(this.databasePath)
  }

  /** Ends as a well-behaved app does; everything is stored then. */
  async close(): Promise<void> {
    const { app } = this
    if (app === undefined) return
    await app.ask('close', 'closed')
    await app.closed
    app.assertNoTrouble()
    this.history.acknowledge(this.history.lastDone)
    await until(
      () => keepersOf(this.databasePath).length === 0,
      'the keeper stays after the last app',
      20_000,
    )
  }

  /** @returns how many of the asked transactions the database shows */
  checkLocal(least: 'stored' | 'committed'): number {
    const bound = { least, storedUpTo: this.history.storedUpTo }
    return this.#judge(readContent(this.databasePath), bound, 'the database')
  }

  /** Destroying the machine at this instant loses nothing that was acknowledged (R1). */
  async checkLog(url = this.ledgerUrl, least: 'stored' | 'committed' = 'stored'): Promise<number> {
    // A keeper that lives may acknowledge more while we read.
    const bound = { least, storedUpTo: this.history.storedUpTo }
    const content = await restoredContent(url, this.folder)
    return this.#judge(content, bound, `the log in ${url}`)
  }

  /** Brings everything to rest: then the database, the ledger and the follower show the same. */
  async finish(): Promise<void> {
    this.note('finish')
    await this.pause()
    await this.settle()
    this.note('settled')
    this.history.goOnFrom(this.checkLocal('committed'))
    for (const url of this.order.settings.targets) await this.checkLog(url, 'committed')
    await this.close()
    await this.checkLog()
  }

  #judge(content: Content, bound: Bound, where: string): number {
    const count = this.history.check(content, bound, where)
    this.note(
      `${where} shows ${content.tokens.length} transactions, up to ${content.tokens.at(-1) ?? 'none'}`,
    )
    return count
  }

  /** Ends everything; the folders stay as evidence when something was wrong. */
  async end(violation?: Error): Promise<void> {
    await this.killAll()
    if (violation === undefined) return this.#remove()
    const keeperLog = join(this.stateFolder, 'keeper.log')
    const lines = [...this.story, String(violation.stack), JSON.stringify(this.history)]
    if (fs.existsSync(keeperLog)) lines.push('keeper.log:', fs.readFileSync(keeperLog, 'utf8'))
    fs.writeFileSync(join(this.folder, 'story.txt'), `${lines.join('\n')}\n`)
    process.stdout.write(`  evidence: ${this.folder} and ${this.#otherDisk}\n`)
  }

  #remove(): void {
    for (const folder of [this.folder, this.#otherDisk]) fs.rmSync(folder, { recursive: true, force: true })
  }
}

import { KvarError, toKvarError } from '../../packages/kvar/src/errors.ts'
import { Keeper } from '../../packages/kvar/src/keeper/keeper.ts'
import type { KeeperSettings } from '../../packages/kvar/src/settings/keeper-settings.ts'
import { stateFolder } from '../../packages/kvar/src/settings/names.ts'
import type { Dice } from './dice.ts'
import type { Content } from './model-database.ts'
import { readContent, rollBack } from './model-sqlite.ts'
import { SimApp } from './sim-app.ts'
import { SimDisk } from './sim-disk.ts'
import { type Habits, simPlatform } from './sim-platform.ts'
import type { SimStore } from './sim-store.ts'
import { type Route, SimTarget } from './sim-target.ts'
import { Life, type Timeline } from './timeline.ts'
import { assertHolds, type Truth } from './truth.ts'

export const DATABASE_PATH = '/data/app.db'
const CLOSE_MS = 4000
const RESTART_MS = 1000

export interface MachineOptions {
  name: string
  number: number
  timeline: Timeline
  truth: Truth
  dice: Dice
  habits: Habits
  settings: KeeperSettings
  stores: SimStore[]
  routes: Map<SimStore, Route>
}

/** A machine with a disk, an app, and the real keeper of the product between the disk and the stores. */
export class SimMachine {
  readonly options: MachineOptions
  disk: SimDisk
  app: SimApp | undefined
  keeper: Keeper | undefined
  life: Life | undefined
  state: 'off' | 'starting' | 'running' | 'stopping' = 'off'
  /** What the last life said when it could not start, or was fenced. */
  lastError: KvarError | undefined
  /** The rows of the newest commit on this disk. */
  lastRows: number[] = []
  /** The app commits nothing by itself. */
  isQuiet = false
  starts = 0
  fences = 0
  #lives = 0
  #notBeforeMs = 0

  constructor(options: MachineOptions) {
    this.options = options
    this.disk = this.#newDisk()
  }

  get name(): string {
    return this.options.name
  }

  get content(): Content | undefined {
    return readContent(this.disk, DATABASE_PATH)
  }

  /** The keeper brings the database into its right state, then the app opens it. */
  boot(): void {
    if (this.state !== 'off' || this.options.timeline.nowMs < this.#notBeforeMs) return
    this.state = 'starting'
    const keeper = this.#newKeeper()
    keeper.start(false).then(
      (report) => {
        this.#note(`started: ${report.action} ${report.version} ${report.branch ?? ''}`)
        this.starts += 1
        this.#assertStartedRight(report.version, report.action)
        this.state = 'running'
        this.app = new SimApp(this)
        if (!this.isQuiet) this.app.start()
      },
      (thrown) => {
        this.#failed(thrown)
        this.#end()
      },
    )
  }

  /** The keeper alone dies; the library starts it again under the running app. */
  killKeeper(): void {
    if (this.state !== 'running') return
    this.#note('the keeper is killed')
    this.#endLife()
    this.options.timeline.at(
      this.options.dice.between(50, 1500),
      undefined,
      `${this.name} keeper again`,
      () => {
        if (this.state !== 'running' || this.life !== undefined) return
        this.#newKeeper()
          .start(true)
          .then(
            (report) => this.#note(`resumed: ${report.action} ${report.version}`),
            (thrown) => {
              this.#failed(thrown)
              this.crash()
            },
          )
      },
    )
  }

  /** App and keeper die in one moment; what the kernel holds is still written. */
  crash(): void {
    if (this.state === 'off') return
    this.#note('crashes')
    this.#end()
  }

  powerCut(): void {
    this.#note('loses power')
    const before = new Set(this.#recovered()?.rows)
    this.#end()
    this.disk.powerCut(this.options.dice)
    const after = new Set(this.#recovered()?.rows)
    // The removal of a journal is not synced: SQLite itself may take the very last commit back.
    for (const row of this.lastRows) if (before.has(row) && !after.has(row)) this.#forgive(row)
  }

  /** The disk is gone, or what the host calls a redeploy. */
  wipe(what: 'disk' | 'database' | 'state'): void {
    this.#end()
    this.#note(`loses its ${what}`)
    if (what !== 'state') for (const row of this.#recovered()?.rows ?? []) this.#forgive(row)
    if (what === 'disk') this.disk = this.#newDisk()
    if (what === 'database') for (const end of ['', '-journal']) this.disk.remove(DATABASE_PATH + end)
    if (what === 'state') this.disk.removeTree(stateFolder(DATABASE_PATH))
  }

  /** SIGTERM: the app leaves, the keeper stores what is left. */
  stop(): void {
    const { keeper } = this
    if (this.state !== 'running' || keeper === undefined) {
      this.crash()
      return
    }
    this.state = 'stopping'
    this.app?.stop()
    keeper.close(CLOSE_MS).then(
      (left) => {
        this.#note(`closed${left === undefined ? '' : `: ${left}`}`)
        this.#end()
      },
      (thrown) => this.#failed(thrown),
    )
  }

  /** From now on the app commits only what it is told to. */
  quieten(): void {
    this.isQuiet = true
    this.app?.stop()
  }

  jumpClock(byMs: number): void {
    this.#note(`its clock jumps by ${byMs} ms`)
    this.disk.clockAheadMs += byMs
  }

  /** What an app asks for durability hears. */
  async flush(rows: readonly number[]): Promise<void> {
    const { keeper } = this
    if (keeper === undefined) return
    try {
      const { version } = await keeper.flush()
      const { truth, settings, stores } = this.options
      truth.acknowledge(
        rows,
        version,
        settings.durable === 'all' ? stores.filter((one) => one !== truth.ledger) : [],
      )
      this.#note(`acknowledged ${rows.length} rows in ${version}`)
    } catch (thrown) {
      if (!(thrown instanceof KvarError)) throw thrown
      this.#note(`no acknowledgement: ${thrown.code}`)
    }
  }

  #newKeeper(): Keeper {
    const { dice, habits, settings, stores, routes, timeline } = this.options
    const life = new Life(`${this.name}.${++this.#lives}`)
    this.life = life
    this.disk.makeFolder(stateFolder(DATABASE_PATH))
    const own = dice.fork(`life ${this.#lives}`)
    const opener = async (setting: { url: string }) => {
      const store = stores.find((one) => one.url === setting.url) as SimStore
      return new SimTarget({
        store,
        route: routes.get(store) as Route,
        life,
        timeline,
        dice: own.fork(store.name),
      })
    }
    const events = {
      changed: () => undefined,
      tell: (sentence: string) => this.#note(sentence),
      fenced: (error: KvarError) => this.#fenced(life, error),
    }
    const keeper = new Keeper(settings, simPlatform(this.disk, life, own, habits), events, opener)
    this.keeper = keeper
    return keeper
  }

  /** Fenced for good: the host ends the app, and starts it anew on the newest version. */
  #fenced(life: Life, error: KvarError): void {
    if (this.life !== life) return
    this.lastError = error
    this.fences += 1
    this.#note('is fenced')
    this.options.timeline.at(this.options.dice.between(10, 400), life, `${this.name} leaves`, () =>
      this.stop(),
    )
  }

  #failed(thrown: unknown): void {
    // An assertion that fails is a violation of its own.
    if (!(thrown instanceof KvarError) || thrown.code === 'ASSERTION') throw thrown
    this.lastError = toKvarError(thrown)
    this.#note(`fails: ${thrown.code} ${thrown.message}`)
  }

  /** After a start the app sees everything that its version holds (R4, R5). */
  #assertStartedRight(version: number, action: string): void {
    const { truth } = this.options
    const content = this.content
    if (content === undefined) throw new Error(`${this.name} started with a database that is none`)
    const known = truth.versions.get(version)
    if (known !== undefined && action !== 'stale')
      assertHolds(new Set(content.rows), known.rows, `${this.name} after its start`)
  }

  /** The content as SQLite would show it after a crash, without changing the disk. */
  #recovered(): Content | undefined {
    const copy = new SimDisk(0, this.options.timeline)
    copy.makeFolder('/data')
    for (const end of ['', '-journal']) {
      const inode = this.disk.find(DATABASE_PATH + end)
      if (inode !== undefined) copy.write(copy.create(DATABASE_PATH + end), DATABASE_PATH, inode.bytes, 0)
    }
    rollBack(copy, DATABASE_PATH)
    return readContent(copy, DATABASE_PATH)
  }

  #forgive(row: number): void {
    if (!this.options.truth.acknowledged.has(row)) this.options.truth.forgiven.add(row)
  }

  #end(): void {
    const { timeline } = this.options
    // A host waits before it starts again what has just ended.
    this.#notBeforeMs = timeline.nowMs + RESTART_MS
    timeline.at(RESTART_MS, undefined, `${this.name} may start again`, () => undefined)
    this.#endLife()
    this.app?.end()
    this.app = undefined
    this.disk.releaseLocks()
    this.state = 'off'
  }

  #endLife(): void {
    if (this.life === undefined) return
    this.life.alive = false
    this.disk.letGo(this.life)
    this.life = undefined
    this.keeper = undefined
  }

  #newDisk(): SimDisk {
    const disk = new SimDisk(this.options.number, this.options.timeline)
    disk.makeFolder(stateFolder(DATABASE_PATH))
    disk.commitNames('/')
    disk.commitNames('/data')
    return disk
  }

  #note(line: string): void {
    this.options.timeline.note(`${this.name} ${line}`)
  }
}

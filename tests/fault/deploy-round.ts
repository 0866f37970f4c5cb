import {
  type AppProcess,
  isAlive,
  KeeperWorld,
  keeperProcessId,
  killProcess,
  waitFor,
} from '../support/keeper-world.ts'
import { type RemotePlace, rowsAt, rowsOfBranches } from '../support/remote-places.ts'

/** CI may be several times slower than the machine this was written on. */
const LIMIT_MS = 90_000
const BATCH = 'INSERT INTO note(machine, body) VALUES'
const IDS = 'SELECT machine, id FROM note ORDER BY id'

export interface DeployOptions {
  place: Pick<RemotePlace, 'url' | 'secrets'>
  /** How long both instances write at the same time. */
  overlapMs: number
  /** The new instance is killed before it has changed anything. */
  rolledBack: boolean
  /**
   * Whether the old machine starts once more at the end: what it wrote after it was told lies on its disk alone,
   * and becomes a branch then. Left out where only the server differs and every second counts.
   */
  startsAgain: boolean
}

export interface DeployFigures {
  /** Rows that were said to be stored, by the old and by the new instance. */
  acknowledged: Record<Machine, number>
  committed: Record<Machine, number>
  branches: number
}

type Machine = 'old' | 'new'

/**
 * A deploy under load: the old instance writes and flushes without pause, the new one starts beside it, and
 * either takes over or is rolled back. Whatever was acknowledged is in the log afterwards, what the old one
 * was refused is a branch, and whatever it committed is in the log or a branch once it has started again.
 *
 * @throws Error that names what was lost
 */
export async function deployRound(options: DeployOptions): Promise<DeployFigures> {
  const world = new KeeperWorld()
  try {
    return await new Deploy(world, options).run()
  } finally {
    await world.end()
  }
}

class Deploy {
  readonly #world: KeeperWorld
  readonly #options: DeployOptions
  readonly #acknowledged = { old: 0, new: 0 }
  readonly #committed = { old: 0, new: 0 }

  constructor(world: KeeperWorld, options: DeployOptions) {
    this.#world = world
    this.#options = options
  }

  async run(): Promise<DeployFigures> {
    const old = await this.#start('old')
    await old.sql('CREATE TABLE note(id INTEGER PRIMARY KEY, machine, body)')
    await old.sql(`${BATCH} ('old', 'the first')`)
    await old.flush()
    await this.#write(old, 'old')
    const flushing = this.#flushUntilFenced(old, 'old')
    await waitFor('the old instance has stored something', () => this.#acknowledged.old > 3, LIMIT_MS)
    const fresh = await this.#start('new')
    if (this.#options.rolledBack) await this.#rollBack(old, fresh, flushing)
    else await this.#handOver(old, fresh, flushing)
    return this.#judge()
  }

  #start(machine: Machine): Promise<AppProcess> {
    const { url, secrets } = this.#options.place
    const path = this.#world.path(machine, 'app.db')
    // Long enough not to be taken back beside a new instance that writes, short enough to be seen.
    const limits = { takeBackMs: this.#options.rolledBack ? 1500 : 60_000 }
    return this.#world.app(path, { targets: [url], interval: '50ms', limits, variables: secrets })
  }

  #write(app: AppProcess, machine: Machine): Promise<unknown> {
    const text = `${BATCH} ('${machine}', randomblob(300))`
    return app.call('writeUntilTold', { text, pauseMs: 8 })
  }

  /** Resolves with the reason when a flush is refused, or undefined when it was told to stop. */
  async #flushUntilFenced(app: AppProcess, machine: Machine): Promise<string | undefined> {
    for (; !this.#stopFlushing; ) {
      const count = await this.#countOn(app, machine)
      try {
        await app.flush()
        this.#acknowledged[machine] = count
      } catch (thrown) {
        this.#refused = count
        return (thrown as { code: string }).code
      }
    }
    return undefined
  }
  #stopFlushing = false
  /** Rows that the old instance asked to be stored when it heard that it was too late. */
  #refused = 0

  async #countOn(app: AppProcess, machine: Machine): Promise<number> {
    const [row] = await app.all(`SELECT count(*) AS n FROM note WHERE machine = '${machine}'`)
    return row?.n ?? 0
  }

  async #handOver(old: AppProcess, fresh: AppProcess, flushing: Promise<string | undefined>) {
    await this.#write(fresh, 'new')
    await Promise.all([pauseOf(this.#options.overlapMs), fresh.flush()])
    const reason = await inTime(flushing, 'the old instance is not told that it was taken over')
    if (reason !== 'FENCED') throw new Error(`the old instance ended with ${reason}, not FENCED`)
    await this.#leave(old, 'old')
    await fresh.call('stopWriting')
    const count = await this.#countOn(fresh, 'new')
    await fresh.flush()
    this.#acknowledged.new = count
    await this.#leave(fresh, 'new')
    if (!this.#options.startsAgain) return
    const again = await this.#start('old')
    await again.call('close')
  }

  async #rollBack(old: AppProcess, fresh: AppProcess, flushing: Promise<string | undefined>) {
    await this.#leave(fresh, 'new')
    const before = this.#acknowledged.old
    await pauseOf(this.#options.overlapMs)
    await waitFor('the old instance stores again', () => this.#acknowledged.old > before + 3, LIMIT_MS)
    this.#stopFlushing = true
    const reason = await inTime(flushing, 'the last flush of the old instance does not end')
    if (reason !== undefined) throw new Error(`the old instance was refused with ${reason} after a roll-back`)
    await this.#leave(old, 'old')
  }

  /** As a crash: nothing is stored any more. */
  async #leave(app: AppProcess, machine: Machine): Promise<void> {
    await app.call('stopWriting')
    this.#committed[machine] = await this.#countOn(app, machine)
    const keeper = keeperProcessId(this.#world.path(machine, 'app.db'))
    await app.kill()
    killProcess(keeper)
    await waitFor('the keeper is gone', () => !isAlive(keeper), LIMIT_MS)
  }

  async #judge(): Promise<DeployFigures> {
    const { place, rolledBack, startsAgain } = this.#options
    const scratch = this.#world.folder
    const rows = await rowsAt<Row>(place, scratch, IDS)
    const branches = await rowsOfBranches<Row>(place, scratch, IDS)
    for (const machine of ['old', 'new'] as const) {
      assertBegins(idsOf(rows, machine), this.#acknowledged[machine], `acknowledged by the ${machine} one`)
    }
    const wanted = startsAgain && !rolledBack ? this.#committed.old : this.#refused
    const kept = new Set([rows, ...branches.map((one) => one.rows)].flatMap((all) => idsOf(all, 'old')))
    if (kept.size < wanted)
      throw new Error(`of ${wanted} rows of the old one ${kept.size} are in the log or a branch`)
    return {
      acknowledged: this.#acknowledged,
      committed: this.#committed,
      branches: branches.length,
    }
  }
}

interface Row {
  machine: string
  id: number
}

function idsOf(rows: Row[], machine: Machine): number[] {
  return rows.filter((row) => row.machine === machine).map((row) => row.id)
}

/** One connection wrote them, so what is there is a beginning without gaps. */
function assertBegins(ids: number[], least: number, what: string): void {
  if (ids.length < least) throw new Error(`${least} rows were ${what}, the log holds ${ids.length}`)
  const gap = ids.findIndex((id, index) => id !== (ids[0] as number) + index)
  if (gap !== -1) throw new Error(`a row before ${ids[gap]} is missing of those ${what}`)
}

function inTime<T>(work: Promise<T>, otherwise: string): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(otherwise)), LIMIT_MS)
  })
  return Promise.race([work, late]).finally(() => clearTimeout(timer))
}

function pauseOf(forMs: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, forMs))
}

import { branchLog, listBranches } from '../../packages/kvar/src/log/branches.ts'
import { restoreToFile } from '../../packages/kvar/src/log/restore.ts'
import { VersionLog } from '../../packages/kvar/src/log/version-log.ts'
import { backupCopyPath } from '../../packages/kvar/src/settings/names.ts'
import type { Target } from '../../packages/kvar/src/targets/target.ts'
import { databaseChecksum, decode } from './model-database.ts'
import { heal } from './scenario.ts'
import { SimDisk } from './sim-disk.ts'
import { DATABASE_PATH, type SimMachine } from './sim-machine.ts'
import { simPlatform } from './sim-platform.ts'
import type { SimStore } from './sim-store.ts'
import { FAIR_WEATHER, SimTarget } from './sim-target.ts'
import { Life } from './timeline.ts'
import { assertHolds, headOf, Violation } from './truth.ts'
import type { World } from './world.ts'

/** Once faults have stopped, everything has to come right within this time of the world. */
const PATIENCE_MS = 300_000
const START_PATIENCE_MS = 60_000
/** Longer than any pause of the keeper between two tries. */
const TRY_MS = 75_000
/** How many quiet minutes in a row count as idle, and after how many others they have to come. */
const IDLE_MINUTES = 2
const BUSY_MINUTES = 8
/** A look each second: the tick of a timer, and the timer that carries it out. */
const WAKES_A_MINUTE = 130
/** Requests that were given up may still be under way for so long. */
const LATE_MS = 20_000

/**
 * After the faults: one machine goes on, and everything becomes durable, followers catch up, copies
 * are current, an idle keeper does nothing. Then every other machine gives up what only it holds, and
 * all logs and branches are restored and looked at.
 */
export async function goodTimes(world: World): Promise<void> {
  heal(world)
  for (const machine of world.machines) machine.quieten()
  const survivor = world.dice.pick(world.machines)
  await stopAll(world, (machine) => machine !== survivor)
  await becomeSafe(world, survivor)
  await stayIdle(world, survivor)
  await stopAll(world, () => true)
  await handOver(world)
  await audit(world)
}

async function within(
  world: World,
  what: string,
  isMet: () => boolean,
  limitMs = PATIENCE_MS,
): Promise<void> {
  if (!(await world.timeline.until(isMet, limitMs)))
    throw new Violation(`waited ${limitMs / 1000} s in vain until ${what}`)
}

async function stopAll(world: World, isMeant: (machine: SimMachine) => boolean): Promise<void> {
  const meant = world.machines.filter(isMeant)
  for (const machine of meant) if (machine.state !== 'off') machine.stop()
  await within(world, 'the machines have stopped', () => meant.every(({ state }) => state === 'off'), LATE_MS)
}

/** One more commit, and the flush after it has to be acknowledged, whatever happened before. */
async function becomeSafe(world: World, machine: SimMachine): Promise<void> {
  const { truth } = world
  await running(world, machine)
  let wanted: number | undefined
  const tryAgain = () => {
    if (machine.state === 'off') machine.boot()
    machine.app?.commit(1, () => {
      wanted = machine.lastRows.at(-1) ?? wanted
      void machine.flush(machine.content?.rows ?? [])
    })
  }
  const isSafe = () => wanted !== undefined && truth.acknowledged.has(wanted)
  for (let tries = 0; !isSafe() && tries < PATIENCE_MS / TRY_MS; tries++) {
    tryAgain()
    await world.timeline.until(isSafe, TRY_MS)
  }
  if (!isSafe())
    throw new Violation(`the last commit never became durable: ${machine.lastError?.message ?? ''}`)
  await within(world, 'followers have caught up', () =>
    world.followers.every((store) => headOf(store) === truth.head),
  )
  if (world.settings.copies.includes('backup'))
    await within(world, 'the copy is current', () => copyIsCurrent(machine))
}

async function running(world: World, machine: SimMachine): Promise<void> {
  const isRunning = () => {
    if (machine.state === 'off') machine.boot()
    return machine.state === 'running' && machine.keeper !== undefined
  }
  const isMet = await world.timeline.until(isRunning, START_PATIENCE_MS)
  if (!isMet) throw new Violation(`${machine.name} cannot start: ${machine.lastError?.message ?? 'no error'}`)
}

function copyIsCurrent(machine: SimMachine): boolean {
  const copy = machine.disk.find(backupCopyPath(DATABASE_PATH))
  const database = machine.disk.find(DATABASE_PATH)
  return copy !== undefined && database !== undefined && Buffer.compare(copy.bytes, database.bytes) === 0
}

/**
 * R9: no requests, no writes, no timer faster than 1 Hz. What a keeper does once after its start (it
 * rehearses a restore, it looks at its page table) may take a few minutes; then there is rest.
 */
async function stayIdle(world: World, machine: SimMachine): Promise<void> {
  let busy: string | undefined
  for (let minute = 0, idleMinutes = 0; idleMinutes < IDLE_MINUTES; minute++) {
    if (minute === BUSY_MINUTES) throw new Violation(`an idle keeper ${busy} in a minute`)
    busy = await idleMinute(world, machine)
    idleMinutes = busy === undefined ? idleMinutes + 1 : 0
  }
}

/** What was done in a minute in which nothing had to be done. */
async function idleMinute({ timeline, stores }: World, { disk }: SimMachine): Promise<string | undefined> {
  const requests = () => stores.reduce((sum, store) => sum + store.requests, 0)
  const before = { requests: requests(), writes: disk.writes, events: timeline.count }
  await timeline.run(60_000)
  if (requests() > before.requests) return `sent ${requests() - before.requests} requests`
  if (disk.writes > before.writes) return `wrote ${disk.writes - before.writes} times`
  const wakes = timeline.count - before.events
  return wakes > WAKES_A_MINUTE ? `woke ${wakes} times` : undefined
}

/** Each disk that is left is started from once more: what only it holds becomes a branch. */
async function handOver(world: World): Promise<void> {
  for (const machine of world.machines) {
    await running(world, machine)
    await stopAll(world, (one) => one === machine)
  }
}

/** Restores every log and every branch with the product's own code, on a machine of its own. */
async function audit(world: World): Promise<void> {
  const { truth, timeline } = world
  await timeline.run(LATE_MS)
  const auditor = new Auditor(world)
  const kept = new Set<number>()
  for (const store of world.stores) {
    const rows = await auditor.newestRows(store)
    assertHolds(rows, truth.acknowledged, `the newest version on ${store.name}`)
    for (const row of [...rows, ...(await auditor.branchRows(store))]) kept.add(row)
  }
  const wanted = [...truth.committed].filter((row) => !truth.forgiven.has(row))
  assertHolds(kept, wanted, 'the logs with all their branches')
}

class Auditor {
  readonly #world: World
  readonly #life = new Life('auditor')
  readonly #disk: SimDisk

  constructor(world: World) {
    this.#world = world
    this.#disk = new SimDisk(99, world.timeline)
  }

  async newestRows(store: SimStore): Promise<ReadonlySet<number>> {
    return this.#rows(store, (target) => new VersionLog(target))
  }

  async branchRows(store: SimStore): Promise<number[]> {
    const branches = await this.#perform(listBranches(this.#target(store)))
    const rows: number[] = []
    for (const { id } of branches) rows.push(...(await this.#rows(store, (target) => branchLog(target, id))))
    return rows
  }

  async #rows(store: SimStore, logOf: (target: Target) => VersionLog): Promise<ReadonlySet<number>> {
    const { truth } = this.#world
    if (store === truth.ledger && truth.head === 0) return new Set()
    const platform = this.#platform()
    const log = logOf(this.#target(store))
    const plan = await this.#perform(log.plan({ kind: 'latest' }))
    await this.#perform(restoreToFile({ log, plan, path: '/restored', platform }))
    const bytes = this.#disk.find('/restored')?.bytes ?? new Uint8Array(0)
    this.#disk.remove('/restored')
    if (decode(bytes) === undefined) throw new Violation(`what ${log.name} restores is no database`)
    return truth.rowsOf(databaseChecksum(bytes), log.name)
  }

  #platform() {
    const { dice } = this.#world
    return simPlatform(this.#disk, this.#life, dice.fork('auditor'), { watchable: true, locksVisible: true })
  }

  #target(store: SimStore): SimTarget {
    const { timeline, dice } = this.#world
    const route = { weather: FAIR_WEATHER, cut: 'no' as const }
    // By now nothing is too new to be listed.
    store.listLagMs = 0
    return new SimTarget({ store, route, life: this.#life, timeline, dice: dice.fork('audit') })
  }

  async #perform<T>(work: Promise<T>): Promise<T> {
    let isSettled = false
    const end = () => {
      isSettled = true
    }
    work.then(end, end)
    await within(this.#world, 'the auditor has looked', () => isSettled, PATIENCE_MS)
    return work
  }
}

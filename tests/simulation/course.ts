import { listBranches } from '../../packages/kvar/src/log/branches.ts'
import type { SimMachine } from './sim-machine.ts'
import { FAIR_WEATHER, SimTarget } from './sim-target.ts'
import { Life } from './timeline.ts'
import { World } from './world.ts'

/** For courses of events that a test goes through step by step, in a world without disturbances. */
const PATIENCE_MS = 60_000

/** The first world that fits; its apps commit only what they are told to. */
export function quietWorld(isFit: (world: World) => boolean): World {
  for (let seed = 1; ; seed++) {
    const world = new World(seed)
    if (!isFit(world)) continue
    for (const machine of world.machines) machine.quieten()
    return world
  }
}

export async function until(world: World, isMet: () => boolean): Promise<void> {
  if (!(await world.timeline.until(isMet, PATIENCE_MS))) throw new Error('it never came')
}

/** One commit of its own, stored or not. */
export async function commit(world: World, machine: SimMachine, isStored: boolean): Promise<number[]> {
  let rows: number[] | undefined
  machine.app?.commit(2, () => {
    rows = machine.lastRows
    if (isStored) void machine.flush(machine.content?.rows ?? [])
  })
  const { acknowledged } = world.truth
  await until(world, () => rows !== undefined && (!isStored || rows.every((row) => acknowledged.has(row))))
  return rows ?? []
}

export async function branchesOf(world: World) {
  const [store] = world.stores
  if (store === undefined) throw new Error('a world without a ledger')
  const route = { weather: FAIR_WEATHER, cut: 'no' as const }
  const { timeline, dice } = world
  const listing = listBranches(new SimTarget({ store, route, life: new Life('look'), timeline, dice }))
  let isDone = false
  listing.finally(() => {
    isDone = true
  })
  await until(world, () => isDone)
  return listing
}

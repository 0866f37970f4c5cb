/*
 * Goal: what an app makes on a machine that started without the ledger's answer never buries what was
 * acknowledged before, even when its keeper dies and is started again meanwhile (DESIGN, Start: stale; R1, R2).
 * Method: the course of the seed that found it, step by step: a machine loses its database but not its
 * keeper's state, starts stale and empty, the keeper is killed, the network comes back.
 */
import { describe, expect, it } from 'vitest'
import { listBranches } from '../../packages/kvar/src/log/branches.ts'
import { heal } from './scenario.ts'
import type { SimMachine } from './sim-machine.ts'
import { FAIR_WEATHER, SimTarget } from './sim-target.ts'
import { Life } from './timeline.ts'
import { World } from './world.ts'

const PATIENCE_MS = 60_000

/** A world with one machine, where starting stale is allowed. */
function staleWorld(): World {
  for (let seed = 1; ; seed++) {
    const world = new World(seed)
    const isFit = world.machines.length === 1 && world.stores.length === 1
    if (isFit && world.settings.onUnreachable === 'stale') return world
  }
}

async function until(world: World, isMet: () => boolean): Promise<void> {
  expect(await world.timeline.until(isMet, PATIENCE_MS)).toBe(true)
}

/** One commit of its own, stored or not. */
async function commit(world: World, machine: SimMachine, isStored: boolean): Promise<number[]> {
  let rows: number[] | undefined
  machine.app?.commit(2, () => {
    rows = machine.lastRows
    if (isStored) void machine.flush(machine.content?.rows ?? [])
  })
  const { acknowledged } = world.truth
  await until(world, () => rows !== undefined && (!isStored || rows.every((row) => acknowledged.has(row))))
  return rows ?? []
}

async function branchesOf(world: World) {
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

/** The file of version 1 goes, as retention lets it go once a snapshot holds its content. */
function thinOut(world: World): void {
  const objects = world.stores[0]?.objects
  const name = '0000000000000001-0000000000000001.ltx'
  const first = objects?.get(`ltx/0/${name}`)
  if (first !== undefined) objects?.set(`ltx/9/${name}`, first)
  objects?.delete(`ltx/0/${name}`)
}

describe('a stale start on a database that is gone', () => {
  const courses = [
    { isKilled: false, isThinned: false },
    { isKilled: true, isThinned: false },
    { isKilled: true, isThinned: true },
  ]

  it.each(courses)('keeps what was stored as the newest version: %o', async ({ isKilled, isThinned }) => {
    const world = staleWorld()
    const [machine] = world.machines as [SimMachine]
    machine.quieten()
    machine.boot()
    await until(world, () => machine.state === 'running')
    await commit(world, machine, false)
    await commit(world, machine, true)
    await commit(world, machine, true)
    const { head } = world.truth

    machine.crash()
    machine.wipe('database')
    if (isThinned) thinOut(world)
    for (const route of world.routes) route.cut = 'refused'
    await world.timeline.run(2000)
    machine.boot()
    await until(world, () => machine.state === 'running')
    await commit(world, machine, false)
    await commit(world, machine, false)
    if (isKilled) machine.killKeeper()
    heal(world)
    await until(world, () => machine.fences > 0)

    // The observer would have thrown at a newer version without the acknowledged rows.
    expect(world.truth.head).toBe(head)
    expect(await branchesOf(world)).toMatchObject([{ reason: 'fenced' }])
  })
})

/*
 * Goal: what an app makes on a machine that started without the ledger's answer never buries what was
 * acknowledged before, even when its keeper dies and is started again meanwhile (DESIGN, Start: stale; R1, R2).
 * Method: the course of the seed that found it, step by step: a machine loses its database but not its
 * keeper's state, starts stale and empty, the keeper is killed, the network comes back.
 */
import { describe, expect, it } from 'vitest'
import { branchesOf, commit, quietWorld, until } from './course.ts'
import { heal } from './scenario.ts'
import type { SimMachine } from './sim-machine.ts'
import type { World } from './world.ts'

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
    const world = quietWorld(
      ({ machines, stores, settings }) =>
        machines.length === 1 && stores.length === 1 && settings.onUnreachable === 'stale',
    )
    const [machine] = world.machines as [SimMachine]
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

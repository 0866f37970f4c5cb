/*
 * Goal: a keeper that never heard that its first version was stored, and dies, does not take what
 * another machine stored meanwhile for its own when it is started again under its app (R2, R3, R10).
 * Method: the course of the seed that found it, step by step.
 */
import { expect, it } from 'vitest'
import { branchesOf, commit, quietWorld, until } from './course.ts'
import { heal } from './scenario.ts'
import type { SimMachine } from './sim-machine.ts'
import { FAIR_WEATHER } from './sim-target.ts'

it('a keeper that was never confirmed keeps its changes as a branch when another machine went on', async () => {
  const world = quietWorld(({ machines, stores }) => machines.length > 1 && stores.length === 1)
  const [first, second] = world.machines as [SimMachine, SimMachine]
  first.boot()
  await until(world, () => first.state === 'running')
  for (const route of first.options.routes.values()) route.weather = { ...FAIR_WEATHER, lostAnswers: 1 }
  await commit(world, first, false)
  void first.flush([])
  await until(world, () => world.truth.head === 1)

  second.boot()
  await until(world, () => second.state === 'running')
  const stored = await commit(world, second, true)
  const { head } = world.truth
  await commit(world, first, false)
  first.killKeeper()
  heal(world)
  await until(world, () => first.fences > 0)

  expect(world.truth.head).toBe(head)
  expect([...(world.truth.versions.get(head)?.rows ?? [])]).toEqual(expect.arrayContaining(stored))
  expect(await branchesOf(world)).toMatchObject([{ reason: 'fenced' }])
})

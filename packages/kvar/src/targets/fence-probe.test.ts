// Goal: a target that cannot fence is found out before it decides anything. Method: the probe on a
// target that keeps the contract, and on five that break it as real servers were seen to or might: one
// ignores the condition, one looks first and stores then, one tells everybody "created", one says "exists" and stores
// all the same.

import { setTimeout as pause } from 'node:timers/promises'
import { expect, it } from 'vitest'
import { MemoryTarget } from '../../../../tests/support/memory-target.ts'
import { systemPlatform } from '../platform/system.ts'
import { probeFence } from './fence-probe.ts'
import { type CreateOptions, type ObjectBody, TargetError } from './target.ts'
import { WrappedTarget } from './wrappers/wrapped-target.ts'

const probe = (target: MemoryTarget | WrappedTarget) =>
  probeFence(target, { platform: systemPlatform, prefix: 'kvar/proof/' })

async function left(target: MemoryTarget | WrappedTarget): Promise<string[]> {
  const keys = []
  for await (const { key } of target.list('')) keys.push(key)
  return keys
}

class Overwriting extends WrappedTarget {
  override async create(key: string, body: ObjectBody, _: CreateOptions): Promise<'created' | 'exists'> {
    await this.inner.replace(key, body)
    return 'created'
  }
}

class LookingFirst extends WrappedTarget {
  override async create(key: string, body: ObjectBody, _: CreateOptions): Promise<'created' | 'exists'> {
    if ((await this.inner.read(key)) !== undefined) return 'exists'
    await pause(5)
    await this.inner.replace(key, body)
    return 'created'
  }
}

/** The first object stays, but everybody who asks at the same moment is told that it is theirs. */
class Flattering extends WrappedTarget {
  override async create(
    key: string,
    body: ObjectBody,
    options: CreateOptions,
  ): Promise<'created' | 'exists'> {
    const isFree = (await this.inner.read(key)) === undefined
    await pause(5)
    await this.inner.create(key, body, options)
    return isFree ? 'created' : 'exists'
  }
}

class Lying extends WrappedTarget {
  override async create(
    key: string,
    body: ObjectBody,
    options: CreateOptions,
  ): Promise<'created' | 'exists'> {
    const outcome = await this.inner.create(key, body, options)
    await this.inner.replace(key, body)
    return outcome
  }
}

/** Says "created" to everybody and keeps the first: found by what is there in the end of a second create. */
class Forgetful extends WrappedTarget {
  override async create(
    key: string,
    body: ObjectBody,
    options: CreateOptions,
  ): Promise<'created' | 'exists'> {
    await this.inner.create(key, body, options)
    return 'created'
  }
}

/** Answers one writer of a key at a time and sends the others away, as some providers do. */
class Shy extends WrappedTarget {
  readonly #busy = new Set<string>()
  override async create(
    key: string,
    body: ObjectBody,
    options: CreateOptions,
  ): Promise<'created' | 'exists'> {
    if (this.#busy.has(key)) throw new TargetError('temporary', 'one at a time')
    this.#busy.add(key)
    await pause(1)
    return this.inner.create(key, body, options).finally(() => this.#busy.delete(key))
  }
}

class Refusing extends WrappedTarget {
  override create(): Promise<'created' | 'exists'> {
    return Promise.reject(new TargetError('denied', 'no'))
  }
}

it('believes a target that refuses, and leaves nothing behind', async () => {
  const target = new MemoryTarget()
  expect(await probe(target)).toBe('refuses')
  expect(await left(target)).toEqual([])
})

it.each([
  ['overwrites', Overwriting],
  ['races', LookingFirst],
  ['races', Flattering],
  ['overwrites', Lying],
  ['overwrites', Forgetful],
] as const)('finds out one that %s', async (expected, Liar) => {
  const target = new Liar(new MemoryTarget())
  expect(await probe(target)).toBe(expected)
  expect(await left(target)).toEqual([])
})

it('takes no harm from a target that sends all but one of a crowd away', async () => {
  expect(await probe(new Shy(new MemoryTarget()))).toBe('refuses')
})

it('does not race on this machine: its own kernel would decide', async () => {
  const target = new MemoryTarget()
  const creates: string[] = []
  const create = target.create.bind(target)
  target.create = (key, body, options) => {
    creates.push(key)
    return create(key, body, options)
  }
  Object.assign(target, { capabilities: { ...target.capabilities, deviceId: 1 } })
  expect(await probe(target)).toBe('refuses')
  expect(creates).toHaveLength(2)
})

it('lets errors through: a target that denies has proved nothing', async () => {
  await expect(probe(new Refusing(new MemoryTarget()))).rejects.toMatchObject({ failure: 'denied' })
})

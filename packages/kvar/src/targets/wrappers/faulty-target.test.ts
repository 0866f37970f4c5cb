// Goal: every planned fault happens exactly as named, nothing else does, and the same random numbers
// give the same faults; the meter counts what went through. Method: a target in memory, a clock that
// only moves when told.

import { describe, expect, it } from 'vitest'
import { ManualClock } from '../../../../../tests/contract/manual-clock.ts'
import { MemoryTarget } from '../../../../../tests/support/memory-target.ts'
import { readAll, type Target } from '../target.ts'
import { type Fault, type FaultPlan, faultFrom, faultOnce, randomFaults } from './fault-plans.ts'
import { withFaults } from './faulty-target.ts'
import { withMetering } from './metering-target.ts'

const options = { modifiedAtMs: 1 }
const body = Uint8Array.from({ length: 1000 }, (_, index) => index % 251)

async function setUp(plan?: FaultPlan) {
  const clock = new ManualClock()
  const inner = new MemoryTarget()
  for (const key of ['a', 'b', 'c']) await inner.create(key, body, options)
  return { clock, inner, faulty: withFaults(inner, { clock, ...(plan ? { plan } : {}) }) }
}

async function keys(target: Target): Promise<string[]> {
  const seen: string[] = []
  for await (const { key } of target.list('')) seen.push(key)
  return seen
}

describe('faults', () => {
  it('fail before: nothing was done', async () => {
    const { faulty, inner } = await setUp(faultOnce(1, { kind: 'fail-before', failure: 'full' }))
    await expect(faulty.create('d', body, options)).rejects.toMatchObject({ failure: 'full' })
    expect(inner.objects.has('d')).toBe(false)
    expect(await faulty.create('d', body, options)).toBe('created')
  })

  it('fail after: it was done, and denied', async () => {
    const { faulty, inner } = await setUp(faultFrom(1, { kind: 'fail-after' }))
    await expect(faulty.create('d', body, options)).rejects.toMatchObject({ failure: 'temporary' })
    await expect(faulty.remove(['a'])).rejects.toMatchObject({ failure: 'temporary' })
    await expect(faulty.read('b')).rejects.toMatchObject({ failure: 'temporary' })
    await expect(keys(faulty)).rejects.toMatchObject({ failure: 'temporary' })
    expect([...inner.objects.keys()].sort()).toEqual(['b', 'c', 'd'])
  })

  it('delay: only the clock decides', async () => {
    const { faulty, clock, inner } = await setUp(faultOnce(1, { kind: 'delay', delayMs: 5000 }))
    const creating = faulty.create('d', body, options)
    await clock.turn()
    expect(inner.objects.has('d')).toBe(false)
    clock.fireNext()
    expect(await creating).toBe('created')
  })

  it('hang: until released or aborted', async () => {
    const { faulty, clock } = await setUp(faultFrom(1, { kind: 'hang' }))
    const stop = new AbortController()
    const first = faulty.create('d', body, options)
    const second = faulty.create('e', body, { ...options, signal: stop.signal })
    await clock.turn()
    expect(faulty.hanging).toBe(2)
    stop.abort()
    await expect(second).rejects.toMatchObject({ code: 'CANCELLED' })
    faulty.release()
    expect(await first).toBe('created')
    expect(faulty.hanging).toBe(0)
  })

  it('truncated, broken off and damaged reads', async () => {
    const { faulty } = await setUp()
    const read = async (fault: Fault) => {
      faulty.plan = () => fault
      return (await readAll(faulty, 'a')) as Uint8Array
    }
    expect(await read({ kind: 'truncate', keepBytes: 10 })).toHaveLength(10)
    expect(await read({ kind: 'truncate', keepBytes: 5000 })).toHaveLength(1000)
    await expect(read({ kind: 'break-off', keepBytes: 10 })).rejects.toMatchObject({ failure: 'temporary' })
    const wrong = await read({ kind: 'flip-bit', bit: 13 })
    expect(
      [...wrong].flatMap((byte, index) =>
        byte === body[index] ? [] : [[index, byte ^ (body[index] as number)]],
      ),
    ).toEqual([[1, 32]])
    expect(body[1]).toBe(1)
  })

  it('late and repeated listings', async () => {
    const { faulty } = await setUp()
    faulty.plan = () => ({ kind: 'late-listing', missing: 2 })
    expect(await keys(faulty)).toEqual(['a'])
    faulty.plan = () => ({ kind: 'repeated-listing' })
    expect(await keys(faulty)).toEqual(['a', 'a', 'b', 'b', 'c', 'c'])
  })

  it('offline: calls and open streams fail until it is over', async () => {
    const { faulty } = await setUp()
    const stream = (await faulty.read('a')) as AsyncIterable<Uint8Array>
    faulty.offline = true
    await expect(
      (async () => {
        for await (const _ of stream);
      })(),
    ).rejects.toMatchObject({ failure: 'temporary' })
    await expect(faulty.create('d', body, options)).rejects.toMatchObject({ failure: 'temporary' })
    await expect(keys(faulty)).rejects.toMatchObject({ failure: 'temporary' })
    faulty.offline = false
    expect(await faulty.create('d', body, options)).toBe('created')
  })

  it('the same random numbers give the same faults, at about the rate asked for', () => {
    const run = () => {
      let state = 42
      const fraction = () => {
        state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
        return state / 2 ** 32
      }
      const plan = randomFaults({ fraction }, { 'fail-after': 0.1, 'flip-bit': 0.2, delay: 0.1 })
      return Array.from({ length: 2000 }, (_, index) =>
        plan({ number: index, verb: index % 2 ? 'read' : 'create', key: 'a' }),
      )
    }
    const faults = run()
    expect(run()).toEqual(faults)
    const count = (kind: Fault['kind']) => faults.filter((fault) => fault?.kind === kind).length
    expect(count('fail-after')).toBeGreaterThan(140)
    expect(count('fail-after')).toBeLessThan(260)
    expect(faults.some((fault, index) => fault?.kind === 'flip-bit' && index % 2 === 0)).toBe(false)
  })
})

describe('the meter', () => {
  it('counts requests, failures and bytes, once each', async () => {
    const { faulty } = await setUp()
    const metered = withMetering(faulty)
    await metered.create('d', body, options)
    await metered.create('e', { sizeBytes: 1000, open: () => oneByOne(body) }, options)
    await metered.replace('f', body)
    await readAll(metered, 'd')
    await metered.read('nothing')
    await keys(metered)
    await metered.remove(['d'])
    faulty.offline = true
    await expect(metered.remove(['e'])).rejects.toThrow()
    await expect(keys(metered)).rejects.toThrow()
    expect(metered.meter).toEqual({
      requests: { create: 2, replace: 1, read: 2, list: 2, remove: 2 },
      failures: 2,
      bytesUp: 3000,
      bytesDown: 1000,
    })
  })
})

async function* oneByOne(bytes: Uint8Array): AsyncIterable<Uint8Array> {
  for (let index = 0; index < bytes.length; index += 100) yield bytes.subarray(index, index + 100)
}

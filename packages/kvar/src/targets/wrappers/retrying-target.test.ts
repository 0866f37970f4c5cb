// Goal: temporary failures are tried again within named limits, everything else is not; a create that
// succeeded unseen is ours, another's is not; a hung target ends in time. Method: a target in memory
// inside the faulty wrapper, with a clock that only moves when told.

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { ManualClock } from '../../../../../tests/contract/manual-clock.ts'
import { MemoryTarget } from '../../../../../tests/support/memory-target.ts'
import type { Random } from '../../platform/random.ts'
import { type ObjectBody, type ObjectSource, readAll, type Target, TargetError } from '../target.ts'
import type { RetryReport } from './attempts.ts'
import { equalsBody } from './compare-body.ts'
import { type Fault, type FaultPlan, faultFrom, faultOnce } from './fault-plans.ts'
import { withFaults } from './faulty-target.ts'
import { DEFAULT_RETRY_POLICY, type RetryPolicy, retryDelayMs } from './retry-policy.ts'
import { withRetries } from './retrying-target.ts'

const fullJitter: Random = { bytes: (count) => new Uint8Array(count), fraction: () => 0.999_999 }
const body = new TextEncoder().encode('the changed pages')
const options = { modifiedAtMs: 1 }

function setUp(plan: FaultPlan, policy: Partial<RetryPolicy> = {}, inner: Target = new MemoryTarget()) {
  const clock = new ManualClock()
  const faulty = withFaults(inner, { clock, plan })
  const reports: RetryReport[] = []
  const onRetry = (report: RetryReport) => void reports.push(report)
  const target = withRetries(faulty, { platform: { clock, random: fullJitter }, policy, onRetry })
  return { clock, faulty, inner, target, reports }
}

const sourceOf = (bytes: Uint8Array, step: number): ObjectSource => ({
  sizeBytes: bytes.length,
  async *open() {
    for (let offset = 0; offset < bytes.length; offset += step) yield bytes.subarray(offset, offset + step)
  },
})

describe('trying again', () => {
  it('goes on until it succeeds, waits longer each time, and reports every wait', async () => {
    const { clock, target, reports } = setUp((call) =>
      call.number < 5 ? { kind: 'fail-before' } : undefined,
    )
    expect(await clock.run(target.create('a', body, options))).toBe('created')
    expect(reports.map(({ failedTries }) => failedTries)).toEqual([1, 2, 3, 4])
    expect(reports.map(({ delayMs }) => Math.round(delayMs))).toEqual([200, 400, 800, 1600])
    expect(reports[0]).toMatchObject({ url: target.url, doing: `create "a" on ${target.url}` })
    expect(clock.pending).toBe(0)
  })

  it('stops at maxTries with the last failure', async () => {
    const { clock, target, faulty } = setUp(faultFrom(1, { kind: 'fail-before' }), { maxTries: 3 })
    await expect(clock.run(target.replace('a', body))).rejects.toMatchObject({ failure: 'temporary' })
    expect(faulty.calls).toHaveLength(3)
  })

  it('stops before a wait that would pass the deadline of the call', async () => {
    const fault: Fault = { kind: 'fail-before', retryAfterMs: 40_000 }
    const { clock, target, faulty } = setUp(faultFrom(1, fault), { callDeadlineMs: 100_000, maxTries: 100 })
    await expect(clock.run(target.remove(['a']))).rejects.toMatchObject({ retryAfterMs: 40_000 })
    expect(faulty.calls).toHaveLength(3)
  })

  it('waits at least as long as the provider asked', async () => {
    const { clock, target, reports } = setUp(faultOnce(1, { kind: 'fail-before', retryAfterMs: 7000 }))
    await clock.run(target.create('a', body, options))
    expect(reports[0]?.delayMs).toBe(7000)
  })

  it.each(['denied', 'full', 'permanent'] as const)('does not try again what was %s', async (failure) => {
    const { clock, target, faulty } = setUp(faultFrom(1, { kind: 'fail-before', failure }))
    const verbs: Array<() => Promise<unknown>> = [
      () => target.create('a', body, options),
      () => target.replace('a', body),
      () => target.read('a'),
      () => target.remove(['a']),
      () => keys(target),
    ]
    for (const verb of verbs) await expect(clock.run(verb())).rejects.toMatchObject({ failure })
    expect(faulty.calls).toHaveLength(verbs.length)
  })

  it('ends a wait at once when the caller aborts', async () => {
    const { clock, target, faulty } = setUp(faultFrom(1, { kind: 'fail-before' }))
    const stop = new AbortController()
    const creating = target.create('a', body, { ...options, signal: stop.signal })
    creating.catch(() => undefined)
    await clock.turn()
    expect(clock.pending).toBe(1)
    stop.abort()
    await expect(creating).rejects.toMatchObject({ code: 'CANCELLED' })
    expect(faulty.calls).toHaveLength(1)
    expect(clock.pending).toBe(0)
  })

  it('never waits longer than its limits, whatever happened', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: 1, max: 2000 }),
        fc.double({ min: 0, max: 0.999, noNaN: true }),
        (tries, fraction) => {
          const delayMs = retryDelayMs(DEFAULT_RETRY_POLICY, tries, undefined, { fraction: () => fraction })
          expect(delayMs).toBeGreaterThanOrEqual(0)
          expect(delayMs).toBeLessThanOrEqual(DEFAULT_RETRY_POLICY.maxDelayMs)
        },
      ),
    )
  })
})

describe('a create that may have succeeded', () => {
  const bodies: Record<string, ObjectBody> = { bytes: body, 'a source': sourceOf(body, 5) }

  for (const [form, ours] of Object.entries(bodies)) {
    it(`is ours when the same bytes are there (${form})`, async () => {
      const { clock, target } = setUp(faultOnce(1, { kind: 'fail-after' }))
      expect(await clock.run(target.create('a', ours, options))).toBe('created')
    })

    it(`is not ours when other bytes are there (${form})`, async () => {
      const { clock, target, inner } = setUp(faultOnce(1, { kind: 'fail-before' }))
      for (const other of ['the changed pageS', 'the changed page', 'the changed pages!', '']) {
        await inner.remove(['a'])
        await inner.create('a', new TextEncoder().encode(other), options)
        expect(await clock.run(target.create('a', ours, options)), other).toBe('exists')
      }
    })
  }

  it('is settled although reading it back fails for a while', async () => {
    const plan: FaultPlan = ({ number, verb }) => {
      if (number === 1) return { kind: 'fail-after' }
      return verb === 'read' && number < 6 ? { kind: 'break-off', keepBytes: 3 } : undefined
    }
    const { clock, target } = setUp(plan)
    expect(await clock.run(target.create('a', body, options))).toBe('created')
  })

  it('is "exists" without a look when the first answer says so', async () => {
    const { clock, target, inner, faulty } = setUp(() => undefined)
    await inner.create('a', body, options)
    expect(await clock.run(target.create('a', body, options))).toBe('exists')
    expect(faulty.calls.map(({ verb }) => verb)).toEqual(['create'])
  })

  it('is ours after a time-out, too', async () => {
    const { clock, target, inner, faulty } = setUp(faultOnce(1, { kind: 'hang' }))
    const creating = clock.run(target.create('a', body, options))
    while (faulty.hanging === 0) await Promise.resolve()
    // The request was done on the other side; only the answer never came.
    await inner.create('a', body, options)
    expect(await creating).toBe('created')
  })
})

describe('a target that hangs', () => {
  it('ends each try in time, and the call in the end', async () => {
    const { clock, target, faulty } = setUp(faultFrom(1, { kind: 'hang' }), {
      maxTries: 2,
      tryTimeoutMs: 10_000,
    })
    const verbs: Array<() => Promise<unknown>> = [
      () => target.create('a', body, options),
      () => target.replace('a', body),
      () => target.read('a'),
      () => target.remove(['a']),
      () => keys(target),
    ]
    for (const verb of verbs) {
      const startedMs = clock.nowMs()
      await expect(clock.run(verb())).rejects.toMatchObject({
        failure: 'temporary',
        message: expect.stringMatching(/No answer in 10 s/),
      })
      expect(clock.nowMs() - startedMs).toBeLessThan(21_000)
    }
    expect(faulty.calls).toHaveLength(10)
    expect(faulty.hanging).toBe(0)
    expect(clock.pending).toBe(0)
  })

  it('ends in time even when it ignores its signal', async () => {
    const deaf = new MemoryTarget()
    deaf.before = () => new Promise(() => undefined)
    const { clock, target } = setUp(() => undefined, { maxTries: 1, tryTimeoutMs: 5000 }, deaf)
    await expect(clock.run(target.create('a', body, options))).rejects.toMatchObject({ failure: 'temporary' })
    await expect(clock.run(keys(target))).rejects.toMatchObject({ failure: 'temporary' })
  })

  it('gives large bodies more time', async () => {
    const { clock, target } = setUp(faultFrom(1, { kind: 'hang' }), { maxTries: 1, minBytesPerSecond: 1000 })
    const startedMs = clock.nowMs()
    await expect(clock.run(target.create('a', new Uint8Array(50_000), options))).rejects.toBeInstanceOf(
      TargetError,
    )
    expect(clock.nowMs() - startedMs).toBe(DEFAULT_RETRY_POLICY.tryTimeoutMs + 50_000)
  })
})

describe('streams', () => {
  const large = Uint8Array.from({ length: 300_000 }, (_, index) => (index * 7 + (index >> 8)) % 251)

  for (const rangeRead of [true, false]) {
    it(`go on where they broke off, ${rangeRead ? 'by range' : 'by reading again'}`, async () => {
      const inner = new MemoryTarget('m', { rangeRead })
      await inner.create('large', large, options)
      let cuts = 0
      const plan: FaultPlan = () => ({
        kind: 'break-off',
        keepBytes: 40_000 + (rangeRead ? 0 : 40_000 * cuts++),
      })
      const { clock, target } = setUp(plan, {}, inner)
      const seen = await clock.run(readAll(target, 'large'))
      expect(Buffer.compare(seen as Uint8Array, large)).toBe(0)
      if (!rangeRead) return
      const part: number[] = []
      const reading = (async () => {
        for await (const chunk of (await target.read('large', { range: { offset: 1000, length: 90_000 } })) ??
          []) {
          part.push(...chunk)
        }
      })()
      await clock.run(reading)
      expect(Buffer.compare(Uint8Array.from(part), large.subarray(1000, 91_000))).toBe(0)
    })
  }

  it('give up when no byte comes any more', async () => {
    const inner = new MemoryTarget()
    await inner.create('large', large, options)
    const plan: FaultPlan = ({ number }) => ({ kind: 'break-off', keepBytes: number === 1 ? 1000 : 0 })
    const { clock, target, faulty } = setUp(plan, { maxTries: 4 }, inner)
    await expect(clock.run(readAll(target, 'large'))).rejects.toMatchObject({ failure: 'temporary' })
    expect(faulty.calls).toHaveLength(4)
  })

  it('say so when the object vanished before they could go on', async () => {
    const inner = new MemoryTarget()
    await inner.create('large', large, options)
    const { clock, target } = setUp(faultOnce(1, { kind: 'break-off', keepBytes: 1000 }), {}, inner)
    const stream = await target.read('large')
    await inner.remove(['large'])
    const reading = (async () => {
      for await (const _ of stream ?? []);
    })()
    await expect(clock.run(reading)).rejects.toMatchObject({ code: 'NOT_FOUND', data: { key: 'large' } })
  })

  it('list every object once although listings break off', async () => {
    const inner = new MemoryTarget()
    const stored = Array.from({ length: 50 }, (_, index) => `k/${String(index).padStart(3, '0')}`)
    for (const key of stored) await inner.create(key, body, options)
    const { clock, target, faulty } = setUp(() => undefined, {}, inner)
    const seen: string[] = []
    const listing = (async () => {
      for await (const { key } of target.list('k/', { startAfter: 'k/004' })) {
        seen.push(key)
        faulty.offline = seen.length % 10 === 3
        if (faulty.offline) void clock.turn().then(() => (faulty.offline = false))
      }
    })()
    await clock.run(listing)
    expect(seen).toEqual(stored.slice(5))
  })
})

describe('comparing without memory', () => {
  it('is equal exactly when the bytes are, however they are cut', async () => {
    const pieces = fc.integer({ min: 1, max: 7 })
    await fc.assert(
      fc.asyncProperty(
        fc.uint8Array({ maxLength: 40 }),
        fc.uint8Array({ maxLength: 40 }),
        pieces,
        pieces,
        async (a, b, m, n) => {
          const same = Buffer.compare(a, b) === 0
          expect(await equalsBody(sourceOf(a, m).open(), sourceOf(b, n))).toBe(same)
          expect(await equalsBody(sourceOf(a, m).open(), sourceOf(a, n))).toBe(true)
        },
      ),
    )
  })
})

async function keys(target: Target): Promise<string[]> {
  const seen: string[] = []
  for await (const { key } of target.list('')) seen.push(key)
  return seen
}

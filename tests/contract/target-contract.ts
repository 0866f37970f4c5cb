// Goal: every target keeps the contract of packages/kvar/src/targets/target.ts, so that the log may
// rest on it without knowing whose it is. Method: one suite that each target's test file calls with
// a way to open it, alone and inside the wrappers; what providers do differently is read from
// `capabilities`, never from a name.

import { setTimeout as pause } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { KvarError } from '../../packages/kvar/src/errors.ts'
import {
  type ObjectSource,
  readAll,
  type Target,
  TargetError,
} from '../../packages/kvar/src/targets/target.ts'
import {
  byBytes,
  bytes,
  collect,
  entries,
  failingSource,
  hex,
  keys,
  pattern,
  sourceOf,
  text,
} from './contract-objects.ts'

/** A fresh, empty target for one test. */
export interface ContractSubject {
  target: Target
  /** The same place again, as another process would see it. Left out where a target cannot be opened twice. */
  reopen?(): Promise<Target>
  /** Lets several processes create each of `keys` at once, each with its own bytes; answers the outcomes by key. */
  race?(keys: string[]): Promise<Array<Array<'created' | 'exists'>>>
  dispose(): Promise<void>
}

const MODIFIED_AT_MS = 1_795_428_930_123
const LISTED_OBJECTS = 1200

export function describeTargetContract(name: string, open: () => Promise<ContractSubject>): void {
  describe(`contract: ${name}`, () => {
    let subject: ContractSubject
    let target: Target

    beforeEach(async () => {
      subject = await open()
      target = subject.target
    })

    afterEach(async () => {
      await target.close()
      await subject.dispose()
    })

    const create = (key: string, body: Uint8Array | ObjectSource = bytes(key)) =>
      target.create(key, body, { modifiedAtMs: MODIFIED_AT_MS })

    describe('create', () => {
      it('stores an object once, and never changes it', async () => {
        expect(await create('ltx/0/a', bytes('first'))).toBe('created')
        expect(await create('ltx/0/a', bytes('first'))).toBe('exists')
        expect(await create('ltx/0/a', bytes('second'))).toBe('exists')
        expect(await text(target, 'ltx/0/a')).toBe('first')
      })

      it('stores an empty body and one of 5 MB', async () => {
        const large = pattern(5_000_000)
        expect(await create('empty', new Uint8Array(0))).toBe('created')
        expect(await create('large', large)).toBe('created')
        expect(await readAll(target, 'empty')).toHaveLength(0)
        expect(Buffer.compare((await readAll(target, 'large')) as Uint8Array, large)).toBe(0)
      })

      it('stores a source of uneven pieces', async () => {
        const whole = pattern(700_001)
        expect(await create('source', sourceOf(whole, [1, 0, 262_144, 65_537]))).toBe('created')
        expect(Buffer.compare((await readAll(target, 'source')) as Uint8Array, whole)).toBe(0)
        expect(await create('nothing', sourceOf(new Uint8Array(0), []))).toBe('created')
        expect(await readAll(target, 'nothing')).toHaveLength(0)
      })

      it('stores nothing when a source fails half-way, and lets its own error through', async () => {
        const broken = new RangeError('the source is broken')
        await expect(create('half', failingSource(pattern(600_000), broken))).rejects.toBe(broken)
        expect(await target.read('half')).toBeUndefined()
        expect(await keys(target, '')).toEqual([])
        expect(await create('half', bytes('whole'))).toBe('created')
      })

      it('stores nothing when a source gives more or less than it promised', async () => {
        const short: ObjectSource = { sizeBytes: 11, open: () => sourceOf(pattern(10), [10]).open() }
        await expect(create('short', short)).rejects.toMatchObject({ failure: 'permanent' })
        expect(await target.read('short')).toBeUndefined()
      })

      it('has one winner among 20 racers, and keeps the winner whole', async ({ skip }) => {
        if (target.capabilities.createIfAbsent !== 'atomic') skip('this target cannot decide a race')
        for (let round = 0; round < 5; round++) {
          const bodies = Array.from({ length: 20 }, (_, racer) => pattern(20_000, racer))
          const outcomes = await Promise.all(bodies.map((body) => create(`race/${round}`, body)))
          expect(outcomes.filter((outcome) => outcome === 'created')).toHaveLength(1)
          const winner = bodies[outcomes.indexOf('created')] as Uint8Array
          expect(Buffer.compare((await readAll(target, `race/${round}`)) as Uint8Array, winner)).toBe(0)
        }
      })

      it('has one winner among racing processes', async ({ skip }) => {
        if (subject.race === undefined) return skip('no processes to race here')
        const contested = Array.from({ length: 25 }, (_, index) => `race/${index}`)
        const outcomes = await subject.race(contested)
        expect(outcomes).toHaveLength(contested.length)
        for (const ofKey of outcomes) expect(ofKey.filter((outcome) => outcome === 'created')).toHaveLength(1)
        expect(await keys(target, 'race/')).toHaveLength(contested.length)
      })

      it('keeps the time where it says so', async ({ skip }) => {
        if (!target.capabilities.keepsModifiedAt) skip('this target keeps its own time')
        for (let index = 0; index < 20; index++) {
          const modifiedAtMs = MODIFIED_AT_MS + index * 7919 + index
          await target.create(`time/${index}`, bytes('x'), { modifiedAtMs })
          expect(await entries(target, `time/${index}`)).toContainEqual({
            key: `time/${index}`,
            sizeBytes: 1,
            modifiedAtMs,
          })
        }
      })

      it('does nothing when it is aborted before', async () => {
        const aborted = target.create('late', bytes('x'), { modifiedAtMs: 1, signal: AbortSignal.abort() })
        await expect(aborted).rejects.toMatchObject({ code: 'CANCELLED' })
        expect(await target.read('late')).toBeUndefined()
      })

      it('leaves all or nothing when it is aborted during', async () => {
        const stop = new AbortController()
        const body = pattern(1_000_000)
        const source: ObjectSource = {
          sizeBytes: body.length,
          async *open() {
            yield body.subarray(0, 500_000)
            stop.abort()
            await pause(1)
            yield body.subarray(500_000)
          },
        }
        const running = target.create('during', source, { modifiedAtMs: 1, signal: stop.signal })
        await expect(running).rejects.toMatchObject({ code: 'CANCELLED' })
        const stored = await readAll(target, 'during')
        expect(stored === undefined || Buffer.compare(stored, body) === 0).toBe(true)
      })
    })

    describe('replace', () => {
      it('stores and replaces', async () => {
        await target.replace('copies/app.json', bytes('one'))
        await target.replace('copies/app.json', sourceOf(bytes('two, longer'), [4]))
        expect(await text(target, 'copies/app.json')).toBe('two, longer')
        await target.replace('copies/app.json', new Uint8Array(0))
        expect(await text(target, 'copies/app.json')).toBe('')
        expect(await keys(target, '')).toEqual(['copies/app.json'])
      })

      it('shows a reader the old or the new bytes, never a mixture', async () => {
        const contents = [pattern(300_000, 1), pattern(300_000, 2)]
        await target.replace('mutable', contents[0] as Uint8Array)
        let isWriting = true
        const writing = (async () => {
          for (let round = 0; round < 20; round++)
            await target.replace('mutable', contents[round % 2] as Uint8Array)
          isWriting = false
        })()
        while (isWriting) {
          const seen = (await readAll(target, 'mutable')) as Uint8Array
          expect(contents.some((content) => Buffer.compare(content, seen) === 0)).toBe(true)
        }
        await writing
      })

      it('keeps the old bytes when the new ones fail', async () => {
        await target.replace('mutable', bytes('old'))
        const broken = new RangeError('the source is broken')
        await expect(target.replace('mutable', failingSource(pattern(600_000), broken))).rejects.toBe(broken)
        expect(await text(target, 'mutable')).toBe('old')
      })
    })

    describe('read', () => {
      it('answers undefined for what is not there', async () => {
        await create('a/b/c')
        for (const key of ['nothing', 'a', 'a/b', 'a/b/c/d', 'a/b/cc']) {
          expect(await target.read(key), key).toBeUndefined()
        }
      })

      it('reads ranges', async ({ skip }) => {
        if (!target.capabilities.rangeRead) skip('this target has no ranges')
        const whole = pattern(600_000)
        await create('ranged', whole)
        const ranges = [
          [0, 100],
          [0, 600_000],
          [1, 1],
          [262_143, 2],
          [599_999, 1],
          [599_999, 100],
          [600_000, 10],
          [700_000, 10],
          [10, 0],
          [100, Number.MAX_SAFE_INTEGER - 100],
        ] as const
        for (const [offset, length] of ranges) {
          const seen = await collect(await target.read('ranged', { range: { offset, length } }))
          expect(Buffer.compare(seen, whole.subarray(offset, offset + length)), `${offset}+${length}`).toBe(0)
        }
      })

      it('may be stopped early, aborted, and left alone', async () => {
        await create('large', pattern(2_000_000))
        for await (const chunk of (await target.read('large')) as AsyncIterable<Uint8Array>) {
          expect(chunk.length).toBeGreaterThan(0)
          break
        }
        await target.read('large')
        const stop = new AbortController()
        const stream = (await target.read('large', { signal: stop.signal })) as AsyncIterable<Uint8Array>
        const reading = (async () => {
          for await (const _ of stream) stop.abort()
        })()
        await expect(reading).rejects.toMatchObject({ code: 'CANCELLED' })
        expect(await readAll(target, 'large')).toHaveLength(2_000_000)
      })
    })

    describe('list', () => {
      it('orders by whole keys and honours prefix and startAfter', async () => {
        const stored = [
          'a',
          'a-b',
          'a.b',
          'b/c',
          'b-c',
          'b/c-d',
          'b0',
          'B',
          '0',
          '_',
          'b/cc/d',
          'b/c.x/y',
          'bc',
        ]
        for (const key of stored) await create(key)
        const sorted = stored.toSorted(byBytes)
        const prefixes = ['', 'a', 'b', 'b/', 'b/c', 'b/cc/', 'b/cc/d', 'c', 'b/x/', 'b/cc/d/']
        for (const prefix of prefixes) {
          const fitting = sorted.filter((key) => key.startsWith(prefix))
          expect(await keys(target, prefix), prefix).toEqual(fitting)
          for (const startAfter of [...sorted, 'b/', 'b/c/', 'zzz', '!']) {
            const later = fitting.filter((key) => key > startAfter)
            expect(await keys(target, prefix, startAfter), `${prefix} after ${startAfter}`).toEqual(later)
          }
        }
      })

      it('tells size and time', async () => {
        await create('ltx/0/x', pattern(1234))
        const [entry] = await entries(target, '')
        expect(entry).toMatchObject({ key: 'ltx/0/x', sizeBytes: 1234 })
        expect(entry?.modifiedAtMs).toBeGreaterThan(1_500_000_000_000)
      })

      it(`lists ${LISTED_OBJECTS} objects, in part, from the middle, and lazily`, async () => {
        const stored = Array.from(
          { length: LISTED_OBJECTS },
          (_, index) => `ltx/0/${hex(index + 1)}-${hex(index + 1)}.ltx`,
        )
        for (let start = 0; start < stored.length; start += 20) {
          await Promise.all(stored.slice(start, start + 20).map((key) => create(key, bytes('x'))))
        }
        await create('ltx/1/other')
        expect(await keys(target, 'ltx/0/')).toEqual(stored)
        expect(await keys(target, 'ltx/0/', stored[999])).toEqual(stored.slice(1000))
        expect(await keys(target, 'ltx/', stored.at(-1))).toEqual(['ltx/1/other'])
        const seen: string[] = []
        for await (const { key } of target.list('ltx/0/')) {
          seen.push(key)
          if (seen.length === 3) break
        }
        expect(seen).toEqual(stored.slice(0, 3))
      }, 120_000)

      it('may be aborted', async () => {
        await create('a')
        await create('b')
        const stop = new AbortController()
        const listing = (async () => {
          for await (const _ of target.list('', { signal: stop.signal })) stop.abort()
        })()
        await expect(listing).rejects.toMatchObject({ code: 'CANCELLED' })
      })
    })

    it('removes objects, absent ones too, and lets their keys be created again', async () => {
      await create('ltx/0/a', bytes('old'))
      await create('ltx/0/b')
      await target.remove(['ltx/0/a', 'ltx/0/never', 'other/folder/never'])
      await target.remove([])
      expect(await target.read('ltx/0/a')).toBeUndefined()
      expect(await keys(target, '')).toEqual(['ltx/0/b'])
      expect(await create('ltx/0/a', bytes('new'))).toBe('created')
      expect(await text(target, 'ltx/0/a')).toBe('new')
    })

    it('refuses keys that are none', async () => {
      for (const key of HOSTILE_KEYS) {
        const shown = JSON.stringify(key.slice(0, 40))
        const verbs: Array<() => Promise<unknown>> = [
          () => create(key, bytes('x')),
          () => target.replace(key, bytes('x')),
          () => target.read(key),
          () => target.remove([key]),
        ]
        for (const verb of verbs) {
          const thrown = await verb().then(
            () => undefined,
            (error: unknown) => error,
          )
          expect(thrown, shown).toBeInstanceOf(TargetError)
          expect(thrown, shown).toMatchObject({ failure: 'permanent' })
        }
      }
      for (const prefix of ['..', '../', '/', 'a//', 'a/../b', './', 'a\0', 'å']) {
        await expect(keys(target, prefix), prefix).rejects.toMatchObject({ failure: 'permanent' })
      }
      expect(await keys(target, '')).toEqual([])
    })

    it('shows everything when it is opened again', async ({ skip }) => {
      if (subject.reopen === undefined) return skip('this target cannot be opened twice')
      await create('ltx/0/a', bytes('kept'))
      await target.replace('copies/b', bytes('kept too'))
      const again = await subject.reopen()
      try {
        expect(await keys(again, '')).toEqual(['copies/b', 'ltx/0/a'])
        expect(await text(again, 'ltx/0/a')).toBe('kept')
        expect(await again.create('ltx/0/a', bytes('other'), { modifiedAtMs: 1 })).toBe('exists')
        expect(await again.create('ltx/0/b', bytes('new'), { modifiedAtMs: 1 })).toBe('created')
        expect(await text(target, 'ltx/0/b')).toBe('new')
      } finally {
        await again.close()
      }
    })

    it('names itself without secrets and gives every level a folder of its own', () => {
      expect(target.url.startsWith(`${target.kind}:`)).toBe(true)
      expect(target.url).not.toMatch(/:[^/@]*@/)
      expect(new Set([0, 1, 2, 3, 9].map((level) => target.levelFolder(level))).size).toBe(5)
    })

    it('fails after it was closed', async () => {
      await target.close()
      await expect(create('late')).rejects.toBeInstanceOf(KvarError)
      await expect(target.read('late')).rejects.toBeInstanceOf(KvarError)
      await expect(keys(target, '')).rejects.toBeInstanceOf(KvarError)
    })
  })
}

const HOSTILE_KEYS = [
  '',
  '.',
  '..',
  '../outside',
  'a/../../outside',
  '/etc/kvar-must-not-write-here',
  'a/',
  '/a',
  'a//b',
  './a',
  '.hidden',
  'a/.hidden',
  'a\\b',
  'a b',
  'a\0b',
  'a\nb',
  'a\n',
  'å',
  'e\u0301',
  '\u202e',
  '\ud800',
  '💾',
  'a?b',
  'a#b',
  'a%2fb',
  'a:b',
  '~/a',
  'a*',
  'x'.repeat(2000),
  `${'x/'.repeat(1000)}x`,
]

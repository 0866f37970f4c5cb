/*
 * Goal: a restore plan reaches exactly the wanted version without a gap, or says clearly why not;
 * an older version never passes for the newest.
 * Method: examples for each rule of the plan, and random sets of files against a search over all chains.
 */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { KvarError } from '../errors.ts'
import type { LogFile } from './log-layout.ts'
import { planRestore, type RestoreWant } from './restore-plan.ts'

function file(level: number, minVersion: number, maxVersion: number, sizeBytes = 100): LogFile {
  const key = `ltx/${level}/${minVersion}-${maxVersion}`
  return { key, level, minVersion, maxVersion, sizeBytes, modifiedAtMs: maxVersion * 10 }
}
const versions = (from: number, to: number) =>
  Array.from({ length: to - from + 1 }, (_, i) => file(0, from + i, from + i))
const names = (files: LogFile[]) => files.map((f) => `${f.level}:${f.minVersion}-${f.maxVersion}`)
const at = (version: number): RestoreWant => ({ kind: 'version', version })

function failure(work: () => unknown): KvarError {
  try {
    work()
  } catch (thrown) {
    if (thrown instanceof KvarError) return thrown
    throw thrown
  }
  throw new Error('nothing was thrown')
}

describe('planRestore', () => {
  it('takes the newest snapshot, then the files that reach furthest', () => {
    const files = [file(9, 1, 4), file(9, 1, 8), file(1, 9, 12), file(1, 11, 14), ...versions(5, 16)]
    expect(names(planRestore(files, { kind: 'latest' }).files)).toEqual([
      '9:1-8',
      '1:9-12',
      '1:11-14',
      '0:15-15',
      '0:16-16',
    ])
    expect(names(planRestore(files, at(6)).files)).toEqual(['9:1-4', '0:5-5', '0:6-6'])
    expect(planRestore(files, at(13)).totalBytes).toBe(300)
  })

  it('starts anew at a range that holds all pages', () => {
    const files = [file(9, 1, 4), file(3, 1, 9), ...versions(5, 10)]
    expect(names(planRestore(files, { kind: 'latest' }).files)).toEqual(['3:1-9', '0:10-10'])
  })

  it('takes the version strictly before a moment', () => {
    const files = versions(1, 9)
    expect(planRestore(files, { kind: 'before', timeMs: 50 }).version).toBe(4)
    expect(planRestore(files, { kind: 'before', timeMs: 51 }).version).toBe(5)
    expect(failure(() => planRestore(files, { kind: 'before', timeMs: 10 })).code).toBe('NOT_FOUND')
  })

  it('names a gap and the nearest good version', () => {
    const error = failure(() =>
      planRestore([...versions(1, 4), ...versions(7, 9)], { kind: 'latest' }, 'folder:/log'),
    )
    expect(error.message).toBe('The log on folder:/log has a gap: versions 5 to 6 are missing')
    expect(error.code).toBe('LOG_BROKEN')
    expect(error.data).toEqual({ version: 9, nearestVersion: 4, missingFrom: 5, missingTo: 6 })
    expect(planRestore([...versions(1, 4), ...versions(7, 9)], at(4)).version).toBe(4)
  })

  it('tells what is no longer kept from what is missing', () => {
    const files = [...versions(1, 3), file(1, 4, 8), ...versions(8, 9)]
    const error = failure(() => planRestore(files, at(6)))
    expect([error.code, error.data]).toEqual(['NOT_FOUND', { version: 6, nearestVersion: 3 }])
    expect(planRestore(files, { kind: 'latest' }).version).toBe(9)
  })

  it('never goes past level 0, and says so when what lies beyond would be wanted', () => {
    const files = [...versions(1, 5), file(1, 1, 8), file(9, 1, 7)]
    expect(failure(() => planRestore(files, { kind: 'latest' })).data).toMatchObject({
      missingFrom: 6,
      nearestVersion: 5,
    })
    expect(failure(() => planRestore(files, at(7))).code).toBe('LOG_BROKEN')
    expect(failure(() => planRestore(files, at(9))).code).toBe('NOT_FOUND')
    expect(failure(() => planRestore(files, { kind: 'before', timeMs: 1e12 })).code).toBe('LOG_BROKEN')
    expect(planRestore(files, at(5)).version).toBe(5)
    expect(failure(() => planRestore([file(9, 1, 7)], at(3))).code).toBe('LOG_BROKEN')
    expect(failure(() => planRestore([], { kind: 'latest' })).code).toBe('NO_BACKUP')
  })

  it('is gapless and exact for any set of files, or no chain exists', () => {
    const anyFile = fc
      .tuple(
        fc.constantFrom(0, 0, 0, 1, 2, 9),
        fc.integer({ min: 1, max: 14 }),
        fc.integer({ min: 0, max: 6 }),
      )
      .map(([level, min, more]) =>
        level === 0 ? file(0, min, min) : file(level, level === 9 ? 1 : min, min + more),
      )
    fc.assert(
      fc.property(fc.array(anyFile, { maxLength: 24 }), fc.integer({ min: 1, max: 20 }), (files, version) => {
        const head = Math.max(0, ...files.filter((f) => f.level === 0).map((f) => f.maxVersion))
        const usable = files.filter((f) => f.maxVersion <= Math.min(head, version))
        for (const want of [at(version), { kind: 'latest' } as const]) {
          try {
            const plan = planRestore(files, want)
            expect(plan.version).toBe(want.kind === 'latest' ? head : version)
            expectChain(plan.files, plan.version)
          } catch (thrown) {
            if (!(thrown instanceof KvarError)) throw thrown
            if (want.kind === 'version' && head > 0)
              expect(version <= head && canReach(usable, version)).toBe(false)
            if (want.kind === 'latest' && files.every((f) => f.maxVersion <= head))
              expect(canReach(files, head)).toBe(false)
          }
        }
      }),
      { numRuns: 3000 },
    )
  })

  it('copes with a very long log', () => {
    const plan = planRestore(versions(1, 200_000), { kind: 'before', timeMs: 1_500_000 })
    expect([plan.version, plan.files.length]).toEqual([149_999, 149_999])
  })
})

function expectChain(files: LogFile[], version: number): void {
  let reached = 0
  for (const f of files) {
    expect(f.minVersion).toBeLessThanOrEqual(reached + 1)
    expect(f.maxVersion).toBeGreaterThan(reached)
    reached = f.maxVersion
  }
  expect(reached).toBe(version)
}

/** All versions that some chain reaches, by growing the set until nothing new comes. */
function canReach(files: LogFile[], version: number): boolean {
  const reachable = new Set([0])
  for (let before = 0; before !== reachable.size; ) {
    before = reachable.size
    for (const f of files) {
      const fits = [...reachable].some((r) => f.minVersion <= r + 1 && f.maxVersion > r)
      if (fits) reachable.add(f.maxVersion)
    }
  }
  return version > 0 && reachable.has(version)
}

// Goal: durations, names, suggestions and the platform's rules are exactly as documented. Method:
// tables, and for the edit distance the laws that make it a distance.

import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { parseDuration } from './duration.ts'
import { backupCopyPath, beforeRestoreFolder, jsonCopyPath, stateFolder } from './names.ts'
import { editDistance, nearestName } from './nearest-name.ts'
import { checkPlatform, hasWalResetBug, type PlatformFacts } from './platform-support.ts'

describe('parseDuration', () => {
  it.each([
    ['0s', 0],
    ['250ms', 250],
    ['1s', 1000],
    ['30s', 30_000],
    ['5m', 300_000],
    ['2h', 7_200_000],
    ['7d', 604_800_000],
    ['1w', 604_800_000],
    ['1y', 31_536_000_000],
    [' 7d ', 604_800_000],
    ['999999999y', 999_999_999 * 31_536_000_000],
    ['forever', Number.POSITIVE_INFINITY],
  ])('%s', (text, ms) => expect(parseDuration(text)).toBe(ms))

  it.each([
    '',
    's',
    '1',
    '1 s',
    '-1s',
    '1.5h',
    '1S',
    '1month',
    '1e3s',
    '0x1s',
    '1s2m',
    '١s',
    '9999999999s',
    'Infinity',
    'never',
  ])('%j is none', (text) => expect(parseDuration(text)).toBeUndefined())
})

describe('names', () => {
  it('stand beside the database', () => {
    expect(stateFolder('/srv/app.db')).toBe('/srv/.app.db-kvar')
    expect(jsonCopyPath('/srv/app.db')).toBe('/srv/app.db.json')
    expect(backupCopyPath('/srv/app.db')).toBe('/srv/app.db.backup')
    expect(beforeRestoreFolder('/srv/app.db', Date.UTC(2026, 10, 23, 10, 15, 30, 123))).toBe(
      '/srv/app.db.before-restore-20261123T101530123Z',
    )
  })
})

describe('nearestName', () => {
  it('finds what was most likely meant, or nothing', () => {
    const known = ['targets', 'durable', 'interval', 'keep']
    expect(nearestName('target', known)).toBe('targets')
    expect(nearestName('Tragets', known)).toBe('targets')
    expect(nearestName('intervall', known)).toBe('interval')
    expect(nearestName('kep', known)).toBe('keep')
    expect(nearestName('colour', known)).toBeUndefined()
    expect(nearestName('', known)).toBeUndefined()
  })

  it('counts a swap of neighbours as one mistake', () => {
    expect(editDistance('tagrets', 'targets')).toBe(1)
    expect(editDistance('', 'abc')).toBe(3)
    expect(editDistance('kitten', 'sitting')).toBe(3)
  })

  it('measures a distance', () => {
    const word = fc.string({ maxLength: 8 })
    fc.assert(
      fc.property(word, word, (a, b) => {
        expect(editDistance(a, b)).toBe(editDistance(b, a))
        expect(editDistance(a, b) === 0).toBe(a === b)
        expect(editDistance(a, b)).toBeLessThanOrEqual(Math.max(a.length, b.length))
      }),
    )
  })
})

describe('checkPlatform', () => {
  const good: PlatformFacts = {
    platform: 'linux',
    arch: 'x64',
    libc: 'glibc',
    nodeVersion: '24.21.0',
    sqliteVersion: '3.53.4',
  }

  it.each<Partial<PlatformFacts>>([
    {},
    { arch: 'arm64' },
    { platform: 'darwin', libc: undefined, arch: 'arm64' },
    { nodeVersion: '22.23.0', sqliteVersion: '3.51.3' },
    { nodeVersion: 'v26.0.0', sqliteVersion: '4.0.0' },
  ])('allows %o', (facts) => expect(checkPlatform({ ...good, ...facts })).toBeUndefined())

  it.each<[Partial<PlatformFacts>, RegExp, RegExp]>([
    [{ platform: 'win32' }, /Windows/, /WSL/],
    [{ platform: 'freebsd' }, /freebsd/, /Linux/],
    [{ arch: 'ia32' }, /ia32/, /x64/],
    [{ libc: 'musl' }, /musl/, /node:24-slim/],
    [{ nodeVersion: '22.22.9' }, /Node 22\.23 or newer; this is Node 22\.22\.9/, /Node 24/],
    [{ nodeVersion: '20.19.0' }, /Node 20/, /Node 24/],
    [{ nodeVersion: 'unknown' }, /unknown/, /Node 24/],
    [{ nodeVersion: '24.0.0', sqliteVersion: '3.49.1' }, /SQLite 3\.49\.1, which can corrupt/, /3\.51\.3/],
  ])('refuses %o', (facts, message, hint) => {
    expect(checkPlatform({ ...good, ...facts })).toMatchObject({
      code: 'UNSUPPORTED',
      message: expect.stringMatching(message),
      hint: expect.stringMatching(hint),
    })
  })
})

describe('hasWalResetBug', () => {
  it.each([
    '3.7.0',
    '3.40.1',
    '3.44.5',
    '3.45.0',
    '3.49.9',
    '3.50.6',
    '3.51.0',
    '3.51.2',
    '3.52.0',
    '3.52.9',
    '',
    'x',
  ])('%s is affected', (version) => expect(hasWalResetBug(version)).toBe(true))
  it.each(['3.44.6', '3.44.10', '3.50.7', '3.51.3', '3.51.10', '3.53.0', '3.53.4', '3.100.0', '4.0.0'])(
    '%s is mended',
    (version) => expect(hasWalResetBug(version)).toBe(false),
  )
})

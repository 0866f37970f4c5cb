/*
 * Goal: headers and names are exactly Litestream's, carry our own fields in the reserved bytes, and
 * nothing impossible passes.
 * Method: bytes by hand, the header Litestream wrote, round trips over all fields, every byte of a header wrong.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { KvarError } from '../errors.ts'
import { encodeLtxHeader, type LtxHeader, ltxName, parseLtxHeader, parseLtxName } from './ltx.ts'

const EXAMPLE = join(import.meta.dirname, '../../../../tests/golden/example-346.ltx')

const header: LtxHeader = {
  pageSize: 4096,
  pageCount: 7,
  minVersion: 9,
  maxVersion: 12,
  timestampMs: 1795399557121,
  nodeId: 0xfedcba9876543210n,
  databaseChecksum: 0x8000000000000001n,
  lineage: 77n,
}

describe('a header', () => {
  it('has its fields where Litestream looks for them', () => {
    expect(Buffer.from(encodeLtxHeader(header)).toString('hex')).toBe(
      [
        '4c545831 00000002 00001000 00000007',
        '0000000000000009 000000000000000c',
        '000001a206272001 0000000000000000',
        '0000000000000020 0000000000000000',
        '0000000000000000 fedcba9876543210',
        '4b565231 8000000000000001 000000000000004d',
      ]
        .join('')
        .replaceAll(' ', ''),
    )
  })

  it('is read as Litestream wrote it', () => {
    expect(parseLtxHeader(readFileSync(EXAMPLE), 'example')).toEqual({
      pageSize: 4096,
      pageCount: 2,
      minVersion: 1,
      maxVersion: 1,
      timestampMs: 1795399557121,
      nodeId: 0n,
    })
  })

  it('comes back with all its fields, and without those that are unknown', () => {
    const uint64 = fc.bigInt({ min: 1n, max: 2n ** 64n - 1n })
    const versions = fc.tuple(fc.maxSafeNat(), fc.maxSafeNat()).map((pair) => pair.map((n) => Math.max(1, n)))
    const headers = fc
      .record({
        pageSize: fc.integer({ min: 9, max: 16 }).map((bits) => 2 ** bits),
        pageCount: fc.integer({ min: 1, max: 2 ** 32 - 1 }),
        versions,
        timestampMs: fc.maxSafeNat(),
        nodeId: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
        databaseChecksum: fc.option(uint64, { nil: undefined }),
        lineage: fc.option(uint64, { nil: undefined }),
      })
      .map(({ versions, ...rest }) => ({
        ...rest,
        minVersion: Math.min(...versions),
        maxVersion: Math.max(...versions),
      }))
    fc.assert(
      fc.property(headers, (any) => void expect(parseLtxHeader(encodeLtxHeader(any), 'any')).toEqual(any)),
    )
  })

  it('is refused by name when it is short, foreign or impossible', () => {
    const bytes = Buffer.from(encodeLtxHeader(header))
    const wrong = (offset: number, hex: string) => {
      const copy = Buffer.from(bytes)
      copy.write(hex, offset, 'hex')
      return copy
    }
    const cases: Array<[Buffer, RegExp]> = [
      [bytes.subarray(0, 99), /ends inside its header/],
      [wrong(0, '4c545832'), /LTX1/],
      [wrong(4, '00000000'), /flags are 0/],
      [wrong(8, '00001001'), /page size/],
      [wrong(8, '00020000'), /page size/],
      [wrong(12, '00000000'), /without pages/],
      [wrong(16, '0000000000000000'), /versions 0-12/],
      [wrong(24, '0000000000000008'), /versions 9-8/],
      [wrong(24, '0020000000000000'), /last version 9007199254740992 is out of range/],
      [wrong(32, 'ffffffffffffffff'), /time/],
      [wrong(40, '0000000000000001'), /checksum/],
    ]
    for (const [copy, what] of cases) {
      const expected = {
        code: 'DAMAGED',
        message: expect.stringMatching(what) as string,
        data: { name: 'x.ltx' },
      }
      expect(() => parseLtxHeader(copy, 'x.ltx')).toThrow(expect.objectContaining(expected))
    }
  })

  it('is refused under the name of other versions', () => {
    const bytes = encodeLtxHeader(header)
    expect(parseLtxHeader(bytes, `ltx/1/${ltxName(9, 12)}`)).toEqual(header)
    for (const name of [ltxName(9, 13), `ltx/1/${ltxName(8, 12)}`, `ltx/1/${ltxName(8, 12)}.age`]) {
      expect(() => parseLtxHeader(bytes, name)).toThrow(/not those of its name/)
    }
  })

  it('is never written with impossible fields', () => {
    const impossible: Array<Partial<LtxHeader>> = [
      { pageSize: 1000 },
      { pageCount: 0 },
      { minVersion: 0 },
      { maxVersion: 8 },
      { maxVersion: 2 ** 53 },
      { timestampMs: -1 },
      { timestampMs: 0.5 },
    ]
    for (const fields of impossible)
      expect(() => encodeLtxHeader({ ...header, ...fields })).toThrow(KvarError)
  })
})

describe('a name', () => {
  it('has both versions in sixteen lower-case hexadecimal digits', () => {
    expect(ltxName(1, 255)).toBe('0000000000000001-00000000000000ff.ltx')
    expect(parseLtxName('0000000000000001-00000000000000ff.ltx')).toEqual({ minVersion: 1, maxVersion: 255 })
  })

  it('comes back for all versions', () => {
    fc.assert(
      fc.property(fc.maxSafeNat(), fc.nat(1000), (start, more) => {
        const minVersion = Math.max(1, start - more)
        const maxVersion = minVersion + more
        expect(parseLtxName(ltxName(minVersion, maxVersion))).toEqual({ minVersion, maxVersion })
      }),
    )
  })

  it('is nothing else', () => {
    const others = [
      '',
      '0000000000000001-00000000000000FF.ltx',
      '0000000000000001-00000000000000ff.ltx.age',
      '0/0000000000000001-00000000000000ff.ltx',
      '1-ff.ltx',
      '0000000000000000-0000000000000001.ltx',
      '0000000000000002-0000000000000001.ltx',
      '0000000000000001-ffffffffffffffff.ltx',
      '0000000000000001-00000000000000ff.ltx.tmp',
    ]
    for (const name of others) expect(parseLtxName(name), name).toBeUndefined()
  })
})

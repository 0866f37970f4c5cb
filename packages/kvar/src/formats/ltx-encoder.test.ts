/*
 * Goal: what the encoder writes is the LTX file of Litestream, byte for byte where compression leaves
 * no choice, and it refuses to write a file that could not be restored.
 * Method: the golden file of Litestream 0.5.17 taken apart and built again with its own blocks; the
 * known index and trailer; every broken rule once.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import type { LtxHeader } from './ltx.ts'
import { decodeLtx } from './ltx-decoder.ts'
import { encodeLtx, LtxEncoder, nextPage } from './ltx-encoder.ts'
import { LtxParser } from './ltx-parser.ts'

const golden = readFileSync(join(import.meta.dirname, '../../../../tests/golden/example-346.ltx'))

const delta: LtxHeader = {
  pageSize: 512,
  pageCount: 9,
  minVersion: 5,
  maxVersion: 5,
  timestampMs: 1795399557121,
  nodeId: 3n,
}
const page = new Uint8Array(512).fill(65)

describe('the golden file of Litestream', () => {
  it('is built again byte for byte from its pages and blocks', () => {
    const parser = new LtxParser('golden')
    parser.push(golden)
    expect(parser.next()).toBe('header')
    const encoder = new LtxEncoder(parser.header)
    const chunks = [encoder.start()]
    while (parser.next() === 'page') chunks.push(encoder.page(parser.pageNumber, parser.page, parser.block))
    chunks.push(encoder.finish())
    // Litestream wrote WAL offset 0 here; ours is the neutral 32, which the file checksum covers.
    const [ours, theirs] = [Buffer.concat(chunks), Buffer.from(golden)]
    expect(ours.readBigUInt64BE(48)).toBe(32n)
    ours.fill(0, 48, 56)
    expect(ours.subarray(0, -8).equals(theirs.subarray(0, -8))).toBe(true)
  })

  it('and built with our compression holds the same', () => {
    const { header, pages } = decodeLtx(golden, 'golden')
    expect(decodeLtx(encodeLtx(header, pages), 'ours')).toEqual({ header, pages })
  })
})

describe('LtxEncoder', () => {
  it('writes the index as varints of page, offset and length, with a zero and the size', () => {
    const noise = page.map((_, index) => (index * index * 31) >> 4)
    const bytes = Buffer.from(
      encodeLtx({ ...delta, pageCount: 300 }, [
        [1, noise],
        [300, page],
      ]),
    )
    const first = bytes.readUInt32BE(106) + 10
    const second = 22
    const varint = (value: number) => [(value % 128) + 128, Math.floor(value / 128)]
    const index = [1, 100, ...varint(first), 0xac, 2, ...varint(100 + first), second, 0]
    const tail = bytes.subarray(100 + first + second)
    expect([...tail.subarray(0, -16)]).toEqual([
      0,
      0,
      0,
      0,
      0,
      0,
      ...index,
      0,
      0,
      0,
      0,
      0,
      0,
      0,
      index.length,
    ])
    expect(tail.readBigUInt64BE(tail.length - 16)).toBe(0n)
    expect(tail.readUInt8(tail.length - 8) & 0x80).toBe(0x80)
  })

  it('refuses pages out of order, twice, too many, of another size, and the lock page', () => {
    const lockPage = 2097153
    const begin = (fields: Partial<LtxHeader> = {}) => {
      const encoder = new LtxEncoder({ ...delta, pageCount: lockPage + 5, ...fields })
      encoder.start()
      encoder.page(3, page)
      return encoder
    }
    expect(() => begin().page(2, page)).toThrow(/comes after page 3/)
    expect(() => begin().page(3, page)).toThrow(/comes after page 3/)
    expect(() => begin().page(4.5, page)).toThrow(/no page number/)
    expect(() => begin({ pageCount: 9 }).page(10, page)).toThrow(/beyond the 9 pages/)
    expect(() => begin().page(4, page.subarray(1))).toThrow(/511 bytes/)
    expect(() => begin().page(lockPage, page)).toThrow(/lock page/)
    expect(begin().page(lockPage + 1, page)).toBeInstanceOf(Uint8Array)
  })

  it('refuses a snapshot with a gap, at its beginning, in the middle or at its end', () => {
    const snapshot: LtxHeader = { ...delta, minVersion: 1, pageCount: 3 }
    expect(() => encodeLtx(snapshot, [[2, page]])).toThrow(/lacks pages before page 2/)
    expect(() =>
      encodeLtx(snapshot, [
        [1, page],
        [3, page],
      ]),
    ).toThrow(/lacks pages before page 3/)
    expect(() =>
      encodeLtx(snapshot, [
        [1, page],
        [2, page],
      ]),
    ).toThrow(/ends at page 2 of 3/)
    expect(() => encodeLtx(snapshot, [])).toThrow(/ends at page 0 of 3/)
  })

  it('refuses to be used out of turn', () => {
    expect(() => new LtxEncoder(delta).page(1, page)).toThrow(/not open/)
    expect(() => new LtxEncoder(delta).finish()).toThrow(/not open/)
    const encoder = new LtxEncoder(delta)
    encoder.start()
    expect(() => encoder.start()).toThrow(/begun twice/)
    encoder.finish()
    expect(() => encoder.page(1, page)).toThrow(/not open/)
  })

  it('gives chunks that stay as they are', () => {
    const encoder = new LtxEncoder(delta)
    const chunks = [
      encoder.start(),
      encoder.page(1, page),
      encoder.page(
        2,
        page.map((_, i) => i),
      ),
      encoder.finish(),
    ]
    const pages = decodeLtx(Buffer.concat(chunks), 'chunks').pages
    expect(pages.get(1)).toEqual(page)
    expect(pages.get(2)?.[7]).toBe(7)
  })
})

describe('nextPage', () => {
  it('steps over the lock page', () => {
    expect([nextPage(4, 6), nextPage(5, 6), nextPage(6, 6), nextPage(7, 6)]).toEqual([5, 7, 7, 8])
  })
})

/*
 * Goal: blocks are valid LZ4 and come back exactly; no bytes, however hostile, read or write out of
 * bounds, hang, or pass for another length.
 * Method: round trips over zero, text, random and mixed content; hand-written blocks of the
 * specification's corner cases; the end-of-block rules checked on every block; mutations with canaries
 * around the target. (tests/interop lets Litestream's own LZ4 read blocks of ours.)
 */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { KvarError } from '../errors.ts'
import { compressBlock, compressBound, decompressBlock } from './lz4-block.ts'

const words = fc.constantFrom('Anna ', 'Sunday ', 'dentist ', '\0\0\0\0', 'x', '0123456789abcdef')
const text = fc
  .array(words, { maxLength: 4000, size: 'max' })
  .map((list) => new Uint8Array(Buffer.from(list.join(''))))
const noise = fc.uint8Array({ maxLength: 5000, size: 'max' })
const zeros = fc.nat(70_000).map((length) => new Uint8Array(length))
const mixed = fc.tuple(noise, text, noise, zeros).map((parts) => new Uint8Array(Buffer.concat(parts)))
const content = fc.oneof(noise, text, zeros, mixed)

describe('compressBlock and decompressBlock', () => {
  it('give back any content', () => {
    fc.assert(
      fc.property(content, (bytes) => {
        const block = compressBlock(bytes)
        expect(block.length).toBeLessThanOrEqual(compressBound(bytes.length))
        expect(Buffer.compare(decompressBlock(block, bytes.length), bytes)).toBe(0)
      }),
    )
  })

  it('keep the rules for the end of a block, which faster readers rely on', () => {
    fc.assert(fc.property(content, (bytes) => assertEndRules(compressBlock(bytes), bytes.length)))
  })

  it('give the same block whatever was compressed before', () => {
    const page = Buffer.from('Anna has piano at five. '.repeat(40))
    const first = compressBlock(page)
    compressBlock(Buffer.from('Something else entirely '.repeat(4000)))
    expect(Buffer.compare(compressBlock(page), first)).toBe(0)
  })

  it('find matches at the largest offset and not beyond', () => {
    for (const distance of [65535, 65536]) {
      const bytes = new Uint8Array(distance + 40)
      let state = 1
      for (let i = 0; i < bytes.length; i++) {
        state = (Math.imul(state, 1103515245) + 12345) >>> 0
        bytes[i] = state >>> 16
      }
      bytes.copyWithin(distance, 0, 30)
      expect(Buffer.compare(decompressBlock(compressBlock(bytes), bytes.length), bytes)).toBe(0)
    }
  })

  it('shrink what can be shrunk', () => {
    expect(compressBlock(new Uint8Array(4096)).length).toBeLessThan(40)
    expect(compressBlock(new Uint8Array(0))).toEqual(Uint8Array.of(0))
  })

  it('writes into a given buffer and nowhere else', () => {
    const into = new Uint8Array(100).fill(7)
    const page = Buffer.from('mmmmmmmmmmmmmmmmmmmmmmmm')
    expect(decompressBlock(compressBlock(page), page.length, into)).toHaveLength(page.length)
    expect(into.subarray(page.length).every((byte) => byte === 7)).toBe(true)
  })
})

describe('decompressBlock', () => {
  const block = (...bytes: number[]) => Uint8Array.from(bytes)

  it('repeats overlapping matches of every offset', () => {
    for (const offset of [1, 2, 3, 7, 33, 64]) {
      const literals = Array.from({ length: offset }, (_, index) => index + 1)
      const token = offset >= 15 ? [0xff, offset - 15] : [(offset << 4) | 15]
      const inflated = decompressBlock(block(...token, ...literals, offset, 0, 181, 0), offset + 200)
      expect([...inflated]).toEqual(Array.from({ length: offset + 200 }, (_, index) => (index % offset) + 1))
    }
  })

  const cases: Array<[string, Uint8Array, number]> = [
    ['nothing at all', block(), 0],
    ['literals beyond the end', block(0x50, 1, 2), 5],
    ['a literal length that never ends', block(0xf0, 255, 255), 4096],
    ['a match length that never ends', block(0x1f, 1, 1, 0, 255), 4096],
    ['an offset of zero', block(0x10, 1, 0, 0, 0), 5],
    ['an offset before the beginning', block(0x10, 1, 2, 0, 0), 5],
    ['half an offset', block(0x10, 1, 1), 5],
    ['an end after a match', block(0x10, 1, 1, 0), 5],
    ['more than the size', block(0x1f, 1, 1, 0, 200, 0), 100],
    ['more literals than the size', block(0x20, 1, 2), 1],
    ['many more literals than the size', block(0xf0, 30, ...new Uint8Array(45)), 40],
    ['less than the size', block(0x20, 1, 2), 3],
  ]
  for (const [what, bytes, size] of cases) {
    it(`refuses ${what}`, () => {
      expect(() => decompressBlock(bytes, size)).toThrow(expect.objectContaining({ code: 'DAMAGED' }))
    })
  }

  it('answers mutated blocks with the size or a typed error, within its bounds', () => {
    const page = Buffer.from('Anna has piano at five, Otto has swimming at six. '.repeat(82).slice(0, 4096))
    const valid = compressBlock(page)
    const into = new Uint8Array(4096 + 16).fill(0xa5)
    const mutation = fc.tuple(fc.nat(valid.length - 1), fc.nat(255))
    fc.assert(
      fc.property(
        fc.array(mutation, { minLength: 1, maxLength: 4, size: 'max' }),
        fc.nat(valid.length),
        (mutations, cut) => {
          const mutated = valid.slice(0, valid.length - (cut % 7))
          for (const [index, byte] of mutations) if (index < mutated.length) mutated[index] = byte
          expectSizeOrDamage(() => decompressBlock(mutated, 4096, into))
          expect(into.subarray(4096).every((byte) => byte === 0xa5)).toBe(true)
        },
      ),
      { numRuns: 5000 },
    )
  })

  it('answers random bytes with the size or a typed error', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200, size: 'max' }), (bytes) =>
        expectSizeOrDamage(() => decompressBlock(bytes, 4096)),
      ),
      { numRuns: 5000 },
    )
  })
})

function expectSizeOrDamage(inflate: () => Uint8Array): void {
  try {
    expect(inflate()).toHaveLength(4096)
  } catch (thrown) {
    if (!(thrown instanceof KvarError) || thrown.code !== 'DAMAGED') throw thrown
  }
}

/** Walks the sequences: the last five bytes are literals, no match begins in the last twelve. */
function assertEndRules(block: Uint8Array, size: number): void {
  let read = 0
  let written = 0
  const lengthFrom = (nibble: number) => {
    let length = nibble
    for (let more = nibble === 15 ? 255 : 0; more === 255; length += more) more = block[read++] as number
    return length
  }
  for (;;) {
    const token = block[read++] as number
    const literals = lengthFrom(token >>> 4)
    read += literals
    written += literals
    if (read === block.length) {
      expect(written).toBe(size)
      expect(literals >= 5 || written === literals).toBe(true)
      return
    }
    expect(written).toBeLessThanOrEqual(size - 12)
    read += 2
    written += lengthFrom(token & 15) + 4
  }
}

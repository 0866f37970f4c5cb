/*
 * Goal: every file we write is read back exactly, in chunks of any size; every other file is refused
 * by name, without a hang, without unbounded memory, and without passing for something else.
 * Method: round trips over page sizes and kinds of content; one file per broken rule, built by hand
 * with a right checksum so that the rule itself is what refuses; every cut; random mutations, after
 * which the file must be refused (the checksum covers every byte but the blocks, and those are checked
 * as pages). PROOF 19 asks for 20 000 mutations a push.
 */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { KvarError } from '../errors.ts'
import { Crc64 } from './crc64.ts'
import { lockPageNumber } from './database-header.ts'
import { encodeLtxHeader, type LtxHeader } from './ltx.ts'
import { decodeLtx, type LtxVisitor, readLtx } from './ltx-decoder.ts'
import { encodeLtx } from './ltx-encoder.ts'
import { LtxIndexWriter } from './ltx-index.ts'
import { compressBlock } from './lz4-block.ts'

const golden = readFileSync(join(import.meta.dirname, '../../../../tests/golden/example-346.ltx'))
const delta: LtxHeader = {
  pageSize: 512,
  pageCount: 9,
  minVersion: 5,
  maxVersion: 6,
  timestampMs: 1795399557121,
  nodeId: 3n,
  databaseChecksum: 4n,
  lineage: 5n,
}
const page = new Uint8Array(512).map((_, index) => (index * index) >> 3)

type Pages = Map<number, Uint8Array>

/** Pages of zeros, of text, or of noise, as a database has them. */
const pageOf = (pageSize: number) =>
  fc.tuple(fc.constantFrom('zero', 'text', 'noise'), fc.nat(0xffff)).map(([kind, seed]) => {
    const content = new Uint8Array(pageSize)
    if (kind === 'text')
      content.set(Buffer.from(`dentist ${seed} `.repeat(pageSize / 8)).subarray(0, pageSize - 99))
    let state = seed + 1
    for (let i = 0; kind === 'noise' && i < pageSize; i++) {
      state = Math.imul(state, 69069) + 1
      content[i] = state >>> 20
    }
    return content
  })

const file = fc.integer({ min: 9, max: 16 }).chain((bits) => {
  const pageSize = 2 ** bits
  return fc
    .record({
      pages: fc.array(pageOf(pageSize), { minLength: 1, maxLength: pageSize > 8192 ? 3 : 12, size: 'max' }),
      gap: fc.integer({ min: 1, max: 100_000 }),
      isSnapshot: fc.boolean(),
    })
    .map(({ pages, gap, isSnapshot }) => {
      const numbered: Pages = new Map(
        pages.map((content, index) => [isSnapshot ? index + 1 : (index + 1) * gap, content]),
      )
      numbered.delete(lockPageNumber(pageSize))
      const pageCount = isSnapshot ? pages.length : (pages.length + 1) * gap
      const header = { ...delta, pageSize, pageCount, minVersion: isSnapshot ? 1 : 5 }
      return { header, pages: numbered }
    })
})

function* inChunks(bytes: Uint8Array, sizeBytes: number): Generator<Uint8Array> {
  for (let start = 0; start < bytes.length; start += sizeBytes) yield bytes.slice(start, start + sizeBytes)
}

describe('a file', () => {
  it('comes back whole, in one piece and in chunks of any size', async () => {
    await fc.assert(
      fc.asyncProperty(file, fc.integer({ min: 1, max: 5000 }), async ({ header, pages }, chunkBytes) => {
        const bytes = encodeLtx(header, pages)
        expect(decodeLtx(bytes, 'any')).toEqual({ header, pages })
        const seen: Pages = new Map()
        const headers: LtxHeader[] = []
        const visitor: LtxVisitor = {
          header: (found) => headers.push(found),
          page: (pageNumber, content) => seen.set(pageNumber, content.slice()),
        }
        expect(await readLtx(inChunks(bytes, chunkBytes), 'any', visitor)).toEqual(header)
        expect(seen).toEqual(pages)
        expect(headers).toEqual([header])
      }),
      { numRuns: 150 },
    )
  })

  it('is read from an asynchronous source too, and by nobody at all', async () => {
    const bytes = encodeLtx(delta, [[2, page]])
    async function* source() {
      yield* inChunks(bytes, 100)
    }
    expect(await readLtx(source(), 'any', {})).toEqual(delta)
  })

  it('may hold no page', () => {
    expect(decodeLtx(encodeLtx(delta, []), 'empty').pages.size).toBe(0)
  })

  it('may hold pages on both sides of the lock page', () => {
    const lockPage = lockPageNumber(65536)
    const big = new Uint8Array(65536)
    const header = { ...delta, pageSize: 65536, pageCount: lockPage + 1 }
    const pages: Pages = new Map([lockPage - 1, lockPage + 1].map((pageNumber) => [pageNumber, big]))
    expect(decodeLtx(encodeLtx(header, pages), 'lock').pages).toEqual(pages)
  })

  it('of Litestream is read', () => {
    const { header, pages } = decodeLtx(golden, 'golden')
    expect([...pages.keys()]).toEqual([1, 2])
    expect(Buffer.from(pages.get(1) as Uint8Array).toString('latin1')).toContain('CREATE TABLE t(a,b)')
    expect(header.databaseChecksum).toBeUndefined()
  })
})

describe('a source that fails', () => {
  it('hands its own error on', async () => {
    const lost = new Error('connection lost')
    async function* source() {
      yield encodeLtx(delta, [[2, page]]).subarray(0, 150)
      throw lost
    }
    await expect(readLtx(source(), 'any', {})).rejects.toBe(lost)
  })

  it('or ends early makes a named error, wherever it ends', async () => {
    const bytes = encodeLtx(delta, [
      [2, page],
      [7, page],
    ])
    for (let length = 0; length < bytes.length; length++) {
      const expected = {
        code: 'DAMAGED',
        message: expect.stringContaining('"0/5.ltx" is damaged: it is cut off') as string,
      }
      await expect(readLtx([bytes.subarray(0, length)], '0/5.ltx', {})).rejects.toMatchObject(expected)
    }
  })
})

interface Frame {
  pageNumber: number
  flags?: number
  block?: Uint8Array
  blockBytes?: number
  content?: Uint8Array
}

/** A file with a right checksum but whatever frames and index the test asks for. */
function build(
  header: LtxHeader,
  frames: Frame[],
  change: { index?: Uint8Array; postApply?: bigint } = {},
): Buffer {
  const crc = new Crc64()
  const index = new LtxIndexWriter()
  const chunks: Uint8Array[] = [encodeLtxHeader(header)]
  crc.update(chunks[0] as Uint8Array)
  let offset = 100
  for (const {
    pageNumber,
    flags = 1,
    content = page,
    block = compressBlock(content),
    blockBytes = block.length,
  } of frames) {
    const prefix = Buffer.alloc(10)
    prefix.writeUInt32BE(pageNumber, 0)
    prefix.writeUInt16BE(flags, 4)
    prefix.writeUInt32BE(blockBytes, 6)
    crc.update(prefix).update(content)
    chunks.push(prefix, block)
    index.add(pageNumber, offset, 10 + block.length)
    offset += 10 + block.length
  }
  const tail = Buffer.concat([Buffer.alloc(6), change.index ?? index.finish(), Buffer.alloc(16)])
  tail.writeBigUInt64BE(change.postApply ?? 0n, tail.length - 16)
  tail.writeBigUInt64BE(crc.update(tail.subarray(0, -8)).digest() | (1n << 63n), tail.length - 8)
  return Buffer.concat([...chunks, tail])
}

function indexOf(...entries: Array<[number, number, number]>): Uint8Array {
  const writer = new LtxIndexWriter()
  for (const entry of entries) writer.add(...entry)
  return writer.finish()
}

describe('a file that breaks one rule', () => {
  const two: Frame[] = [{ pageNumber: 2 }, { pageNumber: 7 }]
  const frameBytes = 10 + compressBlock(page).length
  const snapshot: LtxHeader = { ...delta, minVersion: 1, pageCount: 3 }
  const sized = indexOf([2, 100, frameBytes], [7, 100 + frameBytes, frameBytes])
  const cases: Array<[string, Buffer, RegExp]> = [
    [
      'pages in another order',
      build(delta, [{ pageNumber: 7 }, { pageNumber: 2 }]),
      /page 2 comes after page 7/,
    ],
    ['a page twice', build(delta, [{ pageNumber: 2 }, { pageNumber: 2 }]), /page 2 comes after page 2/],
    ['a page beyond the database', build(delta, [{ pageNumber: 10 }]), /page 10 lies beyond the 9/],
    [
      'the lock page',
      build({ ...delta, pageCount: 3000000 }, [{ pageNumber: 2097153 }]),
      /lock page 2097153/,
    ],
    ['the frame form', build(delta, [{ pageNumber: 2, flags: 0 }]), /before 0.5.16/],
    ['unknown flags of a page', build(delta, [{ pageNumber: 2, flags: 3 }]), /unknown flags 3/],
    [
      'a block that is too long',
      build(delta, [{ pageNumber: 2, blockBytes: 2 ** 31 }]),
      /takes 2147483648 bytes/,
    ],
    [
      'a page too short',
      build(delta, [{ pageNumber: 2, content: page.subarray(1) }]),
      /511 bytes instead of 512/,
    ],
    ['a page too long', build(delta, [{ pageNumber: 2, content: new Uint8Array(513) }]), /inflates to more/],
    ['an empty block', build(delta, [{ pageNumber: 2, block: new Uint8Array(0) }]), /cannot be inflated/],
    ['a snapshot without its first page', build(snapshot, [{ pageNumber: 2 }]), /lacks pages before page 2/],
    [
      'a snapshot with a gap',
      build(snapshot, [{ pageNumber: 1 }, { pageNumber: 3 }]),
      /lacks pages before page 3/,
    ],
    [
      'a snapshot without its last page',
      build(snapshot, [{ pageNumber: 1 }, { pageNumber: 2 }]),
      /ends at page 2/,
    ],
    [
      'an index of other offsets',
      build(delta, two, { index: indexOf([2, 100, frameBytes], [7, 101 + frameBytes, frameBytes]) }),
      /index/,
    ],
    [
      'an index with an entry less',
      build(delta, two, { index: indexOf([2, 100, frameBytes]) }),
      /index|cut off/,
    ],
    [
      'a wrong size of the index',
      build(delta, two, { index: sized.map((b, i) => (i === sized.length - 1 ? b + 1 : b)) }),
      /says it takes/,
    ],
    ['a checksum after applying', build(delta, two, { postApply: 1n }), /trailer has a checksum/],
    [
      'a wrong file checksum',
      build(delta, two).map((b, i, all) => (i === all.length - 1 ? b ^ 1 : b)) as Buffer,
      /does not match/,
    ],
    ['bytes after its end', Buffer.concat([build(delta, two), Buffer.alloc(1)]), /follows its end/],
    [
      'flags on the end mark',
      Buffer.concat([build(delta, []).subarray(0, 104), Buffer.from([0, 1])]),
      /mark after its last page/,
    ],
  ]
  it('is accepted when it breaks none', () => {
    expect(decodeLtx(build(delta, two), 'good').pages.size).toBe(2)
  })
  for (const [what, bytes, message] of cases) {
    it(`is refused: ${what}`, async () => {
      const expected = {
        code: 'DAMAGED',
        data: { name: '0/5.ltx' },
        message: expect.stringMatching(message) as string,
      }
      expect(() => decodeLtx(bytes, '0/5.ltx')).toThrow(expect.objectContaining(expected))
      await expect(readLtx(inChunks(bytes, 7), '0/5.ltx', {})).rejects.toMatchObject(expected)
    })
  }
})

describe('a mutated file', () => {
  const original = encodeLtx(
    { ...delta, pageCount: 40 },
    [3, 4, 8, 17, 40].map((n) => [n, page.map((b) => b ^ n)]),
  )
  const decoded = decodeLtx(original, 'original')

  it('is refused, or holds the very same', () => {
    const edit = fc.tuple(fc.nat(original.length - 1), fc.nat(255))
    fc.assert(
      fc.property(fc.array(edit, { minLength: 1, maxLength: 3, size: 'max' }), (edits) => {
        const mutated = original.slice()
        for (const [index, byte] of edits) mutated[index] = byte
        expectSameOrDamage(mutated)
      }),
      { numRuns: 14_000 },
    )
  })

  it('is refused, or holds the very same, when pieces are cut out, doubled or moved', () => {
    const piece = fc.tuple(fc.nat(original.length), fc.nat(60), fc.nat(original.length))
    fc.assert(
      fc.property(piece, fc.boolean(), ([from, length, to], keep) => {
        const cut = original.subarray(from, from + length)
        const rest = keep
          ? original
          : Buffer.concat([original.subarray(0, from), original.subarray(from + length)])
        expectSameOrDamage(Buffer.concat([rest.subarray(0, to), cut, rest.subarray(to)]))
      }),
      { numRuns: 6_000 },
    )
  })

  it('of random bytes after a good header is refused', () => {
    const start = original.subarray(0, 100)
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 300, size: 'max' }), (random) =>
        expectSameOrDamage(Buffer.concat([start, random])),
      ),
      { numRuns: 1000 },
    )
  })

  function expectSameOrDamage(bytes: Uint8Array): void {
    try {
      const found = decodeLtx(bytes, 'mutated')
      expect(found).toEqual(decoded)
    } catch (thrown) {
      if (!(thrown instanceof KvarError) || thrown.code !== 'DAMAGED') throw thrown
    }
  }
})

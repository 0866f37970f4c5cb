/*
 * Goal: the WebAssembly is what the plain TypeScript is: the same blocks, the same pages, the same
 * CRCs, and the same refusal of hostile bytes; and the embedded bytes are made from the source beside.
 * Method: random and structured pages through both; mutated blocks must be refused by both or neither.
 */
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Crc64 } from './crc64.ts'
import { compressBlock, decompressBlock } from './lz4-block.ts'
import { newRegister, PageCodec, pageCodec, zeroRegister } from './page-codec.ts'
import { SOURCE_SHA256 } from './page-codec-wasm.ts'

/** Bytes that compress: runs, repetitions and noise in turn. */
const content = fc
  .array(
    fc.oneof(
      fc.uint8Array({ minLength: 1, maxLength: 40 }),
      fc
        .tuple(fc.nat(255), fc.integer({ min: 1, max: 700 }))
        .map(([byte, n]) => new Uint8Array(n).fill(byte)),
      fc
        .tuple(fc.uint8Array({ minLength: 1, maxLength: 24 }), fc.integer({ min: 2, max: 60 }))
        .map(([part, n]) => Buffer.concat(Array.from({ length: n }, () => part))),
    ),
    { maxLength: 40 },
  )
  .map((parts) => new Uint8Array(Buffer.concat(parts)).subarray(0, 65536))

function refusal(work: () => unknown): string | undefined {
  try {
    work()
    return undefined
  } catch (thrown) {
    return (thrown as Error).message
  }
}

/** The polynomial division bit by bit, as the standard describes it. */
function slowCrc(bytes: Uint8Array): bigint {
  let state = 0xffffffffffffffffn
  for (const byte of bytes) {
    state ^= BigInt(byte)
    for (let bit = 0; bit < 8; bit++) state = (state >> 1n) ^ ((state & 1n) * 0xd800000000000000n)
  }
  return state ^ 0xffffffffffffffffn
}

describe('WebAssembly and TypeScript agree', () => {
  it('on every block and its page', () => {
    const check = fc.property(content, (page) => {
      const block = compressBlock(page)
      expect(Buffer.compare(pageCodec().deflate(page), block)).toBe(0)
      expect(Buffer.compare(pageCodec().inflate(block, page.length), page)).toBe(0)
    })
    fc.assert(check, { numRuns: 500 })
  })

  it('on hostile blocks: both refuse in the same words, or give the same page', () => {
    const mutations = fc.array(fc.tuple(fc.nat(), fc.nat(255)), { minLength: 1, maxLength: 4 })
    const check = fc.property(content, mutations, fc.integer({ min: -3, max: 3 }), (page, changes, shift) => {
      const block = compressBlock(page)
      for (const [at, byte] of changes) block[at % block.length] = byte
      const size = Math.max(0, page.length + shift)
      const told = refusal(() => decompressBlock(block, size))
      expect(refusal(() => pageCodec().inflate(block, size))).toBe(told)
      if (told === undefined)
        expect(Buffer.compare(pageCodec().inflate(block, size), decompressBlock(block, size))).toBe(0)
    })
    fc.assert(check, { numRuns: 3000 })
  })

  it('never writes behind the page it inflates', () => {
    const check = fc.property(content, fc.array(fc.tuple(fc.nat(), fc.nat(255))), (page, changes) => {
      const codec = new PageCodec()
      const block = compressBlock(page)
      for (const [at, byte] of changes) block[at % block.length] = byte
      const behind = new Uint8Array(codec.pageRoom(0).buffer, codec.pageRoom(0).byteOffset + page.length, 64)
      behind.fill(0xa5)
      refusal(() => codec.inflate(block, page.length))
      expect(behind.every((byte) => byte === 0xa5)).toBe(true)
    })
    fc.assert(check, { numRuns: 300 })
  })

  it('on the CRC of any bytes, in any pieces', () => {
    const check = fc.property(content, fc.nat(), (bytes, cut) => {
      const at = bytes.length === 0 ? 0 : cut % bytes.length
      const register = newRegister()
      pageCodec().crc(register, bytes.subarray(0, at))
      pageCodec().crc(register, bytes.subarray(at))
      expect(digest(register)).toBe(slowCrc(bytes))
      expect(new Crc64().update(bytes.subarray(0, at)).update(bytes.subarray(at)).digest()).toBe(
        slowCrc(bytes),
      )
    })
    fc.assert(check, { numRuns: 60 })
  })

  it('on a CRC that was made in two places and joined', () => {
    const check = fc.property(content, content, (first, second) => {
      const register = newRegister()
      pageCodec().crc(register, first)
      const next = zeroRegister()
      pageCodec().crc(next, second)
      pageCodec().crcJoin(register, next, second.length)
      expect(digest(register)).toBe(new Crc64().update(first).update(second).digest())
    })
    fc.assert(check, { numRuns: 200 })
  })
})

describe('a batch of frames', () => {
  const pages = [1, 2, 5].map((n) => new Uint8Array(512).map((_, i) => (i * n) & 63))
  const frames = Buffer.concat(pages.map((page, i) => frame(i + 1, compressBlock(page))))

  it('inflates to its pages and the CRC of what the file checksum covers', () => {
    const result = new PageCodec({ batchBytes: 4096 }).inflateFrames(frames, 512, 3)
    if ('damagedFrame' in result) throw new Error('damaged')
    expect(Buffer.compare(result.pages, Buffer.concat(pages))).toBe(0)
    const register = newRegister()
    pageCodec().crcJoin(register, result.register, 3 * (10 + 512))
    const expected = new Crc64()
    for (const [i, page] of pages.entries())
      expected.update(frame(i + 1, compressBlock(page)).subarray(0, 10)).update(page)
    expect(digest(register)).toBe(expected.digest())
  })

  it('names the frame that is damaged', () => {
    const damaged = Buffer.from(frames)
    const second = 10 + compressBlock(pages[0] as Uint8Array).length
    damaged.writeUInt32BE(3, second + 6)
    expect(new PageCodec({ batchBytes: 4096 }).inflateFrames(damaged, 512, 3)).toEqual({ damagedFrame: 1 })
  })
})

it('the embedded bytes are made from the source beside', () => {
  const source = readFileSync(new URL('../../assembly/page-codec.ts', import.meta.url))
  expect(createHash('sha256').update(source).digest('hex')).toBe(SOURCE_SHA256)
})

function frame(pageNumber: number, block: Uint8Array): Buffer {
  const prefix = Buffer.alloc(10)
  prefix.writeUInt32BE(pageNumber, 0)
  prefix.writeUInt16BE(1, 4)
  prefix.writeUInt32BE(block.length, 6)
  return Buffer.concat([prefix, block])
}

function digest(register: Uint32Array): bigint {
  const [low = 0, high = 0] = register
  return (BigInt(~high >>> 0) << 32n) | BigInt(~low >>> 0)
}

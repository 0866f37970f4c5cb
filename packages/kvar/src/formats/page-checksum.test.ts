/*
 * Goal: the database checksum sees every change that XORed CRCs would miss, and can be carried along.
 * Method: the definition computed another way; swapped pages and equal edits on two pages; random edits.
 */
import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { expect, it } from 'vitest'
import {
  addChecksum,
  BEFORE_PAGES_BYTES,
  pageChecksum,
  pageChecksumsOver,
  subtractChecksum,
  sumChecksums,
} from './page-checksum.ts'

function databaseChecksum(pages: Uint8Array[]): bigint {
  return pages.reduce((sum, page, index) => addChecksum(sum, pageChecksum(index + 1, page)), 0n)
}

it('is the beginning of SHA-256 over page number and page', () => {
  const page = Buffer.alloc(512, 'birthday')
  const digest = createHash('sha256')
    .update(Buffer.from([0, 1, 0, 2]))
    .update(page)
    .digest('hex')
  expect(pageChecksum(65538, page).toString(16).padStart(16, '0')).toBe(digest.slice(0, 16))
})

it('changes when two pages are swapped', () => {
  const [a, b] = [Buffer.alloc(512, 'a'), Buffer.alloc(512, 'b')]
  expect(databaseChecksum([a, b])).not.toBe(databaseChecksum([b, a]))
})

it('changes when two pages get the same edit', () => {
  const before = [Buffer.alloc(512, 'a'), Buffer.alloc(512, 'b')]
  const after = before.map((page) => page.map((byte, index) => (index === 9 ? byte ^ 4 : byte)))
  expect(databaseChecksum(after)).not.toBe(databaseChecksum(before))
})

it('carried along edit by edit equals the one computed anew', () => {
  const content = fc.uint8Array({ minLength: 16, maxLength: 16 })
  const edit = fc.record({ index: fc.nat(4), page: content })
  fc.assert(
    fc.property(
      fc.array(content, { minLength: 5, maxLength: 5 }),
      fc.array(edit, { maxLength: 20, size: 'max' }),
      (pages, edits) => {
        let sum = databaseChecksum(pages)
        for (const { index, page } of edits) {
          const before = pageChecksum(index + 1, pages[index] as Uint8Array)
          sum = addChecksum(subtractChecksum(sum, before), pageChecksum(index + 1, page))
          pages[index] = page
        }
        expect(sum).toBe(databaseChecksum(pages))
      },
    ),
  )
})

it('stays within 64 bits', () => {
  expect(addChecksum(2n ** 64n - 1n, 2n)).toBe(1n)
  expect(subtractChecksum(1n, 2n)).toBe(2n ** 64n - 1n)
})

it('of many pages in one buffer are those of each page', () => {
  const sizes = fc.constantFrom(512, 1024, 4096)
  const check = fc.property(
    sizes,
    fc.integer({ min: 1, max: 2 ** 31 }),
    fc.integer({ min: 0, max: 9 }),
    (pageSize, first, count) => {
      const buffer = Buffer.alloc(BEFORE_PAGES_BYTES + pageSize * count).map((_, i) => (i * first) >>> 7)
      const expected = Array.from({ length: count }, (_, i) => {
        const start = BEFORE_PAGES_BYTES + i * pageSize
        return pageChecksum(first + i, buffer.slice(start, start + pageSize))
      })
      expect([...pageChecksumsOver(buffer, first, pageSize)]).toEqual(expected)
    },
  )
  fc.assert(check, { numRuns: 50 })
})

it('of a whole table is the sum of all, however large they and their number are', () => {
  const check = fc.property(fc.array(fc.bigInt({ min: 0n, max: 2n ** 64n - 1n })), (checksums) => {
    expect(sumChecksums(BigUint64Array.from(checksums))).toBe(checksums.reduce(addChecksum, 0n))
  })
  fc.assert(check)
  const many = new BigUint64Array(600_000).fill(2n ** 64n - 3n)
  expect(sumChecksums(many)).toBe(BigInt.asUintN(64, (2n ** 64n - 3n) * 600_000n))
})

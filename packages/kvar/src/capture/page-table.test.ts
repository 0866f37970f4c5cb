/*
 * Goal: no change of the pages escapes the page table and the database checksum.
 * Method: pages are changed in the ways that fool weaker sums (swapped, the same edit twice, back and
 * forth, moved by the end of the file), and a random history is compared with a table made anew.
 */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { pageChecksum } from '../formats/page-checksum.ts'
import { PageTable } from './page-table.ts'

const PAGE_SIZE = 512

function tableOf(pages: Uint8Array[]): PageTable {
  const table = new PageTable(PAGE_SIZE, 1)
  table.resize(pages.length)
  for (const [index, page] of pages.entries()) table.set(index + 1, pageChecksum(index + 1, page))
  return table
}

function page(fill: number): Uint8Array {
  return new Uint8Array(PAGE_SIZE).fill(fill)
}

function edited(original: Uint8Array): Uint8Array {
  const copy = original.slice()
  copy[100] = (copy[100] as number) ^ 0x40
  return copy
}

describe('the database checksum', () => {
  it('tells two swapped pages', () => {
    const before = tableOf([page(1), page(2), page(3)])
    const after = tableOf([page(1), page(3), page(2)])
    expect(after.databaseChecksum).not.toBe(before.databaseChecksum)
    expect([2, 3].map((n) => after.get(n) === before.get(n))).toEqual([false, false])
  })

  it('tells the same edit made on two pages', () => {
    const before = tableOf([page(1), page(7), page(7)])
    const after = tableOf([page(1), edited(page(7)), edited(page(7))])
    expect(after.databaseChecksum).not.toBe(before.databaseChecksum)
    expect([2, 3].map((n) => after.get(n) === before.get(n))).toEqual([false, false])
  })

  it('tells an empty page at the end from no page', () => {
    expect(tableOf([page(1), page(0)]).databaseChecksum).not.toBe(tableOf([page(1)]).databaseChecksum)
  })

  it('is the same after a change that was taken back', () => {
    const table = tableOf([page(1), page(2)])
    const before = table.databaseChecksum
    table.set(2, pageChecksum(2, page(9)))
    expect(table.databaseChecksum).not.toBe(before)
    table.set(2, pageChecksum(2, page(2)))
    expect(table.databaseChecksum).toBe(before)
  })

  it('is that of a table made anew, after any history of changes, growth and shrinking', () => {
    const step = fc.oneof(
      fc.record({ pageNumber: fc.nat(20), fill: fc.nat(255) }),
      fc.record({ pageCount: fc.nat(20) }),
    )
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const pages: Uint8Array[] = []
        const table = new PageTable(PAGE_SIZE, 1)
        for (const one of steps) {
          if ('pageCount' in one) resize(pages, table, one.pageCount)
          else if (one.pageNumber < pages.length) {
            pages[one.pageNumber] = page(one.fill)
            table.set(one.pageNumber + 1, pageChecksum(one.pageNumber + 1, page(one.fill)))
          }
        }
        const anew = tableOf(pages)
        expect(table.databaseChecksum).toBe(anew.databaseChecksum)
        expect([...table.entries()]).toEqual([...anew.entries()])
        expect([...table.copy().entries()]).toEqual([...anew.entries()])
      }),
    )
  })
})

function resize(pages: Uint8Array[], table: PageTable, pageCount: number): void {
  const before = pages.length
  pages.length = Math.min(before, pageCount)
  table.resize(pageCount)
  for (let index = before; index < pageCount; index++) {
    pages.push(page(0))
    table.set(index + 1, pageChecksum(index + 1, page(0)))
  }
}

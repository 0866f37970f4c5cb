/*
 * Goal: changed pages are never forgotten, however little memory there is for their images.
 * Method: a random history of changes against a plain map, with limits from nothing to plenty.
 */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { PendingPages } from './pending-pages.ts'

const PAGE_SIZE = 64

describe('pending pages', () => {
  it('know every changed page, and hold its newest image or none, within their limit', () => {
    const change = fc.oneof(
      fc.record({ pageNumber: fc.integer({ min: 1, max: 30 }), fill: fc.nat(255) }),
      fc.record({ truncate: fc.nat(30) }),
      fc.record({ mark: fc.integer({ min: 1, max: 30 }) }),
    )
    const limitBytes = fc.nat(20 * PAGE_SIZE)
    fc.assert(
      fc.property(limitBytes, fc.array(change, { maxLength: 80 }), (limit, changes) => {
        const pending = new PendingPages(limit)
        const newest = new Map<number, number>()
        for (const one of changes) apply(one, pending, newest)
        expect(pending.pageNumbers()).toEqual([...newest.keys()].sort((a, b) => a - b))
        expect(pending.heldBytes).toBeLessThanOrEqual(limit)
        for (const [pageNumber, fill] of newest) {
          const image = pending.image(pageNumber)
          if (image !== undefined) expect(image[0]).toBe(fill)
        }
      }),
    )
  })

  it('say when they are full', () => {
    const pending = new PendingPages(2 * PAGE_SIZE)
    pending.set(1, new Uint8Array(PAGE_SIZE))
    expect(pending.overflowed).toBe(false)
    pending.set(2, new Uint8Array(PAGE_SIZE))
    expect(pending.overflowed).toBe(true)
    pending.clear()
    expect([pending.size, pending.heldBytes, pending.overflowed]).toEqual([0, 0, false])
  })
})

type Change = { pageNumber: number; fill: number } | { truncate: number } | { mark: number }

function apply(change: Change, pending: PendingPages, newest: Map<number, number>): void {
  if ('truncate' in change) {
    pending.truncate(change.truncate)
    for (const pageNumber of newest.keys()) if (pageNumber > change.truncate) newest.delete(pageNumber)
  } else if ('mark' in change) {
    pending.mark(change.mark)
    newest.set(change.mark, newest.get(change.mark) ?? -1)
  } else {
    pending.set(change.pageNumber, new Uint8Array(PAGE_SIZE).fill(change.fill))
    newest.set(change.pageNumber, change.fill)
  }
}

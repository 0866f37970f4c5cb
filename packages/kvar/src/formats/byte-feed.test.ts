/*
 * Goal: pieces come out in order and whole, however the chunks were cut.
 * Method: random chunks and random sizes of pieces against the plain concatenation.
 */
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { ByteFeed } from './byte-feed.ts'

it('gives the bytes that were fed, in pieces of the sizes asked for', () => {
  const chunks = fc.array(fc.uint8Array({ maxLength: 40, size: 'max' }), { maxLength: 20, size: 'max' })
  const sizes = fc.array(fc.nat(50), { minLength: 1, maxLength: 20, size: 'max' })
  fc.assert(
    fc.property(chunks, sizes, (list, wanted) => {
      const feed = new ByteFeed()
      const pieces: Buffer[] = []
      let next = 0
      for (const chunk of list) {
        feed.push(chunk)
        for (
          let piece = feed.take(wanted[next] ?? 1);
          piece !== undefined;
          piece = feed.take(wanted[next] ?? 1)
        ) {
          expect(piece.length).toBe(wanted[next] ?? 1)
          pieces.push(Buffer.from(piece))
          next++
        }
      }
      const all = Buffer.concat(list)
      const taken = Buffer.concat(pieces)
      expect(taken.equals(all.subarray(0, taken.length))).toBe(true)
      expect(all.length - taken.length).toBeLessThan(Math.max(1, wanted[next] ?? 1))
    }),
  )
})

it('gives some bytes of the chunk at hand, never more than asked for', () => {
  const feed = new ByteFeed()
  expect(feed.takeSome(9)).toBeUndefined()
  feed.push(Uint8Array.of(1, 2, 3))
  expect(feed.takeSome(2)).toEqual(Uint8Array.of(1, 2))
  expect(feed.takeSome(2)).toEqual(Uint8Array.of(3))
})

it('refuses a chunk before the last one is used up', () => {
  const feed = new ByteFeed()
  feed.push(Uint8Array.of(1, 2, 3))
  expect(() => feed.push(Uint8Array.of(4))).toThrow(/before the last one was used up/)
})

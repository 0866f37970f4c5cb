// Goal: whatever chunks a source gives, a body arrives in even pieces, whole, and a source that breaks
// its promise or fails is told apart from the target. Method: random chunkings, and sources that fail.

import fc from 'fast-check'
import { expect, it } from 'vitest'
import { BodyFailure, bodyPieces } from './checked-body.ts'
import type { ObjectBody } from './target.ts'

async function piecesOf(body: ObjectBody, pieceBytes: number): Promise<Buffer[]> {
  const pieces = []
  for await (const piece of bodyPieces(body, pieceBytes, undefined)) pieces.push(piece)
  return pieces
}

function source(chunks: Uint8Array[], sizeBytes?: number): ObjectBody {
  const whole = chunks.reduce((sum, chunk) => sum + chunk.length, 0)
  return {
    sizeBytes: sizeBytes ?? whole,
    async *open() {
      yield* chunks
    },
  }
}

it('gives even pieces, whatever the chunks', async () => {
  const chunks = fc.array(fc.uint8Array({ maxLength: 40 }), { maxLength: 12 })
  await fc.assert(
    fc.asyncProperty(chunks, fc.integer({ min: 1, max: 50 }), async (given, pieceBytes) => {
      const whole = Buffer.concat(given)
      for (const body of [source(given), whole]) {
        const pieces = await piecesOf(body, pieceBytes)
        expect(Buffer.concat(pieces)).toEqual(whole)
        expect(pieces).toHaveLength(Math.max(1, Math.ceil(whole.length / pieceBytes)))
        expect(pieces.slice(0, -1).every((piece) => piece.length === pieceBytes)).toBe(true)
      }
    }),
  )
})

it('keeps its pieces when the source uses its buffer again', async () => {
  const buffer = new Uint8Array(3)
  const body: ObjectBody = {
    sizeBytes: 9,
    async *open() {
      for (const value of [1, 2, 3]) yield buffer.fill(value)
    },
  }
  expect(Buffer.concat(await piecesOf(body, 9))).toEqual(Buffer.from([1, 1, 1, 2, 2, 2, 3, 3, 3]))
})

it('refuses a source that gives more or less than it promised, before its last piece', async () => {
  for (const promised of [4, 6, 0]) {
    const seen: Buffer[] = []
    const reading = (async () => {
      for await (const piece of bodyPieces(source([new Uint8Array(5)], promised), 2, undefined))
        seen.push(piece)
    })()
    await expect(reading).rejects.toMatchObject({ failure: 'permanent' })
    expect(seen.length).toBeLessThan(3)
  }
})

it('marks what the source threw as its own', async () => {
  const broken = new RangeError('broken')
  const body: ObjectBody = {
    sizeBytes: 9,
    // biome-ignore lint/correctness/useYield: it fails before its first chunk
    async *open(): AsyncIterable<Uint8Array> {
      throw broken
    },
  }
  const thrown = await piecesOf(body, 9).catch((error: unknown) => error)
  expect(thrown).toBeInstanceOf(BodyFailure)
  expect((thrown as BodyFailure).cause).toBe(broken)
})

it('stops when it is aborted', async () => {
  const reading = (async () => {
    for await (const _ of bodyPieces(new Uint8Array(9), 2, AbortSignal.abort()));
  })()
  await expect(reading).rejects.toMatchObject({ code: 'CANCELLED' })
})

/*
 * Goal: a compacted file has exactly the effect of its inputs applied one after the other, and no
 * compacted file comes of inputs that do not belong together or are damaged.
 * Method: random histories of a small database (edits, growth, shrinking) cut into random ranges and
 * compacted; the model is a plain map of pages. Then every broken rule once.
 */
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { LtxHeader } from './ltx.ts'
import { type CompactInput, compactLtx } from './ltx-compact.ts'
import { decodeLtx } from './ltx-decoder.ts'
import { encodeLtx } from './ltx-encoder.ts'
import { addChecksum, pageChecksum } from './page-checksum.ts'

type Pages = Map<number, Uint8Array>
const PAGE_SIZE = 512

const pageWith = (seed: number) => new Uint8Array(PAGE_SIZE).map((_, index) => (index * seed) >> 2)

function checksumOf(database: Pages): bigint {
  return [...database].reduce((sum, [number, page]) => addChecksum(sum, pageChecksum(number, page)), 0n)
}

function makeFile(
  minVersion: number,
  maxVersion: number,
  changed: Pages,
  database: Pages,
  more = {},
): Uint8Array {
  const header: LtxHeader = {
    pageSize: PAGE_SIZE,
    pageCount: database.size,
    minVersion,
    maxVersion,
    timestampMs: 1795399557121 + maxVersion,
    nodeId: BigInt(maxVersion),
    databaseChecksum: checksumOf(database),
    lineage: 77n,
    ...more,
  }
  return encodeLtx(
    header,
    [...changed].sort(([a], [b]) => a - b),
  )
}

/** One version each: the new size, and which pages get which content. */
const history = fc.array(
  fc.record({
    pageCount: fc.integer({ min: 1, max: 12 }),
    edits: fc.array(fc.tuple(fc.integer({ min: 1, max: 12 }), fc.integer({ min: 1, max: 999 })), {
      maxLength: 5,
      size: 'max',
    }),
  }),
  { minLength: 1, maxLength: 8, size: 'max' },
)

interface Step {
  pageCount: number
  edits: Array<[number, number]>
}

/** The files of a history and the database after each: the model. */
function play(steps: Step[]): { files: Uint8Array[]; databases: Pages[] } {
  const databases: Pages[] = []
  const files = steps.map(({ pageCount, edits }, index) => {
    const before: Pages = databases.at(-1) ?? new Map()
    const changed: Pages = new Map()
    for (let number = before.size + 1; number <= pageCount; number++) changed.set(number, pageWith(number))
    for (const [number, seed] of edits) if (number <= pageCount) changed.set(number, pageWith(seed))
    const database: Pages = new Map()
    for (let number = 1; number <= pageCount; number++) {
      database.set(number, changed.get(number) ?? (before.get(number) as Uint8Array))
    }
    databases.push(database)
    return makeFile(index + 1, index + 1, changed, database)
  })
  return { files, databases }
}

function input(bytes: Uint8Array, name = 'input', chunkBytes = 200): CompactInput {
  return {
    name,
    *open() {
      for (let start = 0; start < bytes.length; start += chunkBytes)
        yield bytes.subarray(start, start + chunkBytes)
    },
  }
}

async function collect(inputs: CompactInput[]): Promise<Uint8Array> {
  const chunks: Uint8Array[] = []
  for await (const chunk of compactLtx(inputs)) chunks.push(chunk)
  return Buffer.concat(chunks)
}

async function compact(files: Uint8Array[]): Promise<Uint8Array> {
  return collect(files.map((bytes, index) => input(bytes, `input ${index}`)))
}

function apply(files: Uint8Array[]): Pages {
  const database: Pages = new Map()
  for (const bytes of files) {
    const { header, pages } = decodeLtx(bytes, 'applied')
    for (const [number, page] of pages) database.set(number, page)
    for (const number of database.keys()) if (number > header.pageCount) database.delete(number)
  }
  return new Map([...database].sort(([a], [b]) => a - b))
}

describe('compactLtx', () => {
  it('has the effect of its inputs, wherever the history is divided', async () => {
    await fc.assert(
      fc.asyncProperty(history, fc.nat(8), fc.nat(8), async (steps, a, b) => {
        const { files, databases } = play(steps)
        const [from, to] = [Math.min(a, b) % files.length, (Math.max(a, b) % files.length) + 1]
        fc.pre(from < to)
        const range = await compact(files.slice(from, to))
        const { header } = decodeLtx(range, 'range')
        const last = decodeLtx(files[to - 1] as Uint8Array, 'last').header
        expect(header).toEqual({ ...last, minVersion: from + 1 })
        expect(apply([...files.slice(0, from), range, ...files.slice(to)])).toEqual(databases.at(-1))
      }),
      { numRuns: 150 },
    )
  })

  it('gives the same bytes each time, also in steps or with overlap', async () => {
    const { files } = play([
      { pageCount: 5, edits: [[2, 7]] },
      {
        pageCount: 9,
        edits: [
          [1, 8],
          [9, 4],
        ],
      },
      { pageCount: 3, edits: [[1, 9]] },
      { pageCount: 6, edits: [[6, 2]] },
    ])
    const atOnce = await compact(files)
    expect(Buffer.compare(await compact(files), atOnce)).toBe(0)
    const [left, right] = [await compact(files.slice(0, 3)), await compact(files.slice(1))]
    expect(Buffer.compare(await compact([left, right]), atOnce)).toBe(0)
    expect(Buffer.compare(await compact([left, files[3] as Uint8Array]), atOnce)).toBe(0)
  })

  it('reads asynchronous sources and closes all of them, also when it is left early', async () => {
    const { files } = play([
      { pageCount: 5, edits: [] },
      { pageCount: 6, edits: [] },
    ])
    let open = 0
    const inputs = files.map((bytes, index) => ({
      name: `input ${index}`,
      async *open() {
        open++
        try {
          yield* input(bytes, '', 50).open()
        } finally {
          open--
        }
      },
    }))
    for await (const _ of compactLtx(inputs)) {
      expect(open).toBe(2)
      break
    }
    expect(open).toBe(0)
    await collect(inputs)
    expect(open).toBe(0)
  })
})

describe('inputs that do not belong together', () => {
  const { files, databases } = play([
    { pageCount: 4, edits: [] },
    { pageCount: 4, edits: [[1, 5]] },
    { pageCount: 6, edits: [[1, 6]] },
  ])
  const [first, second, third] = files as [Uint8Array, Uint8Array, Uint8Array]
  const database = databases[2] as Pages

  const broken: Array<[string, Uint8Array[], RegExp]> = [
    ['a gap', [first, third], /"input 1" does not follow "input 0"/],
    ['the wrong order', [second, first], /"input 1" does not follow "input 0"/],
    ['the same twice', [first, second, second], /"input 2" does not follow "input 1"/],
    ['another lineage', [first, makeFile(2, 2, database, database, { lineage: 78n })], /another database/],
    [
      'a page size of its own',
      [first, encodeLtx({ ...decodeLtx(second, '').header, pageSize: 1024 }, [])],
      /1024 bytes/,
    ],
    ['a page nobody holds', [first, makeFile(2, 2, new Map([[1, pageWith(3)]]), database)], /needs page 5/],
  ]
  for (const [what, inputs, message] of broken) {
    it(`are refused: ${what}`, async () => {
      const expected = { code: 'LOG_BROKEN', message: expect.stringMatching(message) as string }
      await expect(compact(inputs)).rejects.toMatchObject(expected)
    })
  }

  it('are refused: a snapshot whose pages do not have the database checksum of its last version', async () => {
    const wrong = makeFile(2, 2, new Map([[1, pageWith(3)]]), databases[1] as Pages)
    await expect(compact([first, wrong])).rejects.toMatchObject({
      code: 'DAMAGED',
      message: expect.stringContaining('database checksum') as string,
    })
  })

  it('are refused by name when one is damaged, cut off or empty', async () => {
    const flipped = second.map((byte, index) => (index === second.length - 1 ? byte ^ 1 : byte))
    for (const bad of [flipped, second.subarray(0, -1), second.subarray(0, 50), new Uint8Array(0)]) {
      const expected = { code: 'DAMAGED', message: expect.stringContaining('"input 1"') as string }
      await expect(compact([first, bad, third])).rejects.toMatchObject(expected)
    }
  })

  it('never yield the end of a file before all were verified', async () => {
    const flipped = third.map((byte, index) => (index === third.length - 1 ? byte ^ 1 : byte))
    const chunks: Uint8Array[] = []
    const run = async () => {
      for await (const chunk of compactLtx([first, second, flipped].map((bytes) => input(bytes))))
        chunks.push(chunk)
    }
    await expect(run()).rejects.toMatchObject({ code: 'DAMAGED' })
    expect(() => decodeLtx(Buffer.concat(chunks), 'partial')).toThrow(/cut off/)
  })
})

import { assert } from '../../errors.ts'
import { type ReadOptions, TargetError, throwIfCancelled } from '../target.ts'
import type { PostgresConnections } from './postgres-connections.ts'
import { PART_BYTES, type PostgresTables } from './postgres-tables.ts'

/** A piece of an object: which row it is in, and where in it. */
interface Piece {
  number: number
  /** From 1, as SQL's `substring` counts. */
  from: number
  length: number
}

/**
 * Bytes travel as base64, which Node.js reads past its line ends: the library turns every answer into
 * text (its binary mode too, which garbles bytes), and its own way is hexadecimal, half as large again.
 */
function selectBytes(from: string, length: string): string {
  return `encode(substring(bytes from ${from}::integer for ${length}::integer), 'base64')`
}

/**
 * An object's bytes, a query for each part: between them no connection is held and no transaction is
 * open. All parts belong to the object id that the first query found, so that a replacement meanwhile
 * cannot mix in; a replaced object keeps its parts for an hour.
 */
export class PostgresStream implements AsyncIterableIterator<Uint8Array> {
  readonly #source: StreamSource
  readonly #id: string
  readonly #endOffset: number
  #offset: number
  #ready: Buffer | undefined

  private constructor(source: StreamSource, found: FoundObject) {
    this.#source = source
    this.#id = found.id
    this.#offset = found.offset
    this.#endOffset = found.endOffset
    this.#ready = found.first
  }

  /** Finds the object and its first wanted bytes in one round trip; undefined when there is none. */
  static async open(source: StreamSource): Promise<PostgresStream | undefined> {
    const { connections, tables, prefix, key, options } = source
    const { offset, length } = options.range ?? { offset: 0, length: Number.MAX_SAFE_INTEGER }
    assert(Number.isSafeInteger(offset) && offset >= 0 && length >= 0, 'a range lies within an object')
    const first = pieceAt(offset, length === 0 ? offset : Number.MAX_SAFE_INTEGER)
    const text = `select o.id, o.size_bytes as "sizeBytes", (select ${selectBytes('$4', '$5')}
        from ${tables.parts} where object_id = o.id and number = $3::integer) as bytes
      from ${tables.objects} o where o.prefix = $1 and o.key = $2`
    const values = [prefix, key, first.number, first.from, Math.min(first.length, length)]
    const { rows } = await connections.run(options.signal, (client) => client.query(text, values))
    const [row] = rows as Array<{ id: string; sizeBytes: string; bytes: string | null }>
    if (row === undefined) return undefined
    const endOffset = Math.min(offset + length, Number(row.sizeBytes))
    const isWanted = offset < endOffset && row.bytes !== null
    const ready = isWanted ? Buffer.from(row.bytes as string, 'base64') : undefined
    return new PostgresStream(source, { id: row.id, offset, endOffset, first: ready })
  }

  [Symbol.asyncIterator](): this {
    return this
  }

  async next(): Promise<IteratorResult<Uint8Array, undefined>> {
    const { connections, options } = this.#source
    throwIfCancelled(options.signal)
    connections.assertOpen()
    if (this.#offset >= this.#endOffset) return { done: true, value: undefined }
    const piece = pieceAt(this.#offset, this.#endOffset)
    const value = this.#ready ?? (await this.#query(piece))
    this.#ready = undefined
    if (value.length !== piece.length) throw incomplete(this.#source)
    this.#offset += value.length
    return { done: false, value }
  }

  async return(): Promise<IteratorResult<Uint8Array, undefined>> {
    this.#offset = this.#endOffset
    this.#ready = undefined
    return { done: true, value: undefined }
  }

  async #query({ number, from, length }: Piece): Promise<Buffer> {
    const { connections, tables, options, classify } = this.#source
    const text = `select ${selectBytes('$3', '$4')} as bytes from ${tables.parts}
      where object_id = $1::uuid and number = $2::integer`
    const values = [this.#id, number, from, length]
    try {
      const { rows } = await connections.run(options.signal, (client) => client.query(text, values))
      const [row] = rows as Array<{ bytes: string }>
      if (row === undefined) throw incomplete(this.#source)
      return Buffer.from(row.bytes, 'base64')
    } catch (thrown) {
      throw classify(thrown)
    }
  }
}

export interface StreamSource {
  connections: PostgresConnections
  tables: PostgresTables
  url: string
  prefix: string
  key: string
  options: ReadOptions
  classify: (thrown: unknown) => unknown
}

interface FoundObject {
  id: string
  offset: number
  endOffset: number
  first: Buffer | undefined
}

/** The bytes from `offset` to the end of its part, or to `endOffset` if that comes first. */
function pieceAt(offset: number, endOffset: number): Piece {
  const number = Math.floor(offset / PART_BYTES)
  const within = offset - number * PART_BYTES
  return { number, from: within + 1, length: Math.min(PART_BYTES - within, endOffset - offset) }
}

function incomplete({ key, url }: StreamSource): TargetError {
  return new TargetError('temporary', `"${key}" on ${url} was removed or replaced while it was read`, {
    hint: 'it is read again from the beginning',
    data: { key, url },
  })
}

import { KvarError } from '../errors.ts'

/*
 * The raw LZ4 block (lz4_Block_format.md of the LZ4 project): a row of sequences
 *
 *   token            literal length (high 4 bits), match length − 4 (low 4 bits)
 *   255 … n          more literal length, while the nibble or the last byte was full
 *   literals
 *   offset, 2 bytes  little-endian, 1…65535 back from here; the last sequence ends before it
 *   255 … n          more match length
 *
 * The last five bytes are literals and the last match begins twelve bytes before the end or earlier.
 */

const MIN_MATCH = 4
const LAST_LITERALS = 5
const MATCH_LIMIT = 12
const MAX_OFFSET = 65535
const HASH_BITS = 13
/** After this many misses in a row (as a power of two) the search takes longer steps. */
const SKIP_BITS = 5

const table = new Int32Array(1 << HASH_BITS)
let tableEnd = 1
let scratch = new Uint8Array(0)

/** The most bytes a block of `sizeBytes` can take: incompressible content is one run of literals. */
export function compressBound(sizeBytes: number): number {
  return sizeBytes + Math.floor(sizeBytes / 255) + 16
}

/**
 * Compresses bytes into one raw LZ4 block. Deterministic: the same bytes give the same block.
 *
 * @example
 * decompressBlock(compressBlock(page), page.length) // equals page
 */
export function compressBlock(source: Uint8Array): Uint8Array {
  const bound = compressBound(source.length)
  if (scratch.length < bound) scratch = new Uint8Array(bound)
  return scratch.slice(0, compressBlockInto(source, scratch, 0))
}

/**
 * Compresses into `target` from `start`, where `compressBound(source.length)` bytes must be free.
 *
 * @returns the end of the block in `target`
 */
export function compressBlockInto(source: Uint8Array, target: Uint8Array, start: number): number {
  const view = new DataView(source.buffer, source.byteOffset, source.length)
  const base = reserveTable(source.length)
  const searchEnd = source.length - MATCH_LIMIT
  let out = start
  let anchor = 0
  let position = 0
  let misses = 1 << SKIP_BITS
  while (position <= searchEnd) {
    const word = view.getInt32(position, true)
    const slot = slotOf(word)
    let match = (table[slot] as number) - base
    table[slot] = base + position
    if (match < 0 || position - match > MAX_OFFSET || view.getInt32(match, true) !== word) {
      position += misses++ >> SKIP_BITS
      continue
    }
    while (position > anchor && match > 0 && source[position - 1] === source[match - 1]) {
      position--
      match--
    }
    const end = matchEnd(source, match + MIN_MATCH, position + MIN_MATCH)
    const extraMatch = end - position - MIN_MATCH
    out = writeLiterals(source, anchor, position, target, out, extraMatch)
    out = writeMatch(target, out, position - match, extraMatch)
    anchor = position = end
    misses = 1 << SKIP_BITS
    if (end <= searchEnd) table[slotOf(view.getInt32(end - 2, true))] = base + end - 2
  }
  return writeLiterals(source, anchor, source.length, target, out, 0)
}

/**
 * The table is shared by all calls: each counts its positions from a base above everything that was
 * stored before, so that it need not be cleared and the result does not depend on earlier calls.
 */
function reserveTable(length: number): number {
  if (tableEnd + length > 0x7fff0000) {
    table.fill(0)
    tableEnd = 1
  }
  const base = tableEnd
  tableEnd += length
  return base
}

/** Fibonacci hashing of four bytes. */
function slotOf(word: number): number {
  return Math.imul(word, -1640531535) >>> (32 - HASH_BITS)
}

function matchEnd(source: Uint8Array, match: number, position: number): number {
  const limit = source.length - LAST_LITERALS
  while (position < limit && source[match] === source[position]) {
    match++
    position++
  }
  return position
}

/** Writes a token and its literals; `extraMatch` is the match length beyond four. */
function writeLiterals(
  source: Uint8Array,
  from: number,
  to: number,
  target: Uint8Array,
  out: number,
  extraMatch: number,
): number {
  const length = to - from
  target[out++] = (Math.min(length, 15) << 4) | Math.min(extraMatch, 15)
  if (length >= 15) out = writeLength(target, out, length - 15)
  if (length > 32) target.set(source.subarray(from, to), out)
  else for (let i = 0; i < length; i++) target[out + i] = source[from + i] as number
  return out + length
}

function writeMatch(target: Uint8Array, out: number, offset: number, extraMatch: number): number {
  target[out++] = offset & 0xff
  target[out++] = offset >>> 8
  return extraMatch >= 15 ? writeLength(target, out, extraMatch - 15) : out
}

function writeLength(target: Uint8Array, out: number, length: number): number {
  for (; length >= 255; length -= 255) target[out++] = 255
  target[out++] = length
  return out
}

/**
 * Inflates one raw LZ4 block. Safe on hostile bytes: reads and writes stay within bounds and the
 * work is limited by the length of `source` and `size`.
 *
 * @param size the exact number of bytes the block must inflate to
 * @param into where to write them, at least `size` long; without it a new array is made
 * @returns a view of `size` bytes
 * @throws KvarError DAMAGED if the block is invalid or inflates to another size
 */
export function decompressBlock(source: Uint8Array, size: number, into?: Uint8Array): Uint8Array {
  const target = into === undefined ? new Uint8Array(size) : into.subarray(0, size)
  if (target.length !== size)
    throw new KvarError('ASSERTION', `Kvar contradicts itself: no room for ${size} bytes`)
  let read = 0
  let written = 0
  for (;;) {
    if (read >= source.length) throw invalid('it ends inside a sequence')
    const token = source[read++] as number
    let length = token >>> 4
    if (length === 15) {
      let more = 255
      while (more === 255) {
        if (read >= source.length) throw invalid('it ends inside a length')
        more = source[read++] as number
        length += more
      }
    }
    if (length > source.length - read) throw invalid('its literals reach beyond its end')
    if (length > size - written) throw invalid('it inflates to more than it should')
    if (length > 32) target.set(source.subarray(read, read + length), written)
    else for (let i = 0; i < length; i++) target[written + i] = source[read + i] as number
    read += length
    written += length
    if (read === source.length) break

    if (source.length - read < 2) throw invalid('it ends inside an offset')
    const offset = (source[read] as number) | ((source[read + 1] as number) << 8)
    read += 2
    if (offset === 0 || offset > written) throw invalid('a match points before its beginning')
    length = (token & 15) + MIN_MATCH
    if ((token & 15) === 15) {
      let more = 255
      while (more === 255) {
        if (read >= source.length) throw invalid('it ends inside a length')
        more = source[read++] as number
        length += more
      }
    }
    if (length > size - written) throw invalid('it inflates to more than it should')
    copyMatch(target, written, offset, length)
    written += length
  }
  if (written !== size) throw invalid(`it inflates to ${written} bytes instead of ${size}`)
  return target
}

/** Source and destination may overlap: then the last `offset` bytes repeat. */
function copyMatch(target: Uint8Array, to: number, offset: number, length: number): void {
  if (length <= 32) {
    for (let i = 0; i < length; i++) target[to + i] = target[to + i - offset] as number
  } else if (offset === 1) {
    target.fill(target[to - 1] as number, to, to + length)
  } else {
    // What was copied already doubles with each step, so that the copies never overlap.
    const from = to - offset
    for (let done = 0; done < length; ) {
      const count = Math.min(length - done, offset + done)
      target.copyWithin(to + done, from, from + count)
      done += count
    }
  }
}

function invalid(what: string): KvarError {
  return new KvarError('DAMAGED', `An LZ4 block is invalid: ${what}`)
}

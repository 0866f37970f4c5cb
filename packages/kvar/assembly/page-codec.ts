/*
 * LZ4 blocks and CRC-64 over whole batches of pages, in AssemblyScript (a typed subset of TypeScript
 * that becomes WebAssembly). The caller lays the memory out: the first 32 KiB are the search table of
 * the compressor, everything behind them is the caller's. Every place that can be read or written
 * beyond its end by hostile bytes is checked.
 *
 * Built by `node scripts/build-wasm.mjs` into src/formats/page-codec-wasm.ts. The compressor and both
 * readers give exactly what lz4-block.ts and crc64.ts give; page-codec.test.ts proves it.
 */

const MIN_MATCH: i32 = 4
const LAST_LITERALS: i32 = 5
const MATCH_LIMIT: i32 = 12
const MAX_OFFSET: i32 = 65535
const HASH_BITS: i32 = 13
const SKIP_BITS: i32 = 5
/** Page number u32, flags u16, size u32: what stands before each block of a version file. */
const PREFIX_BYTES: i32 = 10

let tableEnd: i32 = 1

/**
 * The CRC register lies in memory, eight bytes at `register`, so that no call has to pass 64 bits
 * (a BigInt on the other side). `update` takes `length` bytes from `start` into it.
 */
export function crcUpdate(register: usize, start: usize, length: i32): void {
  store<u64>(register, crc64(load<u64>(register), start, length))
}

/** Joins the register of the `length` bytes that follow, which was begun with zero, to this one. */
export function crcJoin(register: usize, next: usize, length: f64): void {
  store<u64>(register, advance(load<u64>(register), length as u64) ^ load<u64>(next))
}

/** CRC-64/GO-ISO; sixty-four bits fold in at once. */
function crc64(state: u64, start: usize, length: i32): u64 {
  let at = start
  const end = start + length
  for (; at + 8 <= end; at += 8) {
    const leaving = state ^ load<u64>(at)
    // What leaves within the last four steps comes back at the top and leaves once more.
    const all = leaving ^ (leaving << 63) ^ (leaving << 61) ^ (leaving << 60)
    state = all ^ (all >> 1) ^ (all >> 3) ^ (all >> 4)
  }
  for (; at < end; at++) {
    const out = (state ^ (load<u8>(at) as u64)) & 0xff
    state = (state >> 8) ^ (out << 56) ^ (out << 55) ^ (out << 53) ^ (out << 52)
  }
  return state
}

/** The register after `length` zero bytes more. */
function advance(state: u64, length: u64): u64 {
  // x^8 as a reflected polynomial: bit 63 is x^0.
  let power: u64 = 1 << 55
  let factor: u64 = 1 << 63
  for (; length > 0; length >>= 1) {
    if (length & 1) factor = multiply(factor, power)
    power = multiply(power, power)
  }
  return multiply(state, factor)
}

/** Product of two reflected polynomials modulo that of the CRC. */
function multiply(a: u64, b: u64): u64 {
  let product: u64 = 0
  for (let bit = 63; bit >= 0; bit--) {
    if ((a >> bit) & 1) product ^= b
    b = (b >> 1) ^ ((b & 1) * 0xd800000000000000)
  }
  return product
}

/**
 * Inflates a row of whole frames as they stand in a version file, page after page to `target`.
 *
 * @returns the number of frames, or -1 - n when frame n does not inflate to exactly one page
 */
export function inflateFrames(source: usize, sourceEnd: usize, pageSize: i32, target: usize): i32 {
  let frames = 0
  while (source + PREFIX_BYTES <= sourceEnd) {
    const size = bswap(load<u32>(source, 6)) as i32
    source += PREFIX_BYTES
    if (size < 0 || (size as usize) > sourceEnd - source) return -1 - frames
    if (!inflate(source, size, target, pageSize)) return -1 - frames
    source += size
    target += pageSize
    frames++
  }
  return frames
}

/** The CRC of a row of frames: each one's first ten bytes, then its page as it is. */
export function crcFrames(
  register: usize,
  source: usize,
  sourceEnd: usize,
  pageSize: i32,
  pages: usize,
): void {
  let state = load<u64>(register)
  while (source + PREFIX_BYTES <= sourceEnd) {
    state = crc64(state, source, PREFIX_BYTES)
    state = crc64(state, pages, pageSize)
    source += (PREFIX_BYTES as usize) + (bswap(load<u32>(source, 6)) as usize)
    pages += pageSize
  }
  store<u64>(register, state)
}

/** True if the block inflates to exactly `size` bytes. Nothing beyond `target + size` is written. */
export function inflate(source: usize, sourceBytes: i32, target: usize, size: i32): bool {
  const sourceEnd = source + sourceBytes
  const targetEnd = target + size
  let read = source
  let write = target
  for (;;) {
    if (read >= sourceEnd) return false
    const token = load<u8>(read++) as u32
    let length: usize = token >> 4
    if (length === 15) {
      let more: usize = 255
      while (more === 255) {
        if (read >= sourceEnd) return false
        more = load<u8>(read++)
        length += more
      }
    }
    if (length > sourceEnd - read || length > targetEnd - write) return false
    if (length <= 16 && sourceEnd - read >= 16 && targetEnd - write >= 16) v128.store(write, v128.load(read))
    else copyApart(write, read, length, targetEnd, sourceEnd)
    read += length
    write += length
    if (read === sourceEnd) break

    if (sourceEnd - read < 2) return false
    const offset = load<u16>(read) as usize
    read += 2
    if (offset === 0 || offset > write - target) return false
    length = (token & 15) + MIN_MATCH
    if ((token & 15) === 15) {
      let more: usize = 255
      while (more === 255) {
        if (read >= sourceEnd) return false
        more = load<u8>(read++)
        length += more
      }
    }
    if (length > targetEnd - write) return false
    copyMatch(write, offset, length, targetEnd)
    write += length
  }
  return write === targetEnd
}

/** Sixteen bytes at a time while there is room behind both ends. */
function copyApart(to: usize, from: usize, length: usize, toEnd: usize, fromEnd: usize): void {
  let done: usize = 0
  for (; done < length && to + done + 16 <= toEnd && from + done + 16 <= fromEnd; done += 16) {
    v128.store(to + done, v128.load(from + done))
  }
  for (; done < length; done++) store<u8>(to + done, load<u8>(from + done))
}

/** Source and destination may overlap: then the last `offset` bytes repeat. */
function copyMatch(to: usize, offset: usize, length: usize, toEnd: usize): void {
  const from = to - offset
  let done: usize = 0
  if (offset >= 16) {
    for (; done < length && to + done + 16 <= toEnd; done += 16) v128.store(to + done, v128.load(from + done))
  } else if (offset >= 8) {
    for (; done < length && to + done + 8 <= toEnd; done += 8) store<u64>(to + done, load<u64>(from + done))
  } else if (offset === 1) {
    const byte = i8x16.splat(load<i8>(from))
    for (; done < length && to + done + 16 <= toEnd; done += 16) v128.store(to + done, byte)
  }
  for (; done < length; done++) store<u8>(to + done, load<u8>(from + done))
}

/**
 * Compresses `length` bytes into one raw LZ4 block.
 *
 * @returns the length of the block; `target` must have room for the bound
 */
export function deflate(source: usize, length: i32, target: usize): i32 {
  const base = reserveTable(length)
  const searchEnd = length - MATCH_LIMIT
  let out = target
  let anchor = 0
  let position = 0
  let misses = 1 << SKIP_BITS
  while (position <= searchEnd) {
    const word = load<i32>(source + position)
    const slot = slotOf(word)
    let match = load<i32>(slot) - base
    store<i32>(slot, base + position)
    if (match < 0 || position - match > MAX_OFFSET || load<i32>(source + match) !== word) {
      position += misses++ >> SKIP_BITS
      continue
    }
    while (
      position > anchor &&
      match > 0 &&
      load<u8>(source + position - 1) === load<u8>(source + match - 1)
    ) {
      position--
      match--
    }
    const end = matchEnd(source, match + MIN_MATCH, position + MIN_MATCH, length)
    const extraMatch = end - position - MIN_MATCH
    out = writeLiterals(source, anchor, position, out, extraMatch)
    out = writeMatch(out, position - match, extraMatch)
    anchor = position = end
    misses = 1 << SKIP_BITS
    if (end <= searchEnd) store<i32>(slotOf(load<i32>(source + end - 2)), base + end - 2)
  }
  return (writeLiterals(source, anchor, length, out, 0) - target) as i32
}

/** See lz4-block.ts: the table is never cleared, positions count on from call to call. */
function reserveTable(length: i32): i32 {
  if (tableEnd > 0x7fff0000 - length) {
    memory.fill(0, 0, 4 << HASH_BITS)
    tableEnd = 1
  }
  const base = tableEnd
  tableEnd += length
  return base
}

function slotOf(word: i32): usize {
  return (((word * -1640531535) as u32) >> (32 - HASH_BITS)) << 2
}

function matchEnd(source: usize, match: i32, position: i32, length: i32): i32 {
  const limit = length - LAST_LITERALS
  while (position + 8 <= limit) {
    const difference = load<u64>(source + match) ^ load<u64>(source + position)
    if (difference !== 0) return position + ((ctz(difference) as i32) >> 3)
    match += 8
    position += 8
  }
  while (position < limit && load<u8>(source + match) === load<u8>(source + position)) {
    match++
    position++
  }
  return position
}

function writeLiterals(source: usize, from: i32, to: i32, out: usize, extraMatch: i32): usize {
  const length = to - from
  store<u8>(out++, (min(length, 15) << 4) | min(extraMatch, 15))
  if (length >= 15) out = writeLength(out, length - 15)
  let done = 0
  for (; done + 16 <= length; done += 16) v128.store(out + done, v128.load(source + from + done))
  for (; done < length; done++) store<u8>(out + done, load<u8>(source + from + done))
  return out + length
}

function writeMatch(out: usize, offset: i32, extraMatch: i32): usize {
  store<u16>(out, offset)
  out += 2
  return extraMatch >= 15 ? writeLength(out, extraMatch - 15) : out
}

function writeLength(out: usize, length: i32): usize {
  for (; length >= 255; length -= 255) store<u8>(out++, 255)
  store<u8>(out++, length)
  return out
}

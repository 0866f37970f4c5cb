// What the contract suite stores and reads back: patterns of bytes, and ways to collect them.

import {
  type ObjectEntry,
  type ObjectSource,
  readAll,
  type Target,
} from '../../packages/kvar/src/targets/target.ts'

export function bytes(text: string): Uint8Array {
  return new TextEncoder().encode(text)
}

/** Bytes that differ by place and seed, so that pieces in the wrong order are noticed. */
export function pattern(sizeBytes: number, seed = 0): Uint8Array {
  let state = seed * 2_654_435_761 + 1
  const made = new Uint8Array(sizeBytes)
  for (let index = 0; index < sizeBytes; index++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    made[index] = state >>> 24
  }
  return made
}

/** A body that comes in pieces of the given sizes, then the rest. */
export function sourceOf(whole: Uint8Array, sizes: number[]): ObjectSource {
  return {
    sizeBytes: whole.length,
    async *open() {
      let offset = 0
      for (const size of sizes) {
        yield whole.subarray(offset, offset + size)
        offset += size
      }
      if (offset < whole.length) yield whole.subarray(offset)
    },
  }
}

export function failingSource(whole: Uint8Array, error: Error): ObjectSource {
  return {
    sizeBytes: whole.length,
    async *open() {
      yield whole.subarray(0, whole.length / 2)
      throw error
    },
  }
}

export async function collect(stream: AsyncIterable<Uint8Array> | undefined): Promise<Uint8Array> {
  const chunks: Uint8Array[] = []
  for await (const chunk of stream ?? []) chunks.push(chunk)
  return Buffer.concat(chunks)
}

export async function text(target: Target, key: string): Promise<string | undefined> {
  const stored = await readAll(target, key)
  return stored === undefined ? undefined : new TextDecoder().decode(stored)
}

export async function entries(target: Target, prefix: string, startAfter?: string): Promise<ObjectEntry[]> {
  const seen: ObjectEntry[] = []
  for await (const entry of target.list(prefix, startAfter === undefined ? {} : { startAfter }))
    seen.push(entry)
  return seen
}

export async function keys(target: Target, prefix: string, startAfter?: string): Promise<string[]> {
  return (await entries(target, prefix, startAfter)).map(({ key }) => key)
}

export function hex(number: number): string {
  return number.toString(16).padStart(16, '0')
}

export function byBytes(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}

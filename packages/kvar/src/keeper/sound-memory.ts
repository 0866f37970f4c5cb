import * as v from 'valibot'

/*
 * The form of state.json. It is written without a sync, and lies on a disk that may lose power or bits:
 * what does not have this form counts as lost, which costs a comparison and never content (R10).
 */

const count = v.pipe(v.number(), v.safeInteger(), v.minValue(0))
const timeMs = count
const decimal = v.pipe(v.string(), v.regex(/^\d{1,20}$/))
const hex16 = v.pipe(v.string(), v.regex(/^[0-9a-f]{16}$/))
const uint32 = v.pipe(count, v.maxValue(0xffff_ffff))

const position = v.looseObject({
  changeCounter: count,
  wal: v.optional(
    v.looseObject({
      ...{ salt1: uint32, salt2: uint32, frameCount: count },
      ...{ checksum1: uint32, checksum2: uint32 },
    }),
  ),
})

const mark = v.looseObject({ sizeBytes: count, modifiedAtNs: v.string(), inode: v.string() })
const copy = v.optional(v.looseObject({ version: count, timeMs, marks: v.array(mark) }))

const MEMORY = v.looseObject({
  format: count,
  lineage: hex16,
  nodeId: hex16,
  version: count,
  databaseChecksum: decimal,
  timestampMs: timeMs,
  intent: v.optional(v.looseObject({ version: count, databaseChecksum: decimal, nodeId: hex16 })),
  beganStale: v.optional(v.boolean()),
  position,
  notedAtMs: timeMs,
  history: v.array(
    v.looseObject({
      ...{ version: count, databaseChecksum: decimal },
      ...{ salts: v.nullable(v.string()), frameCount: count },
    }),
  ),
  checkpointed: v.optional(v.looseObject({ salts: v.string(), frameCount: count })),
  targets: v.record(v.string(), v.looseObject({ version: count })),
  copies: v.looseObject({ json: copy, backup: copy }),
  notes: v.optional(count),
})

/** Whether what was read can be what a keeper wrote. */
export function isSoundMemory(value: unknown): boolean {
  return v.is(MEMORY, value)
}

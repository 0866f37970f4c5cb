import { basename } from 'node:path'
import { KvarError } from '../errors.ts'
import { type CopyStamp, parseBackupTime, parseStamp, STAMP_KEYS } from '../formats/json-copy.ts'
import { type JsonObject, JsonProblem, JsonReader } from '../formats/json-reader.ts'
import { sleep } from '../platform/clock.ts'
import type { OpenFile } from '../platform/files.ts'
import type { Platform } from '../platform/platform.ts'
import { type CopyVisitor, jsonInvalid, type Place, walkCopy } from './json-walk.ts'

/** What a JSON file says of itself. `seed`: of the Python app or another hand, without our `kvar` key. */
export type JsonStamp =
  | { kind: 'kvar'; stamp: CopyStamp }
  | { kind: 'seed'; timeMs: number }
  | { kind: 'unreadable'; reason: string }

/**
 * Tells whose copy a JSON file is and how old, cheaply: our own files say it near their end. Any other
 * file is read through once, so that a damaged one is never taken for a backup. Rows are not checked
 * against a schema; `loadJsonCopy` does that.
 *
 * @returns undefined when there is no file
 * @example
 * const found = await readJsonStamp('/data/app.db.json', platform)
 * if (found?.kind === 'kvar') console.log(found.stamp.version)
 */
export async function readJsonStamp(path: string, platform: Platform): Promise<JsonStamp | undefined> {
  const facts = await platform.files.stat(path)
  if (facts === undefined) return undefined
  if (facts.isFolder) return { kind: 'unreadable', reason: `"${basename(path)}" is a folder` }
  const file = platform.files.openSync(path, 'read')
  const place: Place = { table: undefined, row: undefined, column: undefined }
  try {
    const stamp = stampAtEnd(file, facts.sizeBytes)
    if (stamp !== undefined) return { kind: 'kvar', stamp }
    return await readThrough(file, platform, place, facts.modifiedAtMs)
  } catch (thrown) {
    if (thrown instanceof JsonProblem) return unreadable(jsonInvalid(basename(path), place, thrown))
    if (thrown instanceof KvarError) return unreadable(thrown)
    throw thrown
  } finally {
    file.closeSync()
  }
}

function unreadable(error: KvarError): JsonStamp {
  return { kind: 'unreadable', reason: error.message }
}

async function readThrough(
  file: OpenFile,
  platform: Platform,
  place: Place,
  modifiedAtMs: number,
): Promise<JsonStamp> {
  const nobody: CopyVisitor = { table: () => undefined, row: () => undefined, tableEnd: () => undefined }
  const reader = new JsonReader((buffer, offset) => file.readSync(buffer, offset))
  const frame = await walkCopy(reader, nobody, place, () => sleep(platform.clock, 0))
  if (frame.kvar !== undefined) return { kind: 'kvar', stamp: parseStamp(frame.kvar) }
  return { kind: 'seed', timeMs: parseBackupTime(frame.backupTime) ?? modifiedAtMs }
}

/**
 * Our files are indented by two, and a line break inside a text is always escaped: so a line that
 * begins with `  "kvar": {` is the key itself, wherever it is found.
 */
function stampAtEnd(file: OpenFile, sizeBytes: number): CopyStamp | undefined {
  const tail = new Uint8Array(Math.min(sizeBytes, TAIL_BYTES))
  file.readSync(tail, sizeBytes - tail.length)
  const bytes = Buffer.from(tail.buffer)
  if (!bytes.subarray(-END_MARK.length).equals(END_MARK)) return undefined
  const start = bytes.lastIndexOf(START_MARK)
  return start < 0 ? undefined : firstMembers(bytes.subarray(start + START_MARK.length - 1))
}

function firstMembers(bytes: Buffer): CopyStamp | undefined {
  const reader = new JsonReader((buffer, offset) => bytes.copy(buffer, 0, offset))
  const members: JsonObject = new Map()
  reader.enter()
  for (let key = reader.nextKey(true); key !== undefined; key = reader.nextKey(false)) {
    if (!STAMP_KEYS.has(key)) break
    members.set(key, reader.readValue())
  }
  return members.size === STAMP_KEYS.size ? parseStamp(members) : undefined
}

const START_MARK = Buffer.from('\n  "kvar": {')
const END_MARK = Buffer.from('\n  }\n}\n')
/** Schema and sequences of nearly every database fit; where not, the file is read through. */
const TAIL_BYTES = 1024 * 1024

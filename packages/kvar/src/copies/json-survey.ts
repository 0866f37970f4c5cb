import { type CopyTrailer, parseTrailer } from '../formats/json-copy.ts'
import { type ColumnSurvey, kindOf } from '../formats/json-infer.ts'
import { JsonReader } from '../formats/json-reader.ts'
import { decodeValue } from '../formats/json-values.ts'
import { sleep } from '../platform/clock.ts'
import type { OpenFile } from '../platform/files.ts'
import type { Platform } from '../platform/platform.ts'
import { type CopyVisitor, type Place, walkCopy } from './json-walk.ts'

/** What is known of a file after reading it once. */
export interface CopySurvey {
  /** Tables in the order of the file, with the kinds of values in each column. */
  tables: Map<string, Map<string, ColumnSurvey>>
  trailer: CopyTrailer | undefined
}

/** Reads a file through once, checking its JSON and each value: all that can be wrong without a table to compare with. */
export async function surveyCopy(file: OpenFile, platform: Platform, place: Place): Promise<CopySurvey> {
  const tables: CopySurvey['tables'] = new Map()
  let columns = new Map<string, ColumnSurvey>()
  const visitor: CopyVisitor = {
    table(name) {
      columns = new Map()
      tables.set(name, columns)
    },
    row({ names, values }, at) {
      for (const [index, name] of names.entries()) {
        at.column = name
        const kind = kindOf(decodeValue(values[index] as never))
        const kinds = columns.get(name)
        if (kinds === undefined) columns.set(name, new Set([kind]))
        else kinds.add(kind)
      }
      at.column = undefined
    },
    tableEnd: () => undefined,
  }
  const frame = await walkCopy(readerOf(file), visitor, place, () => sleep(platform.clock, 0))
  if (frame.kvar === undefined) return { tables, trailer: undefined }
  return { tables, trailer: parseTrailer(frame.kvar) }
}

export function readerOf(file: OpenFile): JsonReader {
  return new JsonReader((buffer, offset) => file.readSync(buffer, offset))
}

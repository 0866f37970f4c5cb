import { basename, dirname } from 'node:path'
import { KvarError } from '../errors.ts'
import { type CopyStamp, type CopyTrailer, parseTrailer } from '../formats/json-copy.ts'
import { type ColumnSurvey, kindOf } from '../formats/json-infer.ts'
import { JsonProblem, JsonReader } from '../formats/json-reader.ts'
import { decodeValue } from '../formats/json-values.ts'
import { sleep } from '../platform/clock.ts'
import type { OpenFile } from '../platform/files.ts'
import type { Platform } from '../platform/platform.ts'
import { openSqlite } from '../platform/sqlite.ts'
import { type CopyVisitor, jsonInvalid, type Place, walkCopy } from './json-walk.ts'
import { NewDatabase } from './new-database.ts'

export interface JsonLoadOptions {
  jsonPath: string
  /** Made here; must not exist. */
  databasePath: string
  /** SQL that declares the app's tables, for files without a schema of their own. */
  schema?: string
  platform: Platform
}

export interface JsonLoadResult {
  tables: number
  rows: number
  /** Absent for files that Kvar did not write. */
  stamp?: CopyStamp
  /** What the loaded database lacks, one sentence each. */
  skipped: string[]
}

/**
 * Builds a new database from a JSON copy, of Kvar or of the seed's Python app. The file is read twice
 * in bounded memory: once to check it whole and to find its schema, once for the rows, which go into
 * one transaction; then row counts and `integrity_check` must agree. Triggers do not fire, foreign
 * keys are not enforced: the rows come back as they were. On any error no new file is left.
 *
 * The tables are those of the file's own schema; else those that `schema` declares; else they are
 * inferred, and the seed's `events` becomes exactly the Python app's table.
 *
 * @throws KvarError JSON_INVALID naming file, table, row and column; FORMAT_TOO_NEW; NOT_FOUND;
 *   WOULD_OVERWRITE; SETTING_INVALID if `schema` is no valid SQL
 * @example
 * const { rows } = await loadJsonCopy({ jsonPath: '/data/app.db.json', databasePath: '/data/new.db', platform })
 */
export async function loadJsonCopy(options: JsonLoadOptions): Promise<JsonLoadResult> {
  const { jsonPath, databasePath, platform } = options
  await refuseWrongPaths(options)
  const file = platform.files.openSync(jsonPath, 'read')
  const place: Place = { table: undefined, row: undefined, column: undefined }
  try {
    const survey = await surveyCopy(file, platform, place)
    const result = await build(survey, file, options, place)
    await platform.files.syncFolder(dirname(databasePath))
    return result
  } catch (thrown) {
    if (thrown instanceof JsonProblem) throw jsonInvalid(basename(jsonPath), place, thrown)
    throw thrown
  } finally {
    file.closeSync()
  }
}

async function refuseWrongPaths({ jsonPath, databasePath, platform }: JsonLoadOptions): Promise<void> {
  const facts = await platform.files.stat(jsonPath)
  if (facts === undefined || facts.isFolder) {
    const hint = 'name a file such as familjekalender.db.json'
    throw new KvarError('NOT_FOUND', `There is no file "${basename(jsonPath)}" to load`, { hint })
  }
  for (const suffix of ['', ...SIDE_FILES]) {
    if ((await platform.files.stat(databasePath + suffix)) === undefined) continue
    const hint = 'a JSON copy is loaded into a new file only; name another path or move that file away'
    const sentence = `Cannot load "${basename(jsonPath)}": "${basename(databasePath)}${suffix}" exists already`
    throw new KvarError('WOULD_OVERWRITE', sentence, { hint })
  }
}

/** What is known of a file after reading it once. */
export interface CopySurvey {
  /** Tables in the order of the file, with the kinds of values in each column. */
  tables: Map<string, Map<string, ColumnSurvey>>
  trailer: CopyTrailer | undefined
}

async function surveyCopy(file: OpenFile, platform: Platform, place: Place): Promise<CopySurvey> {
  const tables: CopySurvey['tables'] = new Map()
  let columns = new Map<string, ColumnSurvey>()
  const visitor: CopyVisitor = {
    table(name) {
      columns = new Map()
      tables.set(name, columns)
    },
    row({ names, values }, _row, at) {
      for (const [index, name] of names.entries()) {
        at.column = name
        const kind = kindOf(decodeValue(values[index] as never))
        const kinds = columns.get(name)
        if (kinds === undefined) columns.set(name, new Set([kind]))
        else kinds.add(kind)
      }
      at.column = undefined
    },
  }
  const frame = await walkCopy(readerOf(file), visitor, place, () => sleep(platform.clock, 0))
  if (frame.kvar === undefined) return { tables, trailer: undefined }
  return { tables, trailer: parseTrailer(frame.kvar) }
}

async function build(
  survey: CopySurvey,
  file: OpenFile,
  options: JsonLoadOptions,
  place: Place,
): Promise<JsonLoadResult> {
  const { databasePath, platform } = options
  const connection = openSqlite(databasePath, { mode: 'create' })
  try {
    const database = new NewDatabase(connection, survey, options.schema)
    database.begin()
    await walkCopy(readerOf(file), database, place, () => sleep(platform.clock, 0))
    const result = database.finish(place)
    connection.close()
    return result
  } catch (thrown) {
    if (connection.isOpen) connection.close()
    for (const suffix of ['', ...SIDE_FILES]) await platform.files.remove(databasePath + suffix)
    throw thrown
  }
}

function readerOf(file: OpenFile): JsonReader {
  return new JsonReader((buffer, offset) => file.readSync(buffer, offset))
}

const SIDE_FILES = ['-journal', '-wal', '-shm']

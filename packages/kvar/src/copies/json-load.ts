import { basename, dirname } from 'node:path'
import { KvarError } from '../errors.ts'
import type { CopyStamp } from '../formats/json-copy.ts'
import { JsonProblem } from '../formats/json-reader.ts'
import { sleep } from '../platform/clock.ts'
import type { OpenFile } from '../platform/files.ts'
import type { Platform } from '../platform/platform.ts'
import { openSqlite, sqliteErrorCode } from '../platform/sqlite.ts'
import { type CopySurvey, readerOf, surveyCopy } from './json-survey.ts'
import { jsonInvalid, type Place, walkCopy } from './json-walk.ts'
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
    throw explained(thrown, options, place)
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

function explained(thrown: unknown, { jsonPath, databasePath }: JsonLoadOptions, place: Place): unknown {
  if (thrown instanceof JsonProblem) return jsonInvalid(basename(jsonPath), place, thrown)
  const code = sqliteErrorCode(thrown)
  if (code === undefined) return thrown
  const isFull = code === SQLITE_FULL
  const sentence = `Cannot make "${basename(databasePath)}": ${isFull ? 'the disk is full' : (thrown as Error).message}`
  const hint = isFull
    ? 'make room on the disk; nothing was changed'
    : 'see whether the folder may be written to'
  return new KvarError(isFull ? 'TARGET_FULL' : 'DATABASE_UNREADABLE', sentence, { hint, cause: thrown })
}

const SQLITE_FULL = 13
const SIDE_FILES = ['-journal', '-wal', '-shm']

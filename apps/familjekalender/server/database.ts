import { DatabaseSync, type SQLInputValue } from 'node:sqlite'
import { Kysely, SqliteDialect } from 'kysely'
import { SCHEMA_SQL, type Tables } from './schema.ts'

/**
 * Opens the calendar's database and makes the table where it is missing. Call it after
 * `createPersistentDb`, which may first have to bring the file back.
 *
 * @throws the error of node:sqlite when the file is no database or cannot be opened
 */
export function openDatabase(path: string): DatabaseSync {
  const database = new DatabaseSync(path, { timeout: OPEN_TIMEOUT_MS })
  // Readers never wait for a writer, and Kvar reads changes from the log as they are committed.
  database.exec('PRAGMA journal_mode = WAL')
  // NORMAL would be faster and may lose the last commits in a power cut: what the family was told is
  // done must survive one even before it is stored elsewhere.
  database.exec('PRAGMA synchronous = FULL')
  database.exec(SCHEMA_SQL)
  // From here on waiting is done without stopping the event loop: see busy.ts.
  database.exec('PRAGMA busy_timeout = 0')
  return database
}

/** Milliseconds to wait for another process at start, when nobody is being served yet. */
const OPEN_TIMEOUT_MS = 5_000

/** Kysely over node:sqlite. Whoever opened the database closes it. */
export function queryBuilder(database: DatabaseSync): Kysely<Tables> {
  return new Kysely<Tables>({
    dialect: new SqliteDialect({
      database: {
        close: () => {},
        prepare(sql) {
          const statement = database.prepare(sql)
          const values = (parameters: ReadonlyArray<unknown>) => parameters as SQLInputValue[]
          return {
            reader: statement.columns().length > 0,
            all: (parameters) => statement.all(...values(parameters)),
            run: (parameters) => statement.run(...values(parameters)),
            iterate: (parameters) => statement.iterate(...values(parameters)),
          }
        },
      },
    }),
  })
}

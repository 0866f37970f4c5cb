import { RawText, type SqlValue } from './json-values.ts'

/**
 * Tables for a JSON file that says nothing of its schema and whose app declared none.
 *
 * A column gets a type only where every value in it has that type, because a type is also an
 * affinity: REAL would turn a stored 2 into 2.0, TEXT would turn it into '2'. A first column `id` of
 * integers becomes the key, as in nearly every small app.
 */
export function inferTable(table: string, columns: ReadonlyMap<string, ColumnSurvey>): string | undefined {
  if (isSeedTable(table, columns)) return SEED_EVENTS_SQL
  if (columns.size === 0) return undefined
  const definitions = [...columns].map(([name, survey], index) => definition(name, survey, index === 0))
  return `CREATE TABLE ${sqlName(table)} (\n  ${definitions.join(',\n  ')}\n)`
}

/** Which kinds of values were seen in a column of the file. */
export type ColumnSurvey = Set<ValueKind>
export type ValueKind = 'null' | 'integer' | 'real' | 'text' | 'blob'

export function kindOf(value: SqlValue): ValueKind {
  if (value === null) return 'null'
  if (typeof value === 'bigint') return 'integer'
  if (typeof value === 'number') return 'real'
  return typeof value === 'string' || value instanceof RawText ? 'text' : 'blob'
}

/** A name between double quotes: SQLite then takes any character, and any reserved word. */
export function sqlName(name: string): string {
  return `"${name.replaceAll('"', '""')}"`
}

/** A name for comparing as SQLite does: only A–Z and a–z are the same, "Å" and "å" are two names. */
export function foldName(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => letter.toLowerCase())
}

function definition(name: string, survey: ColumnSurvey, isFirst: boolean): string {
  const kinds = [...survey].filter((kind) => kind !== 'null')
  const isKey = isFirst && foldName(name) === 'id' && survey.size === 1 && survey.has('integer')
  if (isKey) return `${sqlName(name)} INTEGER PRIMARY KEY AUTOINCREMENT`
  return kinds.length === 1 ? `${sqlName(name)} ${kinds[0]?.toUpperCase()}` : sqlName(name)
}

/** The family calendar of the Python app, older files without its later columns included. */
function isSeedTable(table: string, columns: ReadonlyMap<string, ColumnSurvey>): boolean {
  if (table !== 'events') return false
  const names = [...columns.keys()]
  const hasOnlyItsColumns = names.every((name) => SEED_COLUMNS.includes(name))
  return hasOnlyItsColumns && (names.length === 0 || SEED_REQUIRED.every((name) => columns.has(name)))
}

const SEED_REQUIRED = ['id', 'user', 'date', 'time', 'title']
const SEED_COLUMNS = [
  ...SEED_REQUIRED,
  ...['duration', 'description', 'created_at', 'reminder', 'repeat_pattern', 'repeat_until'],
]

/** Letter for letter what stands in the schema of the Python app's database, its two ALTERs included. */
export const SEED_EVENTS_SQL = `CREATE TABLE events (
            id INTEGER PRIMARY KEY AUTOINCREMENT,
            user TEXT NOT NULL,
            date TEXT NOT NULL,
            time TEXT NOT NULL,
            duration INTEGER DEFAULT 1,
            title TEXT NOT NULL,
            description TEXT,
            created_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP,
            reminder BOOLEAN DEFAULT 0
        , repeat_pattern TEXT DEFAULT NULL, repeat_until TEXT DEFAULT NULL)`

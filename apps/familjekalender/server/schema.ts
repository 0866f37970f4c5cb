import type { ColumnType, Generated } from 'kysely'
import type { Weekday } from '../shared/calendar-date.ts'

/**
 * The seed's table, column for column: a database or JSON copy of the Python app is read as it is.
 * `duration` has integer affinity and still holds 1.5, as the seed's does.
 */
export const SCHEMA_SQL = `CREATE TABLE IF NOT EXISTS events (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  user TEXT NOT NULL,
  date TEXT NOT NULL,
  time TEXT NOT NULL,
  duration INTEGER DEFAULT 1,
  title TEXT NOT NULL,
  description TEXT,
  created_at TIMESTAMP DEFAULT CURRENT_TIMESTAMP,
  reminder BOOLEAN DEFAULT 0,
  repeat_pattern TEXT DEFAULT NULL,
  repeat_until TEXT DEFAULT NULL
)`

export interface EventsTable {
  id: Generated<number>
  user: string
  date: string
  time: string
  duration: number
  title: string
  description: string | null
  created_at: ColumnType<string, string | undefined, never>
  reminder: number
  repeat_pattern: Weekday | null
  repeat_until: string | null
}

export interface Tables {
  events: EventsTable
}

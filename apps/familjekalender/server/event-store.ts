import type { DatabaseSync } from 'node:sqlite'
import type { CalendarDate } from '../shared/calendar-date.ts'
import type { CalendarEvent, EventFields, EventOccurrence } from '../shared/event-types.ts'
import { occurrencesBetween } from '../shared/recurrence.ts'
import { queryBuilder } from './database.ts'

/** The events in the database. Every call is one statement, so nothing is ever half done. */
export interface EventStore {
  all(): Promise<CalendarEvent[]>
  /** Every day between two days inclusive on which an event happens, by day and time. */
  between(from: CalendarDate, to: CalendarDate): Promise<EventOccurrence[]>
  /** Names in the order in which people first got an event. */
  people(): Promise<string[]>
  find(id: number): Promise<CalendarEvent | undefined>
  insert(fields: EventFields): Promise<CalendarEvent>
  update(id: number, change: Partial<EventFields>): Promise<CalendarEvent | undefined>
  remove(id: number): Promise<CalendarEvent | undefined>
  /** Puts a removed event back under its own id; undefined when the id is in use. */
  putBack(event: CalendarEvent): Promise<CalendarEvent | undefined>
}

export function createEventStore(database: DatabaseSync): EventStore {
  const db = queryBuilder(database)
  const ordered = db.selectFrom('events').selectAll().orderBy('date').orderBy('time').orderBy('id')
  return {
    all: () => ordered.execute(),

    async between(from, to) {
      const events = await ordered
        .where('date', '<=', to)
        .where((event) => event.or([event('date', '>=', from), event('repeat_pattern', 'is not', null)]))
        .execute()
      return events.flatMap((event) => occurrences(event, from, to)).sort(byMoment)
    },

    async people() {
      const rows = await db
        .selectFrom('events')
        .select('user')
        .groupBy('user')
        .orderBy((event) => event.fn.min('id'))
        .execute()
      return rows.map((row) => row.user)
    },

    find: (id) => db.selectFrom('events').selectAll().where('id', '=', id).executeTakeFirst(),
    insert: (fields) => db.insertInto('events').values(fields).returningAll().executeTakeFirstOrThrow(),

    async update(id, change) {
      if (Object.keys(change).length === 0) return this.find(id)
      return db.updateTable('events').set(change).where('id', '=', id).returningAll().executeTakeFirst()
    },

    remove: (id) => db.deleteFrom('events').where('id', '=', id).returningAll().executeTakeFirst(),

    putBack: (event) =>
      db
        .insertInto('events')
        .values(event)
        .onConflict((conflict) => conflict.column('id').doNothing())
        .returningAll()
        .executeTakeFirst(),
  }
}

function occurrences(event: CalendarEvent, from: CalendarDate, to: CalendarDate): EventOccurrence[] {
  return occurrencesBetween(event, from, to).map((date) => ({
    ...event,
    date,
    event_date: event.date,
    occurrence: true,
  }))
}

function byMoment(a: EventOccurrence, b: EventOccurrence): number {
  return compare(a.date, b.date) || compare(a.time, b.time) || a.id - b.id
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0
}

import type { CalendarDate, Weekday } from '../shared/calendar-date.ts'
import type { EventFields, EventOccurrence } from '../shared/event-types.ts'
import { readTime } from './week.ts'

/** An event while somebody types it: every field may be half done. */
export interface EventDraft {
  /** Undefined for a new event. */
  id: number | undefined
  title: string
  /** Who it is for: one of the known names, or null for `newName`. */
  person: string | null
  newName: string
  date: CalendarDate
  time: string
  hours: number | null
  description: string
  repeat: Weekday | ''
  until: CalendarDate
  reminds: boolean
  /** Kept, so that a reminder of 30 minutes stays one. */
  reminder: number
}

export function newDraft(date: CalendarDate, people: readonly string[]): EventDraft {
  return {
    id: undefined,
    title: '',
    person: people[0] ?? null,
    newName: '',
    date,
    time: '17:00',
    hours: 1,
    description: '',
    repeat: '',
    until: '',
    reminds: false,
    reminder: 1,
  }
}

export function draftOf(event: EventOccurrence): EventDraft {
  return {
    id: event.id,
    title: event.title,
    person: event.user,
    newName: '',
    date: event.event_date,
    time: event.time,
    hours: event.duration,
    description: event.description ?? '',
    repeat: event.repeat_pattern ?? '',
    until: event.repeat_until ?? '',
    reminds: event.reminder > 0,
    reminder: event.reminder || 1,
  }
}

/** What is sent. The server is the one that judges it, in words for the person. */
export function fieldsOf(draft: EventDraft): EventFields {
  return {
    title: draft.title,
    user: draft.person ?? draft.newName,
    date: draft.date,
    time: readTime(draft.time),
    // Not a number is refused by the server as any wrong length is.
    duration: draft.hours ?? 0,
    description: draft.description.trim() === '' ? null : draft.description,
    repeat_pattern: draft.repeat === '' ? null : draft.repeat,
    repeat_until: draft.repeat === '' || draft.until === '' ? null : draft.until,
    reminder: draft.reminds ? draft.reminder : 0,
  }
}

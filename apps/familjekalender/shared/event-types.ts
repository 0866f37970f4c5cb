import type { CalendarDate, Weekday } from './calendar-date.ts'

/** A text in the two languages of the calendar. */
export interface Bilingual {
  sv: string
  en: string
}

/** An event as it is stored: the columns of the seed's table. */
export interface CalendarEvent {
  id: number
  user: string
  date: CalendarDate
  /** `HH:MM`, the clock on the wall: summer time does not move it. */
  time: string
  /** Hours; 1.5 is an hour and a half. */
  duration: number
  title: string
  description: string | null
  /** UTC, `YYYY-MM-DD HH:MM:SS`. */
  created_at: string
  /** 0: none; 1: yes, as the seed stores it; more: minutes before. */
  reminder: number
  repeat_pattern: Weekday | null
  repeat_until: CalendarDate | null
}

/** One day on which an event happens. `date` is that day, `event_date` the date the event is stored with. */
export interface EventOccurrence extends CalendarEvent {
  event_date: CalendarDate
  occurrence: true
}

/** What a person can set in an event. */
export type EventFields = Omit<CalendarEvent, 'id' | 'created_at'>

/** The body of every answer that says no. */
export interface ErrorAnswer {
  error: { code: string; field: string | null; message: Bilingual }
}

/** What `GET /api/status` tells a family. */
export interface SafetyAnswer {
  safety: 'safe' | 'late' | 'only-here' | 'not-safe'
  /** The first line: is our calendar safe? */
  sentence: Bilingual
  /** What somebody could do about it, or null when there is nothing to do. */
  advice: Bilingual | null
  /** True while a change is not held anywhere else yet, or while nobody knows. */
  waiting: boolean
  /** ISO-8601 UTC: when the newest change was confirmed. */
  savedAt: string | null
  places: SafetyPlace[]
  /** A line for a calendar that was brought back when the server started, or null. */
  restored: Bilingual | null
}

export interface SafetyPlace {
  name: Bilingual
  /** False when the place lacks the newest changes. */
  saved: boolean
  /** False for a place on the calendar's own disk: no safety. */
  elsewhere: boolean
}

import type { CalendarDate } from '../shared/calendar-date.ts'
import type {
  Bilingual,
  CalendarEvent,
  ErrorAnswer,
  EventFields,
  EventOccurrence,
  SafetyAnswer,
} from '../shared/event-types.ts'

/** The server said no, or did not answer; with words for the person and the field they are about. */
export class Refused extends Error {
  readonly words: Bilingual
  readonly field: string | null

  constructor(words: Bilingual, field: string | null = null) {
    super(words.en)
    this.name = 'Refused'
    this.words = words
    this.field = field
  }
}

export interface Saved {
  event: CalendarEvent
  /** False: done, but not held away from the server yet. */
  stored: boolean
}

export const fetchWeek = (from: CalendarDate, to: CalendarDate) =>
  read<EventOccurrence[]>(`/api/events?from=${from}&to=${to}`)
export const fetchPeople = () => read<string[]>('/api/people')
export const fetchSafety = () => read<SafetyAnswer>('/api/status')

export const addEvent = (fields: EventFields) => write('POST', '/api/events', fields)
export const changeEvent = (id: number, change: Partial<EventFields>) =>
  write('PATCH', `/api/events/${id}`, change)
export const putBackEvent = (id: number) => write('POST', `/api/events/${id}/undelete`)

export async function removeEvent(id: number): Promise<{ stored: boolean }> {
  const response = await send('DELETE', `/api/events/${id}`)
  return { stored: response.headers.get('Stored') === 'true' }
}

async function write(method: string, address: string, body?: unknown): Promise<Saved> {
  const response = await send(method, address, body)
  const stored = response.headers.get('Stored') === 'true'
  return { event: (await response.json()) as CalendarEvent, stored }
}

async function read<T>(address: string): Promise<T> {
  const response = await send('GET', address)
  return (await response.json()) as T
}

async function send(method: string, address: string, body?: unknown): Promise<Response> {
  const request: RequestInit = { method, signal: AbortSignal.timeout(LIMIT_MS) }
  if (body !== undefined) {
    request.headers = { 'Content-Type': 'application/json' }
    request.body = JSON.stringify(body)
  }
  const response = await fetch(address, request).catch(() => {
    throw new Refused(NO_ANSWER)
  })
  if (!response.ok) throw await refusal(response)
  return response
}

const LIMIT_MS = 15_000

/** Something between us and the server may have answered without our JSON. */
async function refusal(response: Response): Promise<Refused> {
  const answer = (await response.json().catch(() => undefined)) as ErrorAnswer | undefined
  return answer?.error === undefined
    ? new Refused(NO_ANSWER)
    : new Refused(answer.error.message, answer.error.field)
}

const NO_ANSWER: Bilingual = {
  sv: 'Servern svarar inte. Försök igen om en stund.',
  en: 'The server does not answer. Try again in a moment.',
}

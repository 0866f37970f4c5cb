import { type Context, Hono } from 'hono'
import { dayNumber } from '../shared/calendar-date.ts'
import type { CalendarEvent } from '../shared/event-types.ts'
import { ApiError } from './api-error.ts'
import { parseChange, parseNewEvent } from './event-input.ts'
import type { EventStore } from './event-store.ts'
import { WAITS_FOR_STORAGE } from './storing.ts'

export interface EventsApiOptions {
  store: EventStore
  /** True once everything written so far is held elsewhere, false when that takes too long. */
  stored: () => Promise<boolean>
  /** Runs a statement, again while another process holds the database. */
  patiently: <T>(work: () => Promise<T>) => Promise<T>
}

/** `/api/events`: reading, adding, changing, deleting and putting back. */
export function eventsApi({ store, stored, patiently }: EventsApiOptions): Hono {
  const recentlyDeleted = new Map<number, CalendarEvent>()
  const api = new Hono()

  api.get('/', async (context) => {
    const range = readRange(context.req.query('from'), context.req.query('to'))
    return context.json(
      await patiently(() => (range === undefined ? store.all() : store.between(range.from, range.to))),
    )
  })

  api.post('/', async (context) => {
    const fields = parseNewEvent(await readJson(context))
    const event = await patiently(() => store.insert(fields))
    return written(context, event, 201, await stored())
  })

  api.patch('/:id', async (context) => {
    const id = readId(context.req.param('id'))
    const body = await readJson(context)
    const current = found(await patiently(() => store.find(id)))
    const change = parseChange(body, current)
    const event = found(await patiently(() => store.update(id, change)))
    return written(context, event, 200, await stored())
  })

  api.delete('/:id', async (context) => {
    const id = readId(context.req.param('id'))
    const event = found(await patiently(() => store.remove(id)))
    remember(recentlyDeleted, event)
    const isStored = await stored()
    context.header('Stored', String(isStored))
    return isStored
      ? context.body(null, 204)
      : context.json({ stored: false, message: WAITS_FOR_STORAGE }, 202)
  })

  api.post('/:id/undelete', async (context) => {
    const deleted = found(recentlyDeleted.get(readId(context.req.param('id'))))
    const event = found(await patiently(() => store.putBack(deleted)))
    recentlyDeleted.delete(event.id)
    return written(context, event, 201, await stored())
  })

  return api
}

/** The stored event; 202 and a word about it while it is only on this machine. */
function written(context: Context, event: CalendarEvent, status: 200 | 201, isStored: boolean): Response {
  context.header('Stored', String(isStored))
  if (isStored) return context.json(event, status)
  return context.json({ ...event, stored: false, message: WAITS_FOR_STORAGE }, 202)
}

/** Deleted events that "undo" can put back with their own id; lost when the server restarts. */
function remember(deleted: Map<number, CalendarEvent>, event: CalendarEvent): void {
  deleted.set(event.id, event)
  const [oldest] = deleted.keys()
  if (deleted.size > MAX_REMEMBERED && oldest !== undefined) deleted.delete(oldest)
}

const MAX_REMEMBERED = 100
const MAX_RANGE_DAYS = 3_660

function readRange(
  from: string | undefined,
  to: string | undefined,
): { from: string; to: string } | undefined {
  if (from === undefined && to === undefined) return undefined
  if (from === undefined) throw new ApiError('range_incomplete', 'from')
  if (to === undefined) throw new ApiError('range_incomplete', 'to')
  const fromDay = dayNumber(from)
  const toDay = dayNumber(to)
  if (fromDay === undefined) throw new ApiError('date_invalid', 'from')
  if (toDay === undefined) throw new ApiError('date_invalid', 'to')
  if (toDay < fromDay) throw new ApiError('range_invalid', 'to')
  if (toDay - fromDay > MAX_RANGE_DAYS) throw new ApiError('range_too_long', 'to')
  return { from, to }
}

/** What can be no id is simply not there. */
function readId(text: string): number {
  if (!/^[1-9]\d{0,14}$/.test(text)) throw new ApiError('not_found')
  return Number(text)
}

function found<T>(thing: T | undefined): T {
  if (thing === undefined) throw new ApiError('not_found')
  return thing
}

async function readJson(context: Context): Promise<unknown> {
  const text = await context.req.text()
  try {
    return JSON.parse(text)
  } catch {
    throw new ApiError('malformed_json')
  }
}

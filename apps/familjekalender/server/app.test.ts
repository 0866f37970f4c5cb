// Goal: the API keeps its word, on a real database file. Method: requests to the app without a port,
// with a hand-written persistence; a second connection plays the other process that locks the file.
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { CalendarEvent, EventOccurrence } from '../shared/event-types.ts'
import { createApp } from './app.ts'
import { openDatabase } from './database.ts'
import { type FakePersistence, fakePersistence, handClock } from './testing/fake-persistence.ts'

let folder: string
let database: DatabaseSync
let persistence: FakePersistence
let app: ReturnType<typeof createApp>
const logged: string[] = []

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'calendar-'))
  database = openDatabase(join(folder, 'familjekalender.db'))
  persistence = fakePersistence()
  logged.length = 0
  app = createApp({ database, persistence, log: (sentence) => logged.push(sentence) })
})
afterEach(() => {
  database.close()
  rmSync(folder, { recursive: true })
})

const SIMPLE = { user: 'Ellen', date: '2026-03-25', time: '16:30', title: 'Simskola' }

function send(method: string, path: string, body?: unknown): Response | Promise<Response> {
  return app.request(path, { method, ...(body === undefined ? {} : { body: JSON.stringify(body) }) })
}
async function added(more: object = {}): Promise<CalendarEvent> {
  const response = await send('POST', '/api/events', { ...SIMPLE, ...more })
  expect(response.status).toBe(201)
  return (await response.json()) as CalendarEvent
}
async function read<T>(path: string): Promise<T> {
  return (await (await send('GET', path)).json()) as T
}

test('the database is kept for a family: log of changes, full synchronisation', () => {
  expect({ ...database.prepare('PRAGMA journal_mode').get() }).toEqual({ journal_mode: 'wal' })
  expect({ ...database.prepare('PRAGMA synchronous').get() }).toEqual({ synchronous: 2 })
})

test('the table has the columns of the seed, in its order and types', () => {
  const columns = database.prepare('PRAGMA table_info(events)').all()
  expect(
    columns.map(({ name, type, notnull, dflt_value, pk }) => [name, type, notnull, dflt_value, pk].join(' ')),
  ).toEqual([
    'id INTEGER 0  1',
    'user TEXT 1  0',
    'date TEXT 1  0',
    'time TEXT 1  0',
    'duration INTEGER 0 1 0',
    'title TEXT 1  0',
    'description TEXT 0  0',
    'created_at TIMESTAMP 0 CURRENT_TIMESTAMP 0',
    'reminder BOOLEAN 0 0 0',
    'repeat_pattern TEXT 0 NULL 0',
    'repeat_until TEXT 0 NULL 0',
  ])
})

test('a new event is answered as it is stored, after it is held elsewhere', async () => {
  const response = await send('POST', '/api/events', { ...SIMPLE, duration: 1.5, reminder: true })
  expect(response.status).toBe(201)
  expect(response.headers.get('Stored')).toBe('true')
  expect(persistence.flushes).toBe(1)
  const event = (await response.json()) as CalendarEvent
  expect(event).toEqual({
    id: 1,
    ...SIMPLE,
    duration: 1.5,
    description: null,
    created_at: expect.stringMatching(/^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d$/),
    reminder: 1,
    repeat_pattern: null,
    repeat_until: null,
  })
  expect(await read('/api/events')).toEqual([event])
})

test('markup and emoji come back as they were sent', async () => {
  const title = '<b>inte html</b> & "citat" 🎹'
  expect((await added({ title })).title).toBe(title)
})

test('a change touches what it names', async () => {
  const event = await added({ description: 'Badkläder' })
  const response = await send('PATCH', `/api/events/${event.id}`, { date: '2026-03-26' })
  expect(response.status).toBe(200)
  expect(await response.json()).toEqual({ ...event, date: '2026-03-26' })
  expect(persistence.flushes).toBe(2)
})

test('a deleted event is gone, and undo brings it back as it was', async () => {
  const event = await added()
  const response = await send('DELETE', `/api/events/${event.id}`)
  expect(response.status).toBe(204)
  expect(await response.text()).toBe('')
  expect(await read('/api/events')).toEqual([])
  const undone = await send('POST', `/api/events/${event.id}/undelete`)
  expect(undone.status).toBe(201)
  expect(await undone.json()).toEqual(event)
  expect(await read('/api/events')).toEqual([event])
  expect((await send('POST', `/api/events/${event.id}/undelete`)).status).toBe(404)
})

test('without a range events are listed as stored, with one as they happen', async () => {
  const series = await added({ date: '2026-03-25', repeat_pattern: 'sön', repeat_until: '2026-04-05' })
  await added({ date: '2026-03-29', time: '08:00', title: 'Frukost' })
  await added({ date: '2027-01-01' })
  expect(await read<CalendarEvent[]>('/api/events')).toHaveLength(3)
  const week = await read<EventOccurrence[]>('/api/events?from=2026-03-29&to=2026-04-05')
  expect(week.map(({ date, time, title }) => `${date} ${time} ${title}`)).toEqual([
    '2026-03-29 08:00 Frukost',
    '2026-03-29 16:30 Simskola',
    '2026-04-05 16:30 Simskola',
  ])
  expect(week[1]).toEqual({ ...series, date: '2026-03-29', event_date: '2026-03-25', occurrence: true })
})

test('people come in the order in which they first got an event', async () => {
  for (const user of ['Ture', 'Astrid', 'Ture', 'Ellen']) await added({ user })
  expect(await read('/api/people')).toEqual(['Ture', 'Astrid', 'Ellen'])
})

describe('refusals are JSON in both languages', () => {
  test.each([
    ['PATCH', '/api/events/99', { title: 'Kör' }, 404, 'not_found', null],
    ['DELETE', '/api/events/99', undefined, 404, 'not_found', null],
    ['DELETE', '/api/events/abc', undefined, 404, 'not_found', null],
    ['DELETE', '/api/events/99999999999999999999', undefined, 404, 'not_found', null],
    ['GET', '/api/nothing', undefined, 404, 'not_found', null],
    ['POST', '/api/events', { ...SIMPLE, colour: 'blue' }, 400, 'unknown_field', 'colour'],
    ['POST', '/api/events', { ...SIMPLE, date: '2026-02-30' }, 400, 'date_invalid', 'date'],
    ['GET', '/api/events?from=2026-03-01', undefined, 400, 'range_incomplete', 'to'],
    ['GET', '/api/events?from=x&to=2026-03-01', undefined, 400, 'date_invalid', 'from'],
    ['GET', '/api/events?from=2026-03-02&to=2026-03-01', undefined, 400, 'range_invalid', 'to'],
    ['GET', '/api/events?from=0001-01-01&to=9999-12-31', undefined, 400, 'range_too_long', 'to'],
  ])('%s %s', async (method, path, body, status, code, field) => {
    const response = await send(method, path, body)
    expect(response.status).toBe(status)
    const answer = await response.json()
    expect(answer).toEqual({
      error: { code, field, message: { sv: expect.any(String), en: expect.any(String) } },
    })
    expect(persistence.flushes).toBe(0)
  })

  test('text that is no JSON', async () => {
    const response = await app.request('/api/events', { method: 'POST', body: '{"user":' })
    expect(response.status).toBe(400)
    expect(await response.json()).toMatchObject({ error: { code: 'malformed_json' } })
  })

  test.each([
    ['of a told length', 'x'.repeat(65_537)],
    [
      'in pieces',
      new ReadableStream({
        start: (pieces) => {
          for (let piece = 0; piece < 70; piece++) pieces.enqueue(new Uint8Array(1024).fill(32))
          pieces.close()
        },
      }),
    ],
  ])('a body above 64 KB %s', async (_how, body) => {
    const length = typeof body === 'string' ? { 'Content-Length': String(body.length) } : undefined
    const request = new Request('http://localhost/api/events', {
      method: 'POST',
      body,
      duplex: 'half',
      ...(length ? { headers: length } : {}),
    } as RequestInit)
    const response = await app.request(request)
    expect(response.status).toBe(413)
    expect(await response.json()).toMatchObject({ error: { code: 'body_too_large' } })
  })
})

describe('another site cannot change the calendar through a browser', () => {
  test.each([
    [{ 'Sec-Fetch-Site': 'cross-site' }, 403],
    [{ 'Sec-Fetch-Site': 'same-site' }, 403],
    [{ Origin: 'https://elsewhere.example', Host: 'kalender.example' }, 403],
    [{ Origin: 'null', Host: 'kalender.example' }, 403],
    [{ Origin: 'https://kalender.example', Host: 'kalender.example' }, 201],
    [
      { Origin: 'https://kalender.example', Host: '10.0.0.7:3000', 'X-Forwarded-Host': 'kalender.example' },
      201,
    ],
    [{ 'Sec-Fetch-Site': 'same-origin' }, 201],
  ])('%j is answered %i', async (headers, status) => {
    const response = await app.request('/api/events', {
      method: 'POST',
      headers,
      body: JSON.stringify(SIMPLE),
    })
    expect(response.status).toBe(status)
  })
})

test('a locked database is 503 in both languages, without stopping the event loop', async () => {
  const clock = handClock()
  app = createApp({ database, persistence, clock, log: (sentence) => logged.push(sentence) })
  const other = new DatabaseSync(join(folder, 'familjekalender.db'))
  other.exec('BEGIN IMMEDIATE')
  const answer = Promise.resolve(send('POST', '/api/events', SIMPLE))
  let answered = false
  void answer.then(() => {
    answered = true
  })
  while (!answered) {
    // Between two tries the loop runs: other requests are answered, and the clock can be moved.
    expect((await send('GET', '/api/events')).status).toBe(200)
    clock.advance(50)
    await new Promise(setImmediate)
  }
  other.exec('ROLLBACK')
  other.close()
  const response = await answer
  expect(response.status).toBe(503)
  expect(await response.json()).toMatchObject({
    error: {
      code: 'database_busy',
      message: { sv: expect.stringContaining('upptagen'), en: expect.stringContaining('busy') },
    },
  })
  expect(logged.join()).not.toContain('Simskola')
})

test('a database that is free again in time is waited for', async () => {
  const clock = handClock()
  app = createApp({ database, persistence, clock })
  const other = new DatabaseSync(join(folder, 'familjekalender.db'))
  other.exec('BEGIN IMMEDIATE')
  const answer = send('POST', '/api/events', SIMPLE)
  while (clock.running() === 0) await new Promise(setImmediate)
  other.exec('ROLLBACK')
  other.close()
  clock.advance(50)
  expect((await answer).status).toBe(201)
})

test('every answer forbids what the page does not need', async () => {
  for (const path of ['/healthz', '/api/events', '/nowhere']) {
    const { headers } = await send('GET', path)
    expect(headers.get('Content-Security-Policy')).toContain("default-src 'none'")
    expect(headers.get('X-Content-Type-Options')).toBe('nosniff')
  }
  expect((await send('GET', '/api/events')).headers.get('Cache-Control')).toBe('no-store')
})

test('health is asked of the database', async () => {
  expect(await read('/healthz')).toEqual({ ok: true })
})

// Goal: a write is answered "stored" only when it is, and never later than three seconds. Method: a
// flush that hangs, fails or throws, and a clock moved by hand.
import { DatabaseSync } from 'node:sqlite'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { createApp } from './app.ts'
import { SCHEMA_SQL } from './schema.ts'
import { fakePersistence, type HandClock, handClock } from './testing/fake-persistence.ts'

let database: DatabaseSync
let clock: HandClock
const EVENT = JSON.stringify({ user: 'Ture', date: '2026-03-25', time: '16:30', title: 'Fotboll' })

beforeEach(() => {
  database = new DatabaseSync(':memory:')
  database.exec(SCHEMA_SQL)
  clock = handClock()
})
afterEach(() => database.close())

const never = () => new Promise<never>(() => {})

test.each([
  ['POST', '/api/events'],
  ['PATCH', '/api/events/1'],
  ['DELETE', '/api/events/1'],
])('%s is answered 202 when storing takes longer than three seconds', async (method, path) => {
  database.exec(
    "INSERT INTO events (user, date, time, title) VALUES ('Ture', '2026-03-25', '16:30', 'Fotboll')",
  )
  const persistence = fakePersistence({ flush: never })
  let answered = false
  const app = createApp({ database, persistence, clock })
  const answer = Promise.resolve(
    app.request(path, { method, ...(method === 'DELETE' ? {} : { body: EVENT }) }),
  ).finally(() => {
    answered = true
  })
  while (persistence.flushes === 0) await new Promise(setImmediate)
  clock.advance(2_999)
  await new Promise(setImmediate)
  expect(answered).toBe(false)
  clock.advance(1)
  const response = await answer
  expect(response.status).toBe(202)
  expect(response.headers.get('Stored')).toBe('false')
  expect(await response.json()).toMatchObject({
    ...(method === 'DELETE'
      ? {}
      : { id: method === 'POST' ? 2 : 1, title: 'Fotboll', created_at: expect.any(String) }),
    stored: false,
    message: {
      sv: expect.stringContaining('väntar på lagring'),
      en: expect.stringContaining('waits for storage'),
    },
  })
  expect(persistence.flushSignal?.aborted).toBe(true)
})

test.each([
  ['rejects', () => Promise.reject(new Error('fenced'))],
  [
    'throws',
    () => {
      throw new Error('the keeper is gone')
    },
  ],
])('202 at once when the flush %s', async (_how, flush) => {
  const persistence = fakePersistence({ flush })
  const app = createApp({ database, persistence, clock })
  const response = await app.request('/api/events', { method: 'POST', body: EVENT })
  expect(response.status).toBe(202)
  expect(clock.running()).toBe(0)
  expect(database.prepare('SELECT count(*) AS count FROM events').get()?.count).toBe(1)
})

test('a write that waits keeps nobody else waiting', async () => {
  const persistence = fakePersistence({ flush: never })
  const app = createApp({ database, persistence, clock })
  void app.request('/api/events', { method: 'POST', body: EVENT })
  while (persistence.flushes === 0) await new Promise(setImmediate)
  const response = await app.request('/api/events')
  expect(response.status).toBe(200)
  expect(await response.json()).toHaveLength(1)
})

test('no timer is left behind by a write that was stored', async () => {
  const app = createApp({ database, persistence: fakePersistence(), clock })
  expect((await app.request('/api/events', { method: 'POST', body: EVENT })).status).toBe(201)
  expect(clock.running()).toBe(0)
})

import type { DatabaseSync } from 'node:sqlite'
import { Hono } from 'hono'
import type { DatabasePersistence } from 'kvar'
import type { SafetyAnswer } from '../shared/event-types.ts'
import { ApiError } from './api-error.ts'
import { isDatabaseTrouble, retryWhileBusy } from './busy.ts'
import { type ServerClock, serverClock, within } from './clock.ts'
import { createEventStore } from './event-store.ts'
import { eventsApi } from './events-api.ts'
import { limitedBody, ownSiteOnly, securityHeaders } from './guards.ts'
import { type PageFiles, pageRoutes } from './page-files.ts'
import { SAFETY_UNKNOWN, safetyAnswer } from './safety-words.ts'
import { storedInTime } from './storing.ts'

export interface AppOptions {
  /** Opened by `openDatabase`; whoever opened it closes it. */
  database: DatabaseSync
  persistence: Pick<DatabasePersistence, 'flush' | 'status'>
  /** The built page; without it only the API answers. */
  page?: PageFiles
  clock?: ServerClock
  /** One sentence a call, never with content of the calendar. */
  log?: (sentence: string) => void
}

/** Milliseconds a change waits to be stored elsewhere before it is answered with 202. */
const STORE_LIMIT_MS = 3_000
/** Milliseconds the question for safety may take before the answer is "we do not know". */
const STATUS_LIMIT_MS = 2_000

/**
 * The calendar's web server, without a port: routes from requests to the database and its keeper.
 *
 * @example
 * const app = createApp({ database: openDatabase('familjekalender.db'), persistence })
 * const response = await app.request('/api/events?from=2026-03-23&to=2026-03-29')
 */
export function createApp(options: AppOptions): Hono {
  const { database, persistence, clock = serverClock, log = () => {} } = options
  const store = createEventStore(database)
  const patiently = <T>(work: () => Promise<T>) => retryWhileBusy(clock, work)
  const stored = () => storedInTime(persistence, { clock, limitMs: STORE_LIMIT_MS, log })

  const app = new Hono()
  app.use(securityHeaders, ownSiteOnly, limitedBody)
  app.use('/api/*', async (context, next) => {
    await next()
    context.header('Cache-Control', 'no-store')
  })
  app.route('/api/events', eventsApi({ store, stored, patiently }))
  app.get('/api/people', async (context) => context.json(await patiently(() => store.people())))
  app.get('/api/status', async (context) => {
    return context.json(await askForSafety(persistence, clock))
  })
  app.get('/healthz', (context) => {
    database.prepare('SELECT 1').get()
    return context.json({ ok: true })
  })
  if (options.page !== undefined) app.route('/', pageRoutes(options.page))

  app.notFound((context) => context.json(new ApiError('not_found').toAnswer(), 404))
  app.onError((thrown, context) => {
    const error = toApiError(thrown, log)
    return context.json(error.toAnswer(), error.status)
  })
  return app
}

async function askForSafety(
  persistence: Pick<DatabasePersistence, 'status'>,
  clock: ServerClock,
): Promise<SafetyAnswer> {
  try {
    const status = await within(clock, STATUS_LIMIT_MS, persistence.status())
    return status === 'late' ? SAFETY_UNKNOWN : safetyAnswer(status)
  } catch {
    // The keeper is started again by the library; until it answers nobody may be told "safe".
    return SAFETY_UNKNOWN
  }
}

function toApiError(thrown: unknown, log: (sentence: string) => void): ApiError {
  if (thrown instanceof ApiError) return thrown
  const reason = thrown instanceof Error ? thrown.message : String(thrown)
  if (isDatabaseTrouble(thrown)) {
    log(`The database could not be used: ${reason}`)
    return new ApiError('database_busy')
  }
  log(`A request failed: ${reason}`)
  return new ApiError('internal')
}

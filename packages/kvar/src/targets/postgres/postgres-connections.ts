import type { Pool, PoolClient, PoolConfig } from 'pg'
import { assert, KvarError } from '../../errors.ts'
import { beforeDeadline } from '../../platform/clock.ts'
import type { Platform } from '../../platform/platform.ts'
import { loadLibrary } from '../load-library.ts'
import { TargetError, throwIfCancelled } from '../target.ts'
import type { PostgresSettings, PostgresTls } from './postgres-settings.ts'

export type PostgresPlatform = Pick<Platform, 'files' | 'clock' | 'random'>

/** One for the version that is being stored, one for reading back or catching up. */
const CONNECTION_LIMIT = 2
/** An idle keeper has no connection, and so neither traffic nor a place in the server's or pooler's count. */
const IDLE_MS = 10_000
/** Also how long a call waits for one of the two connections. */
const CONNECT_LIMIT_MS = 15_000

/**
 * A few connections that are made when needed, closed when idle, and cut when their call is aborted.
 * Every call has a connection for itself from beginning to end, so that a transaction works through a
 * pooler that hands out servers by transaction; nothing that outlives a transaction is ever set.
 */
export class PostgresConnections {
  readonly #pool: Pool
  readonly #url: string
  readonly #inUse = new Set<PoolClient>()
  #uploads: Promise<void> = Promise.resolve()
  #isClosed = false

  private constructor(pool: Pool, url: string) {
    this.#pool = pool
    this.#url = url
    // Their calls fail by themselves; without listeners a broken idle connection would end the process.
    pool.on('error', () => undefined)
    pool.on('connect', (client) => client.on('error', () => undefined))
  }

  /** @param options.idleMs how long an unused connection is kept */
  static async open(
    settings: PostgresSettings,
    platform: PostgresPlatform,
    options: { idleMs?: number } = {},
  ): Promise<PostgresConnections> {
    const { default: pg } = await loadLibrary('pg', 'postgres: targets', () => import('pg'))
    const ssl = await readTlsOptions(settings, platform)
    return new PostgresConnections(
      new pg.Pool({ ...poolConfig(settings), idleTimeoutMillis: options.idleMs ?? IDLE_MS, ssl }),
      settings.url,
    )
  }

  /** Lends a connection. After a failure or an abort it is not used again: the next one starts afresh. */
  async run<T>(signal: AbortSignal | undefined, work: (client: PoolClient) => Promise<T>): Promise<T> {
    this.assertOpen()
    throwIfCancelled(signal)
    const client = await this.#acquire(signal)
    // While a query is under way this cuts the socket, and the query fails.
    const cut = () => void client.end().catch(() => undefined)
    signal?.addEventListener('abort', cut, { once: true })
    this.#inUse.add(client)
    let isHealthy = false
    try {
      const answer = await work(client)
      throwIfCancelled(signal)
      isHealthy = true
      return answer
    } catch (thrown) {
      throwIfCancelled(signal)
      if (this.#isClosed) throw closedMeanwhile(this.#url)
      throw thrown
    } finally {
      signal?.removeEventListener('abort', cut)
      this.#inUse.delete(client)
      client.release(!isHealthy)
    }
  }

  /**
   * As `run`, for work that reads its input from somewhere while it holds a connection: one at a time,
   * because that somewhere may be this very target, and two of them would wait for each other's.
   */
  async runUpload<T>(signal: AbortSignal | undefined, work: (client: PoolClient) => Promise<T>): Promise<T> {
    const before = this.#uploads
    const ended = Promise.withResolvers<void>()
    this.#uploads = before.then(() => ended.promise)
    try {
      await unlessAborted(before, signal)
      return await this.run(signal, work)
    } finally {
      ended.resolve()
    }
  }

  assertOpen(): void {
    assert(!this.#isClosed, `${this.#url} was closed`)
  }

  async close(): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    for (const client of this.#inUse) void client.end().catch(() => undefined)
    await this.#pool.end()
  }

  async #acquire(signal: AbortSignal | undefined): Promise<PoolClient> {
    const connecting = this.#pool.connect()
    try {
      return await unlessAborted(connecting, signal)
    } catch (thrown) {
      if (signal?.aborted)
        connecting.then(
          (late) => late.release(),
          () => undefined,
        )
      throw thrown
    }
  }
}

/** Waits for something that cannot be stopped, but no longer than until the abort. */
async function unlessAborted<T>(work: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return work
  const aborted = Promise.withResolvers<never>()
  const abort = () =>
    aborted.reject(new KvarError('CANCELLED', 'Stopped by the caller', { cause: signal.reason }))
  signal.addEventListener('abort', abort, { once: true })
  try {
    throwIfCancelled(signal)
    return await Promise.race([work, aborted.promise])
  } finally {
    signal.removeEventListener('abort', abort)
  }
}

/** Everything is said here, so that the library asks none of its own environment variables or files. */
function poolConfig({ host, port, user, database, password }: PostgresSettings): PoolConfig {
  return {
    host,
    port,
    user,
    database,
    password: () => password ?? '',
    max: CONNECTION_LIMIT,
    connectionTimeoutMillis: CONNECT_LIMIT_MS,
    allowExitOnIdle: true,
    keepAlive: false,
    application_name: 'kvar',
  }
}

async function readTlsOptions(settings: PostgresSettings, platform: PostgresPlatform) {
  const { tls } = settings
  if (tls.check === 'none') return false
  const ca = await readAuthority(tls.authority, settings.url, platform)
  return {
    rejectUnauthorized: true,
    ...(ca === undefined ? {} : { ca }),
    ...(tls.check === 'chain' ? { checkServerIdentity: () => undefined } : {}),
  }
}

type Authority = Extract<PostgresTls, { authority: unknown }>['authority']

/** A certificate as text, or the file it is in. */
async function readAuthority(
  authority: Authority,
  url: string,
  { files, clock }: PostgresPlatform,
): Promise<string | undefined> {
  if (authority === undefined || authority.includes('-----BEGIN')) return authority?.replaceAll('\\n', '\n')
  const bytes = await beforeDeadline(clock, CONNECT_LIMIT_MS, files.readFile(authority))
  if (bytes instanceof Uint8Array) return Buffer.from(bytes).toString('utf8')
  throw new KvarError('SETTING_INVALID', `Cannot use the target ${url}: no certificate in ${authority}`, {
    hint: 'sslrootcert and KVAR_POSTGRES_CA name a file with the certificate of the authority (PEM)',
    data: { url },
  })
}

function closedMeanwhile(url: string): KvarError {
  return new KvarError('CANCELLED', `The target ${url} was closed meanwhile`)
}

export function noAnswer(url: string, limitMs: number): TargetError {
  return new TargetError('temporary', `No answer from ${url} in ${limitMs / 1000} s`, {
    hint: 'nothing is lost; it is tried again',
    data: { url },
  })
}

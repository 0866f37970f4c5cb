import type { PoolClient } from 'pg'
import { assert } from '../../errors.ts'
import { beforeDeadline } from '../../platform/clock.ts'
import { BodyFailure, bodyBytes, bodyPieces, wholeBody } from '../checked-body.ts'
import {
  assertKey,
  assertPrefix,
  type CreateOptions,
  isKey,
  type ListOptions,
  type ObjectBody,
  type ObjectEntry,
  type ReadOptions,
  type Target,
  type TargetCapabilities,
  throwIfCancelled,
} from '../target.ts'
import { noAnswer, PostgresConnections, type PostgresPlatform } from './postgres-connections.ts'
import { classifyPostgresError, isMissingTable, tablesVanished } from './postgres-errors.ts'
import type { PostgresSettings } from './postgres-settings.ts'
import { PostgresStream } from './postgres-stream.ts'
import { ensureTables, PART_BYTES, type PostgresTables, tablesIn } from './postgres-tables.ts'

const OPEN_LIMIT_MS = 30_000
const PAGE_ROWS = 1000
/** Readers that began before a replacement find the old bytes for this long. */
const REPLACED_KEPT = '1 hour'
/** A keeper that vanished in the middle of a transaction holds nothing up for longer than this. */
const IDLE_IN_TRANSACTION_MS = 60_000

/** Sorts behind every character of a key: the end of a range of keys with one prefix. */
const AFTER_ALL_KEYS = '\x7f'

/**
 * Makes "created" mean "survives a crash" also where the server was told to answer before its log is on
 * the disk; a setting that waits for even more (a standby) stays as it is.
 */
const DURABLE = `set_config('synchronous_commit',
  case current_setting('synchronous_commit') when 'off' then 'on' else current_setting('synchronous_commit') end,
  true)`

/** Without parameters, so that it is one round trip; all of it ends with the transaction. */
const BEGIN = `begin isolation level read committed;
  set local idle_in_transaction_session_timeout = ${IDLE_IN_TRANSACTION_MS};
  select ${DURABLE}`

/**
 * Two tables of a PostgreSQL database as a target: a server of one's own, Supabase, Neon, …, direct or
 * through a pooler.
 *
 * @param options.idleMs how long an unused connection is kept: 10 s if left out
 * @throws TargetError when the server cannot be reached or refuses us; KvarError `SETTING_INVALID` when
 *   the package `pg` is missing
 * @example
 * const target = await createPostgresTarget(readPostgresSettings(setting), systemPlatform)
 */
export async function createPostgresTarget(
  settings: PostgresSettings,
  platform: PostgresPlatform,
  options: { idleMs?: number } = {},
): Promise<Target> {
  const connections = await PostgresConnections.open(settings, platform, options)
  const stop = new AbortController()
  try {
    const ensuring = connections.run(stop.signal, (client) => ensureTables(client, settings.schema))
    const outcome = await beforeDeadline(platform.clock, OPEN_LIMIT_MS, ensuring)
    if (outcome !== 'late') return new PostgresTarget(settings, platform, connections)
    ensuring.catch(() => undefined)
    throw noAnswer(settings.url, OPEN_LIMIT_MS)
  } catch (thrown) {
    stop.abort()
    await connections.close()
    throw classifyPostgresError(thrown, 'open the tables', settings.url)
  }
}

class PostgresTarget implements Target {
  readonly kind = 'postgres'
  readonly url: string
  readonly capabilities: TargetCapabilities = {
    createIfAbsent: 'atomic',
    rangeRead: true,
    keepsModifiedAt: true,
    maxObjectBytes: Number.MAX_SAFE_INTEGER,
    listConsistency: 'strong',
    requestsPerSecond: Number.POSITIVE_INFINITY,
  }
  readonly #prefix: string
  readonly #tables: PostgresTables
  readonly #connections: PostgresConnections
  readonly #platform: PostgresPlatform

  constructor(settings: PostgresSettings, platform: PostgresPlatform, connections: PostgresConnections) {
    this.url = settings.url
    this.#prefix = settings.prefix
    this.#tables = tablesIn(settings.schema)
    this.#connections = connections
    this.#platform = platform
  }

  levelFolder(level: number): string {
    return `ltx/${level}`
  }

  async create(key: string, body: ObjectBody, options: CreateOptions): Promise<'created' | 'exists'> {
    assertKey(key)
    return this.#guarded(`store "${key}"`, () =>
      bodyBytes(body) <= PART_BYTES
        ? this.#createAtOnce(key, body, options)
        : this.#createInParts(key, body, options),
    )
  }

  async replace(key: string, body: ObjectBody, options: { signal?: AbortSignal } = {}): Promise<void> {
    assertKey(key)
    const modifiedAtMs = this.#platform.clock.nowMs()
    await this.#guarded(`replace "${key}"`, () =>
      this.#connections.runUpload(options.signal, async (client) => {
        await client.query(BEGIN)
        // Two replacements at once take turns, or each would see the other's object as the old one.
        const place = `${this.#tables.objects}/${this.#prefix}/${key}`
        await client.query('select pg_advisory_xact_lock(hashtextextended($1, 0))', [place])
        const id = await this.#insertParts(client, body, options.signal)
        await this.#retire(client, key)
        await client.query(this.#insertObject(), this.#objectRow(id, key, bodyBytes(body), modifiedAtMs))
        await commit(client)
      }),
    )
  }

  async read(key: string, options: ReadOptions = {}): Promise<AsyncIterable<Uint8Array> | undefined> {
    assertKey(key)
    const doing = `read "${key}"`
    return this.#guarded(doing, () =>
      PostgresStream.open({
        connections: this.#connections,
        tables: this.#tables,
        url: this.url,
        prefix: this.#prefix,
        key,
        options,
        classify: (thrown) => this.#classified(thrown, doing),
      }),
    )
  }

  async *list(prefix: string, options: ListOptions = {}): AsyncIterable<ObjectEntry> {
    assertPrefix(prefix)
    let after = options.startAfter ?? ''
    for (;;) {
      const page = await this.#guarded('list objects', () => this.#listPage(prefix, after, options))
      for (const { key, sizeBytes, modifiedAtMs } of page) {
        throwIfCancelled(options.signal)
        // Keys that others put into the table by hand could lead out of whatever they are joined to.
        if (isKey(key)) yield { key, sizeBytes: Number(sizeBytes), modifiedAtMs: Number(modifiedAtMs) }
      }
      const last = page.at(-1)
      if (last === undefined || page.length < PAGE_ROWS) return
      after = last.key
    }
  }

  async remove(keys: string[], options: { signal?: AbortSignal } = {}): Promise<void> {
    keys.forEach(assertKey)
    // In one order, so that two removals at once cannot wait for each other.
    const sorted = [...keys].sort()
    const text = `delete from ${this.#tables.objects} where prefix = $1 and key = any($2::text[])`
    await this.#guarded('remove objects', async () => {
      this.#connections.assertOpen()
      for (let start = 0; start < sorted.length; start += PAGE_ROWS) {
        const values = [this.#prefix, sorted.slice(start, start + PAGE_ROWS)]
        await this.#connections.run(options.signal, (client) => client.query(text, values))
      }
    })
  }

  async close(): Promise<void> {
    await this.#connections.close()
  }

  /** One statement, so one round trip and one transaction of its own: the way of nearly every version. */
  async #createAtOnce(key: string, body: ObjectBody, options: CreateOptions) {
    const { signal, modifiedAtMs } = options
    const bytes = await wholeBody(body, signal)
    const row = this.#objectRow(this.#newId(), key, bodyBytes(body), modifiedAtMs)
    const text = `with made as (${this.#insertObject()} on conflict (prefix, key) do nothing returning id)
      insert into ${this.#tables.parts} (object_id, number, bytes) select id, 0, $6::bytea from made`
    const values = [...row, bytes]
    const { rowCount } = await this.#connections.run(signal, (client) => client.query(text, values))
    return rowCount === 1 ? 'created' : 'exists'
  }

  /** The object comes last: until then nobody waits for us, and nobody sees anything before the commit. */
  async #createInParts(key: string, body: ObjectBody, { signal, modifiedAtMs }: CreateOptions) {
    return this.#connections.runUpload(signal, async (client) => {
      await client.query(BEGIN)
      if (await this.#isTaken(client, key)) return rolledBack(client)
      const id = await this.#insertParts(client, body, signal)
      const { rowCount } = await client.query(
        `${this.#insertObject()} on conflict (prefix, key) do nothing`,
        this.#objectRow(id, key, bodyBytes(body), modifiedAtMs),
      )
      if (rowCount === 0) return rolledBack(client)
      await commit(client)
      return 'created'
    })
  }

  async #isTaken(client: PoolClient, key: string): Promise<boolean> {
    const text = `select from ${this.#tables.objects} where prefix = $1 and key = $2`
    return (await client.query(text, [this.#prefix, key])).rowCount === 1
  }

  async #insertParts(client: PoolClient, body: ObjectBody, signal: AbortSignal | undefined): Promise<string> {
    const id = this.#newId()
    const text = `insert into ${this.#tables.parts} (object_id, number, bytes) values ($1, $2, $3)`
    let number = 0
    for await (const piece of bodyPieces(body, PART_BYTES, signal)) {
      await client.query(text, [id, number, piece])
      number += 1
    }
    return id
  }

  /** Takes the key from the old object, whose parts stay for those who read them, and clears away older ones. */
  async #retire(client: PoolClient, key: string): Promise<void> {
    const { objects } = this.#tables
    const where = 'where prefix = $1 and key = $2'
    await client.query(`update ${objects} set key = null, modified_at = now() ${where}`, [this.#prefix, key])
    await client.query(
      `delete from ${objects} where prefix = $1 and key is null and modified_at < now() - $2::interval`,
      [this.#prefix, REPLACED_KEPT],
    )
  }

  #insertObject(): string {
    return `insert into ${this.#tables.objects} (id, prefix, key, size_bytes, modified_at)
      select $1::uuid, $2, $3, $4::bigint, to_timestamp($5::double precision / 1000) from ${DURABLE} as durable`
  }

  #objectRow(id: string, key: string, sizeBytes: number, modifiedAtMs: number) {
    return [id, this.#prefix, key, sizeBytes, modifiedAtMs]
  }

  #newId(): string {
    return Buffer.from(this.#platform.random.bytes(16)).toString('hex')
  }

  /** By place, not by number of the page: what appears or vanishes meanwhile shifts nothing. */
  async #listPage(prefix: string, after: string, { signal }: ListOptions) {
    throwIfCancelled(signal)
    const text = `select key, size_bytes as "sizeBytes",
        round(extract(epoch from modified_at) * 1000)::bigint as "modifiedAtMs"
      from ${this.#tables.objects}
      where prefix = $1 and key >= $2 and key < $3 and key > $4 order by key limit ${PAGE_ROWS}`
    const values = [this.#prefix, prefix, `${prefix}${AFTER_ALL_KEYS}`, after]
    const { rows } = await this.#connections.run(signal, (client) => client.query(text, values))
    return rows as Array<{ key: string; sizeBytes: string; modifiedAtMs: string }>
  }

  /** The border: nothing but classified errors and the body's own leaves it. */
  async #guarded<T>(doing: string, work: () => Promise<T>): Promise<T> {
    try {
      return await work()
    } catch (thrown) {
      throw this.#classified(thrown, doing)
    }
  }

  #classified(thrown: unknown, doing: string): unknown {
    if (thrown instanceof BodyFailure) return thrown.cause
    if (isMissingTable(thrown)) return tablesVanished(this.url, thrown)
    return classifyPostgresError(thrown, doing, this.url)
  }
}

/** A transaction that had failed would answer a commit without an error, but with another word. */
async function commit(client: PoolClient): Promise<void> {
  const { command } = await client.query('commit')
  assert(command === 'COMMIT', `a commit was answered with ${command}`)
}

async function rolledBack(client: PoolClient): Promise<'exists'> {
  await client.query('rollback')
  return 'exists'
}

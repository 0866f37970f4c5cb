// Goal: what is special about PostgreSQL: two keepers that make the tables at once, nobody else who can
// read them, large objects that appear whole, readers during a replacement, commits that are durable and
// answers that are lost, and what a person is told when something is wrong. Method: a real server, looked
// at through a second connection; the verbs themselves are tested by tests/contract/postgres.test.ts.

import { execFile } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { chmod, mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { inspect, promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startHoldingProxy } from '../../../../../tests/servers/holding-proxy.ts'
import {
  type PostgresServer,
  postgresPrograms,
  startPostgres,
} from '../../../../../tests/servers/postgres.ts'
import { freePort } from '../../../../../tests/servers/server.ts'
import { systemPlatform } from '../../platform/system.ts'
import { parseTargetUrl } from '../../settings/target-url.ts'
import { type ObjectSource, readAll, type Target } from '../target.ts'
import { withRetries } from '../wrappers/retrying-target.ts'
import { readPostgresSettings } from './postgres-settings.ts'
import { createPostgresTarget } from './postgres-target.ts'

const run = promisify(execFile)
const MIB = 1024 * 1024
const modifiedAtMs = 1_795_428_930_123
const hasServer = (await postgresPrograms()) !== undefined
let server: PostgresServer
const opened: Target[] = []

beforeAll(async () => {
  if (hasServer) server = await startPostgres(['fsync = off', 'synchronous_commit = off'])
}, 120_000)

afterAll(async () => {
  await Promise.all(opened.map((target) => target.close()))
  await server?.stop()
})

const source = { kind: 'option', label: 'the test', baseFolder: '/' } as const
const settingsOf = (url: string, password = server.password) =>
  readPostgresSettings(parseTargetUrl(url, { source, environment: { KVAR_POSTGRES_PASSWORD: password } }))

async function open(options: { url?: string; query?: string; password?: string; idleMs?: number } = {}) {
  const query = options.query ?? `prefix=${randomUUID()}`
  const url = `${options.url ?? server.url}?${query}`
  const { idleMs } = options
  const target = await createPostgresTarget(
    settingsOf(url, options.password),
    systemPlatform,
    idleMs === undefined ? {} : { idleMs },
  )
  opened.push(target)
  return target
}

const create = (target: Target, key: string, body: Uint8Array | ObjectSource = new Uint8Array(10)) =>
  target.create(key, body, { modifiedAtMs })

/** A large body that stops half-way until it is let go. */
function slowBody(sizeBytes: number, byte: number) {
  const half = new Uint8Array(sizeBytes / 2).fill(byte)
  const reached = Promise.withResolvers<void>()
  const letGo = Promise.withResolvers<void>()
  const body: ObjectSource = {
    sizeBytes,
    async *open() {
      yield half
      reached.resolve()
      await letGo.promise
      yield half
    },
  }
  return { body, reached: reached.promise, letGo: letGo.resolve }
}

async function until(isSo: () => Promise<boolean>): Promise<void> {
  for (const deadline = performance.now() + 60_000; performance.now() < deadline; await pause(20)) {
    if (await isSo()) return
  }
  throw new Error('it did not come about in a minute')
}

async function keys(target: Target): Promise<string[]> {
  const seen = []
  for await (const { key } of target.list('')) seen.push(key)
  return seen
}

const thrownBy = (work: Promise<unknown>) =>
  work.then(
    () => undefined,
    (error: unknown) => error as Error,
  )

describe.skipIf(!hasServer)(`postgres${hasServer ? '' : ' (left out: PostgreSQL is not installed)'}`, () => {
  it('makes its tables once, however many come at once, and nobody else may read them', async () => {
    await server.sql('create role anon; create role authenticated; create role stranger login password $$x$$')
    await server.sql('alter default privileges grant all on tables to anon, authenticated')
    const targets = await Promise.all(Array.from({ length: 8 }, () => open({ query: 'schema=shared' })))
    await Promise.all(targets.map((target, number) => create(target, `a/${number}`)))
    expect(await keys(targets[0] as Target)).toHaveLength(8)
    const { rows } = await server.sql(
      `select relname, relrowsecurity, relacl::text from pg_class where relnamespace = 'shared'::regnamespace and relkind = 'r'`,
    )
    expect(rows).toHaveLength(2)
    for (const { relrowsecurity, relacl } of rows) {
      expect(relrowsecurity).toBe(true)
      expect(relacl).not.toMatch(/anon|authenticated/)
    }
    for (const role of ['anon', 'authenticated', 'stranger']) {
      const reading = server.sql(`set role ${role}; select count(*) from shared.kvar_parts`)
      await expect(reading, role).rejects.toMatchObject({ code: '42501' })
    }
    // Even somebody who is given the rights by mistake sees no row.
    await server.sql('grant usage on schema shared to anon; grant all on all tables in schema shared to anon')
    const seen = await server.sql('set role anon; select count(*) from shared.kvar_objects')
    expect((seen as unknown as Array<{ rows: unknown[] }>)[1]?.rows).toEqual([{ count: '0' }])
  })

  it('leaves a schema that was there alone', async () => {
    await server.sql('create table public.objects (mine text); grant usage on schema public to stranger')
    const target = await open({ query: 'schema=public' })
    expect(await create(target, 'a')).toBe('created')
    await server.sql('set role stranger; select 1 from pg_catalog.pg_class where false')
    const { rows } = await server.sql(`select has_schema_privilege('stranger', 'public', 'usage') as may`)
    expect(rows).toEqual([{ may: true }])
  })

  it('waits for the disk although the server was told not to', async () => {
    const target = await open({ query: 'schema=durable' })
    await server.sql(`create function durable.look() returns trigger language plpgsql as $$ begin
        if current_setting('synchronous_commit') = 'off' then raise 'not durable'; end if; return null; end $$;
      create constraint trigger look after insert on durable.kvar_objects
        deferrable initially deferred for each row execute function durable.look()`)
    expect(await create(target, 'small')).toBe('created')
    expect(await create(target, 'large', new Uint8Array(2 * MIB))).toBe('created')
    await target.replace('mutable', new Uint8Array(1))
    const { rows } = await server.sql('show synchronous_commit')
    expect(rows).toEqual([{ synchronous_commit: 'off' }])
  })

  it('shows a large object only when it is whole, and nobody waits for it', async () => {
    const query = `prefix=${randomUUID()}`
    const [one, other] = await Promise.all([open({ query }), open({ query })])
    const slow = slowBody(4 * MIB, 7)
    const creating = create(one, 'large', slow.body)
    await slow.reached
    expect(await keys(other)).toEqual([])
    expect(await other.read('large')).toBeUndefined()
    expect(await create(other, 'large', new Uint8Array([8]))).toBe('created')
    slow.letGo()
    expect(await creating).toBe('exists')
    expect(await readAll(one, 'large')).toEqual(Buffer.from([8]))
    const { rows } = await server.sql(
      'select count(*)::int as left from kvar.kvar_parts where object_id not in (select id from kvar.kvar_objects)',
    )
    expect(rows).toEqual([{ left: 0 }])
  })

  it('copies a large object within itself, several at once', async () => {
    const target = await open()
    await create(target, 'from', new Uint8Array(3 * MIB).fill(5))
    const copy = (): ObjectSource => ({
      sizeBytes: 3 * MIB,
      async *open() {
        for await (const chunk of (await target.read('from')) ?? []) yield chunk
      },
    })
    const outcomes = await Promise.all(['a', 'b', 'c', 'd'].map((key) => create(target, key, copy())))
    expect(outcomes).toEqual(['created', 'created', 'created', 'created'])
    expect((await readAll(target, 'd'))?.every((byte) => byte === 5)).toBe(true)
  })

  it('reads on from the object it found when that is replaced, and clears it away an hour later', async () => {
    const prefix = randomUUID()
    const target = await open({ query: `prefix=${prefix}` })
    await target.replace('mutable', new Uint8Array(3 * MIB).fill(1))
    const seen = new Set<number>()
    for await (const chunk of (await target.read('mutable')) ?? []) {
      if (seen.size === 0) await target.replace('mutable', new Uint8Array(3 * MIB).fill(2))
      for (const byte of new Set(chunk)) seen.add(byte)
    }
    expect(seen).toEqual(new Set([1]))
    const parts = async () =>
      (
        await server.sql(
          'select count(*)::int as n from kvar.kvar_parts p join kvar.kvar_objects o on o.id = p.object_id where prefix = $1',
          [prefix],
        )
      ).rows[0].n
    expect(await parts()).toBe(6)
    await server.sql(
      `update kvar.kvar_objects set modified_at = now() - interval '61 minutes' where prefix = $1 and key is null`,
      [prefix],
    )
    await target.replace('other', new Uint8Array(1))
    expect(await parts()).toBe(4)
    expect(await keys(target)).toEqual(['mutable', 'other'])
  })

  it('settles a create whose answer was lost', async () => {
    const proxy = await startHoldingProxy(server.port)
    try {
      const prefix = randomUUID()
      const url = `postgres://${server.user}@127.0.0.1:${proxy.port}/postgres`
      const target = await open({ url, query: `prefix=${prefix}` })
      const isStored = async (key: string) =>
        (await server.sql('select 1 from kvar.kvar_objects where prefix = $1 and key = $2', [prefix, key]))
          .rowCount === 1
      const lose = async (key: string) => {
        proxy.hold()
        await until(() => isStored(key))
        proxy.cut()
      }
      const bare = create(target, 'bare')
      await Promise.all([expect(bare).rejects.toMatchObject({ failure: 'temporary' }), lose('bare')])
      expect(await readAll(target, 'bare')).toHaveLength(10)
      const retrying = withRetries(target, { platform: systemPlatform })
      const [outcome] = await Promise.all([create(retrying, 'retried'), lose('retried')])
      expect(outcome).toBe('created')
      expect(await create(retrying, 'retried', new Uint8Array(11))).toBe('exists')
    } finally {
      await proxy.stop()
    }
  })

  it('has no connection when it is idle', async () => {
    const name = `idle_${Date.now()}`
    await server.sql(`create role ${name} login superuser password 'geheim'`)
    const url = server.url.replace(server.user, name)
    const target = await open({ url, password: 'geheim', idleMs: 50 })
    await create(target, 'a')
    await until(async () => {
      const { rowCount } = await server.sql('select 1 from pg_stat_activity where usename = $1', [name])
      return rowCount === 0
    })
    expect(await create(target, 'a')).toBe('exists')
  })

  it('never shows a key that others wrote into the table by hand', async () => {
    const prefix = randomUUID()
    const target = await open({ query: `prefix=${prefix}` })
    await create(target, 'fine')
    for (const key of ['../../etc/passwd', '/a', 'a//b', '.hidden', 'a b']) {
      await server.sql('insert into kvar.kvar_objects values (gen_random_uuid(), $1, $2, 1, now())', [
        prefix,
        key,
      ])
    }
    expect(await keys(target)).toEqual(['fine'])
  })

  it('never takes tables that vanished for an empty log', async () => {
    const target = await open({ query: 'schema=gone' })
    await create(target, 'a')
    await server.sql('drop schema gone cascade')
    const verbs = [() => target.read('a'), () => create(target, 'b'), () => keys(target)]
    for (const verb of verbs) {
      const thrown = await thrownBy(verb())
      expect(thrown).toMatchObject({ failure: 'temporary', message: expect.stringMatching(/are gone/) })
    }
  })

  it('says what is wrong, and never a password', async () => {
    await server.sql(`create role reader login password 'geheim'; create role poor login password 'geheim'`)
    await server.sql('alter role reader set default_transaction_read_only = on')
    await server.sql('grant kvar to reader')
    await open()
    const at = (user: string) => server.url.replace(server.user, user)
    const closedPort = `postgres://kvar@127.0.0.1:${await freePort()}/postgres`
    const cases: Array<[string, () => Promise<unknown>, { failure: string; hint?: RegExp }]> = [
      [
        'wrong password',
        () => open({ password: 'wrong-geheim' }),
        { failure: 'denied', hint: /KVAR_POSTGRES_PASSWORD/ },
      ],
      ['no password', () => open({ password: '' }), { failure: 'denied', hint: /KVAR_POSTGRES_PASSWORD/ }],
      [
        'no rights',
        () => open({ url: at('poor'), password: 'geheim' }),
        { failure: 'denied', hint: /own the schema/ },
      ],
      [
        'no database',
        () => open({ url: server.url.replace(/postgres$/, 'nowhere') }),
        { failure: 'permanent' },
      ],
      ['nobody there', () => open({ url: closedPort }), { failure: 'temporary' }],
      [
        'no TLS',
        () => open({ query: 'sslmode=verify-full' }),
        { failure: 'denied', hint: /sslmode=disable/ },
      ],
      [
        'read-only',
        () => open({ url: at('reader'), password: 'geheim' }).then((target) => create(target, 'a')),
        { failure: 'full', hint: /read-only/ },
      ],
    ]
    for (const [name, work, { failure, hint }] of cases) {
      const thrown = await thrownBy(work())
      expect(thrown, name).toMatchObject({ failure, ...(hint ? { hint: expect.stringMatching(hint) } : {}) })
      expect(`${inspect(thrown, { depth: 9 })} ${JSON.stringify(thrown)}`, name).not.toContain('geheim')
    }
  })

  it('says that the disk is full, and goes on when there is room', async ({ skip }) => {
    const place = join(server.folder, 'small')
    await mkdir(place)
    const mounting = run('mount', ['-t', 'tmpfs', '-o', 'size=4m,mode=0777', 'none', place])
    if ((await thrownBy(mounting)) !== undefined) skip('nothing can be mounted here')
    try {
      if (process.getuid?.() === 0) await run('chown', ['postgres', place])
      await server.sql(`create tablespace small location '${place}'`)
      const target = await open({ query: 'schema=small' })
      await server.sql('alter table small.kvar_parts set tablespace small')
      const filling = create(target, 'large', new Uint8Array(8 * MIB).fill(1))
      await expect(filling).rejects.toMatchObject({ failure: 'full', data: { systemCode: '53100' } })
      expect(await target.read('large')).toBeUndefined()
      await run('mount', ['-o', 'remount,size=64m', place])
      expect(await create(target, 'large', new Uint8Array(8 * MIB).fill(1))).toBe('created')
    } finally {
      await server.sql('drop schema if exists small cascade')
      await run('umount', ['-l', place])
    }
  })
})

describe.skipIf(!hasServer)('postgres with TLS', () => {
  let protectedServer: PostgresServer
  let certificate: string

  beforeAll(async () => {
    protectedServer = await startPostgres(['fsync = off'])
    certificate = join(protectedServer.folder, 'server.crt')
    const key = join(protectedServer.folder, 'server.key')
    const subject = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=DNS:localhost']
    const made = ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-days', '2', ...subject]
    await run('openssl', [...made, '-keyout', key, '-out', certificate])
    await chmod(certificate, 0o644)
    if (process.getuid?.() === 0) await run('chown', ['postgres', key])
    await chmod(key, 0o600)
    await protectedServer.sql(`alter system set ssl_cert_file = '${certificate}'`)
    await protectedServer.sql(`alter system set ssl_key_file = '${key}'`)
    await protectedServer.sql('alter system set ssl = on')
    await protectedServer.sql('select pg_reload_conf()')
    await until(async () => (await protectedServer.sql('show ssl')).rows[0].ssl === 'on')
  }, 120_000)

  afterAll(() => protectedServer?.stop())

  const openAt = (host: string, query: string) => {
    const url = protectedServer.url.replace('127.0.0.1', host)
    return open({ url, query, password: protectedServer.password })
  }

  it('trusts the authority that the settings name, for the name in the certificate', async () => {
    const target = await openAt('localhost', `sslmode=verify-full&sslrootcert=${certificate}`)
    expect(await create(target, 'a')).toBe('created')
    const { rows } = await protectedServer.sql(
      `select bool_and(s.ssl) as "isProtected" from pg_stat_ssl s join pg_stat_activity a using (pid)
        where application_name = 'kvar'`,
    )
    expect(rows).toEqual([{ isProtected: true }])
  })

  it('refuses an authority that nobody named, and another name', async () => {
    const unknown = await thrownBy(openAt('localhost', 'sslmode=verify-full'))
    expect(unknown).toMatchObject({ failure: 'denied', hint: expect.stringMatching(/sslrootcert/) })
    const query = `sslrootcert=${certificate}`
    const otherName = await thrownBy(openAt('127.0.0.1', `sslmode=verify-full&${query}`))
    expect(otherName).toMatchObject({ failure: 'denied', message: expect.stringMatching(/another name/) })
    expect(await create(await openAt('127.0.0.1', `sslmode=verify-ca&${query}`), 'b')).toBe('created')
  })

  it('says when the certificate is not where the settings say', async () => {
    await expect(openAt('localhost', 'sslmode=verify-full&sslrootcert=/nowhere.crt')).rejects.toMatchObject({
      code: 'SETTING_INVALID',
    })
  })
})

import { randomBytes } from 'node:crypto'
import { readdir } from 'node:fs/promises'
import { type BranchInfo, branchLog, listBranches } from '../../packages/kvar/src/log/branches.ts'
import { restoreToFile } from '../../packages/kvar/src/log/restore.ts'
import { VersionLog } from '../../packages/kvar/src/log/version-log.ts'
import { systemPlatform } from '../../packages/kvar/src/platform/system.ts'
import { parseTargetUrl } from '../../packages/kvar/src/settings/target-url.ts'
import { openTarget } from '../../packages/kvar/src/targets/open-target.ts'
import type { Target } from '../../packages/kvar/src/targets/target.ts'
import { withRetries } from '../../packages/kvar/src/targets/wrappers/retrying-target.ts'
import { apacheLeftOut, startApache } from '../servers/apache.ts'
import { cephLeftOut, startCeph } from '../servers/ceph.ts'
import { startPgbouncer } from '../servers/pgbouncer.ts'
import { type PostgresServer, postgresPrograms, startPostgres } from '../servers/postgres.ts'
import { isInstalled } from '../servers/server.ts'
import { sshdLeftOut, startSshd } from '../servers/sshd.ts'
import { rowsOf } from './keeper-world.ts'

/** A place on a real server, by the URL and the environment that a person would give. */
export interface RemotePlace {
  kind: RemoteKind
  url: string
  secrets: Record<string, string>
  /** Of the server, for proxies before it. */
  port: number
}

export type RemoteKind = (typeof REMOTE_KINDS)[number]
export const REMOTE_KINDS = ['s3', 'postgres', 'pgbouncer', 'sftp', 'webdav'] as const

const hasPostgres = (await postgresPrograms()) !== undefined
const POSTGRES_LEFT_OUT = hasPostgres ? '' : ' (left out: no postgres)'

/** For a test's name: empty where the server is installed. */
export const remoteLeftOut: Record<RemoteKind, string> = {
  s3: cephLeftOut,
  postgres: POSTGRES_LEFT_OUT,
  pgbouncer: POSTGRES_LEFT_OUT || (isInstalled('pgbouncer') ? '' : ' (left out: no pgbouncer)'),
  sftp: sshdLeftOut,
  webdav: apacheLeftOut,
}

/** For the name of a test that needs several of them. */
export function leftOutWithoutServers(...kinds: RemoteKind[]): string {
  return kinds.map((kind) => remoteLeftOut[kind]).join('')
}

interface Server {
  /** @param name as it stands in a URL */
  place: (name: string) => Omit<RemotePlace, 'kind'>
  /** The names of all that lies on the server, as the server itself tells them. */
  everything: () => Promise<string[]>
  stop: () => Promise<void>
}

/** Real servers that are installed here, each started once. */
export class RemoteServers {
  readonly #servers = new Map<RemoteKind, Server>()

  /** Starts those of the wanted ones that are installed, side by side. */
  static async start(wanted: readonly RemoteKind[] = REMOTE_KINDS): Promise<RemoteServers> {
    const here = wanted.filter((kind) => remoteLeftOut[kind] === '')
    const servers = new RemoteServers()
    const outcomes = await Promise.allSettled([
      ...here.map((kind) => (kind in STARTS ? servers.#start(kind as keyof typeof STARTS) : undefined)),
      servers.#startPostgres(here),
    ])
    const failed = outcomes.find((outcome) => outcome.status === 'rejected')
    if (failed === undefined) return servers
    await servers.stop()
    throw failed.reason
  }

  async #start(kind: keyof typeof STARTS): Promise<void> {
    this.#servers.set(kind, await STARTS[kind]())
  }

  async #startPostgres(here: RemoteKind[]): Promise<void> {
    if (!here.includes('postgres') && !here.includes('pgbouncer')) return
    const postgres = await startPostgres(['fsync = off'])
    const stop = () => postgres.stop()
    const everything = async () => {
      const { rows } = await postgres.sql(
        "select prefix || '/' || key as name from kvar.kvar_objects where key is not null",
      )
      return rows.map((row) => String(row.name))
    }
    this.#servers.set('postgres', { place: (name) => placeOf(postgres, postgres, name), everything, stop })
    if (!here.includes('pgbouncer')) return
    const pooler = await startPgbouncer(postgres)
    this.#servers.set('pgbouncer', {
      place: (name) => placeOf(pooler, postgres, name),
      everything,
      stop: () => pooler.stop(),
    })
  }

  has(kind: RemoteKind): boolean {
    return this.#servers.has(kind)
  }

  /** A fresh place: nothing lies there yet. */
  place(kind: RemoteKind, name = `app-${randomBytes(6).toString('hex')}`): RemotePlace {
    return { kind, ...this.#server(kind).place(name) }
  }

  /** The names of all that lies on a server, as the server itself tells them. */
  everythingOn(kind: RemoteKind): Promise<string[]> {
    return this.#server(kind).everything()
  }

  #server(kind: RemoteKind): Server {
    const server = this.#servers.get(kind)
    if (server === undefined) throw new Error(`no ${kind} was started`)
    return server
  }

  async stop(): Promise<void> {
    // The pooler goes before the server behind it.
    const order = [...this.#servers.values()].toReversed()
    for (const server of order) await server.stop()
    this.#servers.clear()
  }
}

const STARTS = { s3: startS3, sftp: startSftp, webdav: startWebdav }

async function startS3(): Promise<Server> {
  const ceph = await startCeph()
  const { accessKeyId, secretAccessKey } = ceph.credentials
  return {
    place: (name) => ({
      url: `s3://${ceph.bucket}/${name}?endpoint=${encodeURIComponent(ceph.url)}`,
      secrets: { KVAR_S3_ACCESS_KEY_ID: accessKeyId, KVAR_S3_SECRET_ACCESS_KEY: secretAccessKey },
      port: Number(new URL(ceph.url).port),
    }),
    everything: async () => {
      const listed = await ceph.admin('bucket', 'list', `--bucket=${ceph.bucket}`, '--max-entries=10000')
      return (JSON.parse(listed) as Array<{ name: string }>).map(({ name }) => name)
    },
    stop: () => ceph.stop(),
  }
}

async function startSftp(): Promise<Server> {
  const sshd = await startSshd()
  return {
    place: (name) => ({
      url: `${sshd.origin}${sshd.folder}/${name}`,
      secrets: { KVAR_SFTP_KEY: sshd.privateKey, KVAR_SFTP_HOST_KEY: sshd.hostKey },
      port: sshd.port,
    }),
    everything: () => readdir(sshd.folder, { recursive: true }),
    stop: () => sshd.stop(),
  }
}

async function startWebdav(): Promise<Server> {
  const apache = await startApache()
  const { user, password } = apache.credentials
  return {
    place: (name) => ({
      url: `${apache.url.replace('http://', `webdav://${user}@`)}/${name}`,
      secrets: { KVAR_WEBDAV_PASSWORD: password },
      port: Number(new URL(apache.url).port),
    }),
    everything: () => readdir(apache.root, { recursive: true }),
    stop: () => apache.stop(),
  }
}

function placeOf(
  { url, port }: { url: string; port: number },
  { password }: PostgresServer,
  name: string,
): Omit<RemotePlace, 'kind'> {
  return { url: `${url}?prefix=${name}`, secrets: { KVAR_POSTGRES_PASSWORD: password }, port }
}

/** The same place through a proxy on another port. */
export function behind(place: RemotePlace, port: number): RemotePlace {
  const url = place.url.replaceAll(new RegExp(`(:|%3A)${place.port}(?!\\d)`, 'g'), `$1${port}`)
  return { ...place, url, port }
}

export async function openPlace({ url, secrets }: Pick<RemotePlace, 'url' | 'secrets'>): Promise<Target> {
  const source = { kind: 'variable', label: 'the test', baseFolder: '/' } as const
  const target = await openTarget(parseTargetUrl(url, { source, environment: secrets }), systemPlatform)
  return withRetries(target, { platform: systemPlatform })
}

/** Does something with the log of a place, without any keeper. */
export async function withLog<T>(
  place: Pick<RemotePlace, 'url' | 'secrets'>,
  work: (log: VersionLog) => Promise<T>,
): Promise<T> {
  const target = await openPlace(place)
  try {
    return await work(new VersionLog(target))
  } finally {
    await target.close()
  }
}

/** What a query says of the newest version. */
export function rowsAt<T = Record<string, number>>(
  place: Pick<RemotePlace, 'url' | 'secrets'>,
  scratch: string,
  query: string,
): Promise<T[]> {
  return withLog(place, (log) => rowsOfLog<T>(log, scratch, query))
}

/** What a query says of every branch. */
export function rowsOfBranches<T = Record<string, number>>(
  place: Pick<RemotePlace, 'url' | 'secrets'>,
  scratch: string,
  query: string,
): Promise<Array<{ branch: BranchInfo; rows: T[] }>> {
  return withLog(place, async ({ target }) => {
    const found: Array<{ branch: BranchInfo; rows: T[] }> = []
    for (const branch of await listBranches(target))
      found.push({ branch, rows: await rowsOfLog<T>(branchLog(target, branch.id), scratch, query) })
    return found
  })
}

async function rowsOfLog<T>(log: VersionLog, scratch: string, query: string): Promise<T[]> {
  const path = `${scratch}/look-${randomBytes(6).toString('hex')}.db`
  const plan = await log.plan({ kind: 'latest' })
  await restoreToFile({ log, plan, path, platform: systemPlatform })
  return rowsOf<T>(path, query)
}

// PostgreSQL on the loopback, without any of its usual places: data, socket and log in a temporary
// folder. It refuses to run as root, so root starts it as the user its package made.

import { execFile } from 'node:child_process'
import { chmod, chown, readdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import pg from 'pg'
import { findProgram, freePort, removeFolder, startServer, temporaryFolder } from './server.ts'

const run = promisify(execFile)
const VERSIONS = '/usr/lib/postgresql'
/** Owner of the cluster, and of the database `postgres` in it. */
const USER = 'kvar'

export interface PostgresServer {
  /** Without the password. */
  url: string
  port: number
  user: string
  password: string
  /** Where its socket lies. */
  folder: string
  /** Runs statements as the owner, one after another, outside any target. */
  sql(text: string, values?: unknown[]): Promise<pg.QueryResult>
  stop(): Promise<void>
}

/** Where Debian puts the server's programs, the newest version; undefined when it is not installed. */
export async function postgresPrograms(): Promise<string | undefined> {
  const versions = await readdir(VERSIONS).catch(() => [])
  const newest = versions.filter((name) => /^\d+$/.test(name)).sort((a, b) => Number(b) - Number(a))[0]
  const folder = newest === undefined ? undefined : join(VERSIONS, newest, 'bin')
  return folder !== undefined && findProgram('setpriv') !== undefined && (await userId()) ? folder : undefined
}

/** @param settings lines for postgresql.conf, such as `synchronous_commit = off` */
export async function startPostgres(settings: string[] = []): Promise<PostgresServer> {
  const programs = await postgresPrograms()
  if (programs === undefined) throw new Error('PostgreSQL is not installed')
  const folder = await temporaryFolder('postgres')
  try {
    return await startIn(folder, programs, settings)
  } catch (thrown) {
    await removeFolder(folder)
    throw thrown
  }
}

async function startIn(folder: string, programs: string, settings: string[]): Promise<PostgresServer> {
  const password = `geheim-${process.pid}-${someDigits()}`
  const [data, port] = [join(folder, 'data'), await freePort()]
  await makeCluster(folder, programs, password)
  const lines = [
    `port = ${port}`,
    `listen_addresses = '127.0.0.1'`,
    `unix_socket_directories = '${folder}'`,
    'shared_buffers = 16MB',
    'max_connections = 60',
    ...settings,
  ]
  await writeFile(join(data, 'postgresql.auto.conf'), `${lines.join('\n')}\n`)
  const config = { host: '127.0.0.1', port, user: USER, password, database: 'postgres' }
  const sql = (text: string, values?: unknown[]) => query(config, text, values)
  const [program, ...args] = asPostgres([join(programs, 'postgres'), '-D', data])
  const server = await startServer(program as string, args, {
    logFile: join(folder, 'log'),
    cwd: folder,
    isReady: async () => (await sql('select 1')).rowCount === 1,
  })
  const url = `postgres://${USER}@127.0.0.1:${port}/postgres`
  const stop = async () => {
    // SIGTERM would wait for clients; what is in these folders is thrown away anyway.
    process.kill(server.processId, 'SIGQUIT')
    await server.stop()
    await removeFolder(folder)
  }
  return { url, port, user: USER, password, folder, sql, stop }
}

async function makeCluster(folder: string, programs: string, password: string): Promise<void> {
  const passwordFile = join(folder, 'password')
  await writeFile(passwordFile, password)
  const id = await userId()
  if (process.getuid?.() === 0 && id !== undefined) {
    await chown(folder, id, id)
    await chown(passwordFile, id, id)
  }
  await chmod(folder, 0o755)
  const options = ['-U', USER, '--auth=scram-sha-256', '--auth-local=trust', '--no-sync', '-E', 'UTF8']
  const initdb = [join(programs, 'initdb'), '-D', join(folder, 'data'), `--pwfile=${passwordFile}`]
  // Not "C", so that whatever needs the order of bytes has to ask for it.
  const [program, ...args] = asPostgres([...initdb, ...options, '--locale=C.UTF-8'])
  await run(program as string, args, { cwd: folder })
}

/** The command, as the user `postgres` when we are root. */
export function asPostgres(command: string[]): string[] {
  if (process.getuid?.() !== 0) return command
  return [
    findProgram('setpriv') as string,
    '--reuid=postgres',
    '--regid=postgres',
    '--init-groups',
    ...command,
  ]
}

async function userId(): Promise<number | undefined> {
  if (process.getuid?.() !== 0) return process.getuid?.()
  const { stdout } = await run('id', ['-u', 'postgres']).catch(() => ({ stdout: '' }))
  return stdout === '' ? undefined : Number(stdout)
}

/** One connection for one statement: what a test looks at is never in a session of the target's. */
async function query(config: pg.ClientConfig, text: string, values?: unknown[]): Promise<pg.QueryResult> {
  const client = new pg.Client(config)
  client.on('error', () => undefined)
  await client.connect()
  try {
    return await client.query(text, values)
  } finally {
    await client.end()
  }
}

function someDigits(): string {
  return Math.random().toString(36).slice(2)
}

// pgbouncer in transaction mode, as Supabase and other providers put before PostgreSQL: a connection has
// a server only as long as its transaction lasts, and after each the server may be somebody else's.

import { chmod, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { asPostgres, type PostgresServer } from './postgres.ts'
import { accepts, findProgram, freePort, removeFolder, startServer, temporaryFolder } from './server.ts'

export interface Pgbouncer {
  /** Without the password, which is the server's. */
  url: string
  port: number
  stop(): Promise<void>
}

/** @param postgres the server behind it; stop this pooler first */
export async function startPgbouncer(postgres: PostgresServer): Promise<Pgbouncer> {
  const program = findProgram('pgbouncer')
  if (program === undefined) throw new Error('pgbouncer is not installed')
  const folder = await temporaryFolder('pgbouncer')
  const port = await freePort()
  await chmod(folder, 0o755)
  await writeFile(join(folder, 'users.txt'), `"${postgres.user}" "${postgres.password}"\n`)
  await writeFile(join(folder, 'pgbouncer.ini'), configuration(folder, port, postgres))
  const [first, ...args] = asPostgres([program, join(folder, 'pgbouncer.ini')])
  const options = { logFile: join(folder, 'output'), isReady: () => accepts(port) }
  const server = await startServer(first as string, args, options)
  const stop = async () => {
    await server.stop()
    await removeFolder(folder)
  }
  return { url: `postgres://${postgres.user}@127.0.0.1:${port}/postgres`, port, stop }
}

/** Two servers for all clients, so that connections really share them. */
function configuration(folder: string, port: number, postgres: PostgresServer): string {
  return `[databases]
* = host=127.0.0.1 port=${postgres.port}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = ${port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = ${join(folder, 'users.txt')}
pool_mode = transaction
max_client_conn = 200
default_pool_size = 2
log_connections = 0
log_disconnections = 0
`
}

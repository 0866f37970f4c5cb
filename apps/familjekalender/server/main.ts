import { mkdirSync } from 'node:fs'
import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { fileURLToPath } from 'node:url'
import { createPersistentDb, type DatabasePersistence } from 'kvar'
import { SCHEMA_SQL } from './schema.ts'
import { readSettings, type ServerSettings } from './settings.ts'

/** The exit code that makes a host start the calendar anew on the newest version. */
const EXIT_FENCED = 11
/** Milliseconds for open requests to end after a signal to stop. */
const DRAIN_LIMIT_MS = 2_000
/** Milliseconds for everything after a signal to stop: hosts kill after ten seconds. */
const STOP_LIMIT_MS = 9_000

try {
  await main()
} catch (thrown) {
  const hint = (thrown as { hint?: unknown } | null)?.hint
  console.error(`error: ${thrown instanceof Error ? thrown.message : String(thrown)}`)
  if (typeof hint === 'string') console.error(`hint: ${hint}`)
  process.exit(1)
}

async function main(): Promise<void> {
  const settings = readSettings(process.env)
  mkdirSync(settings.dataFolder, { recursive: true })
  // The modules of the web server load while the keeper looks whether anything must be brought back.
  const [persistence, web] = await Promise.all([protect(settings), loadWeb()])
  // Only now: SQLite must not open a file that the keeper may still be replacing.
  const database = web.openDatabase(settings.databasePath)
  const page = web.readPageFiles(fileURLToPath(new URL('../web', import.meta.url)))
  const app = web.createApp({ database, persistence, page, log: (sentence) => console.error(sentence) })
  const server = web.createAdaptorServer({ fetch: app.fetch }) as Server
  stopOnSignal(async () => {
    await drain(server)
    database.close()
    await persistence.close()
  })
  await listen(server, settings.port)
  const { port } = server.address() as AddressInfo
  console.log(`Familjekalender on http://localhost:${port} (${persistence.restored.sentence})`)
}

function protect(settings: ServerSettings): Promise<DatabasePersistence> {
  return createPersistentDb(settings.databasePath, {
    schema: SCHEMA_SQL,
    ...(settings.targets === undefined ? {} : { targets: settings.targets }),
    // This process stops in its own order: requests first, then the database, then the keeper.
    handleSignals: false,
    onFenced: (error) => {
      console.error(`Another copy of this calendar has taken over, so this one stops: ${error.message}`)
      process.exit(EXIT_FENCED)
    },
  })
}

async function loadWeb() {
  const [app, database, pageFiles, node] = await Promise.all([
    import('./app.ts'),
    import('./database.ts'),
    import('./page-files.ts'),
    import('@hono/node-server'),
  ])
  return { ...app, ...database, ...pageFiles, createAdaptorServer: node.createAdaptorServer }
}

function listen(server: Server, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, resolve)
  })
}

/** Accepts nobody new, lets open requests end, then cuts what is left. */
async function drain(server: Server): Promise<void> {
  const limit = setTimeout(() => server.closeAllConnections(), DRAIN_LIMIT_MS)
  await new Promise<void>((resolve) => {
    server.close(() => resolve())
    server.closeIdleConnections()
  })
  clearTimeout(limit)
}

function stopOnSignal(stop: () => Promise<void>): void {
  let stopping = false
  const begin = async () => {
    if (stopping) return
    stopping = true
    setTimeout(() => leave('Stopped before everything was done: the time was up', 1), STOP_LIMIT_MS).unref()
    try {
      await stop()
      leave('Stopped', 0)
    } catch (thrown) {
      leave(`Stopped, but not in order: ${thrown instanceof Error ? thrown.message : String(thrown)}`, 1)
    }
  }
  process.on('SIGTERM', begin)
  process.on('SIGINT', begin)
}

function leave(sentence: string, exitCode: number): void {
  console.error(sentence)
  process.exit(exitCode)
}

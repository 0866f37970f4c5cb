// A child process that lets Litestream's own code restore a log: its VFS "hydrates" a database with
// the same plan, merge and checksums as `litestream restore`. Litestream reads its settings from the
// environment it was started with, which is why this cannot run inside the test.
//
// usage: node litestream-hydrate.mjs LOG_FILE TIMEOUT_MS   (settings in LITESTREAM_… variables)
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { DatabaseSync } from 'node:sqlite'

const [logFile, timeoutMs] = [process.argv[2], Number(process.argv[3])]
const { getLoadablePath } = createRequire(import.meta.url)('litestream-vfs')

const loader = new DatabaseSync(':memory:', { allowExtension: true })
loader.loadExtension(getLoadablePath())
const database = new DatabaseSync('file:hydrated.db?vfs=litestream')
database.prepare('SELECT count(*) FROM sqlite_schema').get()

const logText = () => {
  try {
    return readFileSync(logFile, 'utf8')
  } catch {
    return ''
  }
}
// A failed hydration falls back silently to reading page by page: only the log line counts.
const deadline = performance.now() + timeoutMs
const look = setInterval(() => {
  if (logText().includes('hydration complete')) end(0)
  else if (/hydration failed/.test(logText()) || performance.now() > deadline) end(1)
}, 20)

function end(code) {
  clearInterval(look)
  if (code !== 0) console.error(logText())
  process.exit(code)
}

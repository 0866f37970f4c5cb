import { pathToFileURL } from 'node:url'
import { Worker } from 'node:worker_threads'
import { openSqlite } from './sqlite.ts'

/** Lines of SQLite's answer that are kept: one is enough to know, ten to understand. */
const LINES = 10

/** The worker's whole program: as text, so that it is the same beside source and compiled files. */
const PROGRAM = `
const { parentPort, workerData } = require('node:worker_threads')
const { DatabaseSync } = require('node:sqlite')
let answer
try {
  const database = new DatabaseSync(workerData.url, { readOnly: true })
  answer = database.prepare(workerData.sql).all().map((row) => row.integrity_check).join('; ')
  database.close()
} catch (thrown) {
  answer = String(thrown.message)
}
parentPort.postMessage(answer)
`
const SQL = `PRAGMA integrity_check(${LINES})`
/** Up to this size a check takes less time than starting a thread. */
const INLINE_BYTES = 2 * 1024 * 1024

/**
 * SQLite's whole check of a private file that nobody writes to: `ok`, or what is wrong. A large file
 * is checked in a thread of its own, because SQLite does not let go in between and appends must go on.
 *
 * @throws the signal's reason when it is aborted
 */
export async function checkIntegrity(
  path: string,
  sizeBytes: number,
  signal: AbortSignal | undefined,
): Promise<string> {
  if (sizeBytes <= INLINE_BYTES) return checkHere(path)
  const url = `${pathToFileURL(path).href}?mode=ro&immutable=1`
  const worker = new Worker(PROGRAM, { eval: true, workerData: { url, sql: SQL }, execArgv: [] })
  const stop = () => void worker.terminate()
  signal?.addEventListener('abort', stop, { once: true })
  try {
    return await new Promise<string>((resolve, reject) => {
      worker.once('message', resolve)
      worker.once('error', reject)
      worker.once('exit', () => reject(signal?.reason ?? new Error('the check ended without an answer')))
    })
  } finally {
    signal?.removeEventListener('abort', stop)
    stop()
  }
}

function checkHere(path: string): string {
  try {
    const database = openSqlite(path, { mode: 'immutable' })
    try {
      const rows = database.prepare(SQL).all() as Array<{ integrity_check: string }>
      return rows.map((row) => row.integrity_check).join('; ')
    } finally {
      database.close()
    }
  } catch (thrown) {
    return (thrown as Error).message
  }
}

/*
 * An app under load for tests/fault/sigterm-deadline.ts. It commits one numbered row after the other and
 * says so; with the library it flushes now and then, and ends on SIGTERM as the library has it.
 *   node sigterm-deadline-app.ts JSON, an Order
 * Lines out: done N · ack N
 */
import { writeSync } from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import { setTimeout as pause } from 'node:timers/promises'

export interface Order {
  database: string
  /** Settings for the library; without them the app knows nothing of Kvar. */
  settings: { targets: string[]; interval: string } | undefined
  journalMode: 'wal' | 'delete'
  pauseMs: number
  flushEvery: number
  rowBytes: number
}

if (process.argv[1] === import.meta.filename) await run(JSON.parse(process.argv[2] as string) as Order)

async function run(order: Order): Promise<void> {
  const persistence = order.settings === undefined ? undefined : await open(order.database, order.settings)
  const database = new DatabaseSync(order.database, { timeout: 5000 })
  database.exec(`PRAGMA journal_mode=${order.journalMode};
    CREATE TABLE IF NOT EXISTS steps(n INTEGER PRIMARY KEY, body BLOB)`)
  const insert = database.prepare(`INSERT INTO steps VALUES(?, randomblob(${order.rowBytes}))`)
  for (let n = 1; ; n++) {
    insert.run(n)
    say(`done ${n}`)
    if (n % order.flushEvery === 0) {
      persistence?.flush().then(
        () => say(`ack ${n}`),
        // The keeper leaves: what was not acknowledged was not promised.
        () => undefined,
      )
    }
    await pause(order.pauseMs)
  }
}

async function open(database: string, settings: NonNullable<Order['settings']>) {
  const { createPersistentDb } = await import('../../packages/kvar/src/index.ts')
  return createPersistentDb(database, { ...settings, copies: [] })
}

/** Straight to the descriptor: a line that was said is with the loop, whatever happens to us next. */
function say(line: string): void {
  try {
    writeSync(1, `${line}\n`)
  } catch {
    // Nobody listens any more.
  }
}

import { readFileSync, writeSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { productModule } from './product.mjs'

/*
 * An app that commits one row after the other until it is killed, and says so at once:
 * `commit N TIME` after SQLite has returned, `stored N` when flush() has, `flushed TIME` for a flush
 * that SIGUSR2 asked for.
 *   node ticker.mjs '{"path":…,"targetPath":…,"interval":"1s","journalMode":"wal","synchronous":"FULL","pauseMs":20,"flush":false}'
 */

const order = JSON.parse(process.argv[2] ?? '{}')
const say = (/** @type {string} */ line) => writeSync(1, `${line}\n`)
const { createPersistentDb } = await productModule('index')
const persistence = await createPersistentDb(order.path, {
  targets: [`folder:${order.targetPath}`],
  interval: order.interval,
  copies: [],
  handleSignals: false,
})
process.on('SIGUSR2', () => persistence.flush().then(() => say(`flushed ${Date.now()}`)))
const database = new DatabaseSync(order.path, { timeout: 5000 })
database.exec(`PRAGMA journal_mode=${order.journalMode}; PRAGMA synchronous=${order.synchronous}`)
database.exec('CREATE TABLE IF NOT EXISTS ticks (n INTEGER PRIMARY KEY, body TEXT)')
await persistence.flush()
const address = join(dirname(order.path), `.${basename(order.path)}-kvar`, 'keeper.json')
say(`ready ${JSON.parse(readFileSync(address, 'utf8')).processId}`)

const insert = database.prepare("INSERT INTO ticks VALUES (?, 'milk and bread')")
for (let n = 1; ; n++) {
  insert.run(n)
  say(`commit ${n} ${Date.now()}`)
  if (order.flush) {
    await persistence.flush()
    say(`stored ${n}`)
  }
  await new Promise((resolve) => setTimeout(resolve, order.pauseMs))
}

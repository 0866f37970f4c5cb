import { DatabaseSync } from 'node:sqlite'
import { addEvents, eventAdder } from '../support/databases.ts'
import { percentile } from '../support/statistics.ts'

/*
 * An app that writes as fast as it can for a while, and says what it saw.
 *   node writer.ts DATABASE SYNCHRONOUS ROWS-PER-TRANSACTION SECONDS
 */

const [path = '', synchronous, rows = '1', seconds = '1'] = process.argv.slice(2)
const database = new DatabaseSync(path)
database.exec(`PRAGMA synchronous=${synchronous}`)
const rowCount = Number(rows)
const locked = { times: 0 }
const addOne = eventAdder(database, locked)
const commitMs: number[] = []
let n = 0
const write = () =>
  rowCount === 1 ? addOne(n) : addEvents(database, n * rowCount, (n + 1) * rowCount - 1, locked)
const untilMs = performance.now() + Number(seconds) * 1000
const begunMs = performance.now()
while (performance.now() < untilMs) {
  const commitBegunMs = performance.now()
  write()
  commitMs.push(performance.now() - commitBegunMs)
  n++
}
const tookSeconds = (performance.now() - begunMs) / 1000
const processMs = process.cpuUsage()
database.close()
console.log(
  JSON.stringify({
    commitsPerSecond: n / tookSeconds,
    p50Ms: percentile(commitMs, 0.5),
    p99Ms: percentile(commitMs, 0.99),
    slowestMs: commitMs.reduce((slowest, ms) => Math.max(slowest, ms), 0),
    failed: locked.times,
    cpuSeconds: (processMs.user + processMs.system) / 1e6,
  }),
)

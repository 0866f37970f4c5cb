// An app that does to its database everything that capture has to follow. After every transaction the
// row count in `tally` is that of `load`: whoever sees them differ has seen half a transaction.
//   node capture-app.mjs '{"path","journalMode","seconds","pauseMs","pageSize","actions":[…],"ends":"killed"|"closed"}'
// Actions: vacuum, checkpoint, rollback, shrink, page-size, old-reader.
import { DatabaseSync } from 'node:sqlite'

const options = JSON.parse(process.argv[2])
const actions = new Set(options.actions ?? [])
const counts = { commits: 0, locked: 0, slowestCheckpointMs: 0, busyCheckpoints: 0 }
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms))
const pageSizes = [1024, 8192, 512, 4096]

const database = new DatabaseSync(options.path, { timeout: 0 })
again(() => {
  if (options.pageSize) database.exec(`PRAGMA page_size=${options.pageSize}`)
  if (actions.has('shrink')) database.exec('PRAGMA auto_vacuum=INCREMENTAL')
})
again(() => database.exec(`PRAGMA journal_mode=${options.journalMode}`))
database.exec('PRAGMA synchronous=NORMAL; PRAGMA cache_size=20')
again(() => database.exec('CREATE TABLE IF NOT EXISTS load(id INTEGER PRIMARY KEY, body)'))
again(() => database.exec('CREATE TABLE IF NOT EXISTS tally(id INTEGER PRIMARY KEY, rows INTEGER)'))
again(() => database.exec('INSERT OR IGNORE INTO tally VALUES (1, 0)'))

function again(work) {
  for (;;) if (attempt(work)) return
}

function attempt(work) {
  try {
    work()
    return true
  } catch (thrown) {
    if ((thrown.errcode & 0xff) !== 5) throw thrown
    counts.locked += 1
    if (database.isTransaction) database.exec('ROLLBACK')
    return false
  }
}

function transaction(work) {
  return attempt(() => {
    database.exec('BEGIN IMMEDIATE')
    work()
    database.exec('UPDATE tally SET rows = (SELECT count(*) FROM load); COMMIT')
    counts.commits += 1
  })
}

const insert = database.prepare('INSERT INTO load(body) VALUES (randomblob(?))')
const update = database.prepare('UPDATE load SET body = randomblob(100) WHERE id % 97 = ?')
const trim = database.prepare('DELETE FROM load WHERE id <= (SELECT max(id) - 400 FROM load)')

function spillAndRollBack() {
  attempt(() => {
    database.exec('BEGIN IMMEDIATE')
    for (let index = 0; index < 200; index++) insert.run(900)
    database.exec('ROLLBACK')
  })
}

/** The database grows by pages that are free at once: SQLite never writes most of them. */
function growByFreePages() {
  transaction(() => {
    for (let index = 0; index < 30; index++) insert.run(5000)
    database.exec('DELETE FROM load WHERE id > (SELECT max(id) - 30 FROM load)')
  })
}

function checkpoint() {
  const begun = performance.now()
  attempt(() => {
    const { busy } = database.prepare('PRAGMA wal_checkpoint(TRUNCATE)').get()
    counts.busyCheckpoints += busy
  })
  counts.slowestCheckpointMs = Math.max(counts.slowestCheckpointMs, performance.now() - begun)
}

function grow() {
  transaction(() => {
    for (let index = 0; index < 300; index++) insert.run(1500)
  })
}

const reader = actions.has('old-reader') ? new DatabaseSync(options.path, { timeout: 0 }) : undefined
let readerUntil = 0
function holdOldSnapshot(now) {
  if (reader === undefined || now < readerUntil) return
  if (reader.isTransaction) reader.exec('COMMIT')
  reader.exec('BEGIN')
  reader.prepare('SELECT count(*) FROM load').get()
  readerUntil = now + 700
}

console.log('ready')
// However slow the machine, every action has its turn.
const LEAST_ROUNDS = 130
const end = Date.now() + options.seconds * 1000
for (let round = 1; Date.now() < end || round < LEAST_ROUNDS; round++) {
  transaction(() => insert.run((round * 37) % 2000))
  if (round % 5 === 0) transaction(() => update.run(round % 97))
  if (round % 60 === 0) transaction(() => trim.run())
  if (round % 40 === 0 && actions.has('rollback')) spillAndRollBack()
  if (round % 40 === 20) growByFreePages()
  if (round % 70 === 0 && actions.has('checkpoint')) checkpoint()
  if (round % 60 === 0 && actions.has('vacuum')) attempt(() => database.exec('VACUUM'))
  if (round % 80 === 0 && actions.has('shrink')) grow()
  if (round % 80 === 40 && actions.has('shrink')) {
    transaction(() => database.exec('DELETE FROM load WHERE id <= (SELECT max(id) - 20 FROM load)'))
    attempt(() => database.exec('PRAGMA incremental_vacuum'))
  }
  if (round % 40 === 0 && actions.has('page-size')) {
    attempt(() => database.exec(`PRAGMA page_size=${pageSizes[(round / 40) % 4]}; VACUUM`))
  }
  holdOldSnapshot(Date.now())
  if (options.pauseMs > 0) await pause(options.pauseMs)
}
if (reader?.isTransaction) reader.exec('COMMIT')
console.log(JSON.stringify(counts))
if (options.ends === 'closed') {
  reader?.close()
  database.close()
} else process.kill(process.pid, 'SIGKILL')

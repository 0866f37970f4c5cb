// An innocent app under load: single-row commits without a busy timeout, as fast as it can or paced.
// It counts every "database is locked" it sees and says so at the end.
//   node load-app.mjs DATABASE wal|delete|truncate|persist|memory SECONDS [PAUSE_MS] [vacuum] [truncate-checkpoint]
import { DatabaseSync } from 'node:sqlite'

const [path, journalMode, seconds, pauseMs = '0', ...extras] = process.argv.slice(2)
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms))
const counts = { commits: 0, locked: 0, slowestMs: 0, checkpointMs: 0 }

const database = new DatabaseSync(path, { timeout: 0 })
database.exec(`PRAGMA journal_mode=${journalMode}; PRAGMA synchronous=NORMAL`)
database.exec('CREATE TABLE IF NOT EXISTS load(id INTEGER PRIMARY KEY, text TEXT, number REAL)')
const insert = database.prepare('INSERT INTO load(text, number) VALUES (?, ?)')
const update = database.prepare('UPDATE load SET number = number + 1 WHERE id = ?')
const remove = database.prepare('DELETE FROM load WHERE id < ?')

function commit(work) {
  const begun = performance.now()
  try {
    work()
    counts.commits += 1
  } catch (thrown) {
    if ((thrown.errcode & 0xff) !== 5) throw thrown
    counts.locked += 1
  }
  counts.slowestMs = Math.max(counts.slowestMs, performance.now() - begun)
}

const end = Date.now() + Number(seconds) * 1000
let last = 0
for (let round = 1; Date.now() < end; round++) {
  commit(() => {
    last = Number(insert.run('x'.repeat(round % 900), round).lastInsertRowid)
  })
  commit(() => update.run(Math.ceil(last * ((round * 0.618) % 1))))
  if (round % 200 === 0) commit(() => remove.run(Math.floor(last / 2)))
  if (extras.includes('vacuum') && round % 400 === 0) commit(() => database.exec('VACUUM'))
  if (extras.includes('truncate-checkpoint') && round % 150 === 0) {
    const begun = performance.now()
    commit(() => database.prepare('PRAGMA wal_checkpoint(TRUNCATE)').get())
    counts.checkpointMs = Math.max(counts.checkpointMs, performance.now() - begun)
  }
  if (extras.includes('rollback') && round % 50 === 0) {
    database.exec('PRAGMA cache_size=10; BEGIN')
    try {
      for (let index = 0; index < 300; index++) insert.run('uncommitted'.repeat(50), index)
    } catch (thrown) {
      if ((thrown.errcode & 0xff) !== 5) throw thrown
      counts.locked += 1
    }
    database.exec('ROLLBACK')
  }
  if (Number(pauseMs) > 0) await pause(Number(pauseMs))
}
if (extras.includes('close')) database.close()
console.log(JSON.stringify(counts))
if (!extras.includes('close')) process.kill(process.pid, 'SIGKILL')

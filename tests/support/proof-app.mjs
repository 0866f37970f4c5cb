// An app under load for the kill and wipe loops (tests/fault/proof-site.ts). Every transaction carries
// a token, is announced before it begins and after it ended; lines to stdout survive a SIGKILL.
//   node proof-app.mjs JSON, with the fields of AppOrder in tests/fault/proof-app.ts
// Lines out: ready REPORT · ask T · done T · gone T · ack T · paused · flushed · settled · closed · trouble TEXT
// Lines in: go · pause · flush · settle · close
import { writeSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { DatabaseSync } from 'node:sqlite'

const order = JSON.parse(process.argv[2])
const { createPersistentDb } = await import(order.library)
let token = order.firstToken
let lastDone = 0
let running = false
let flushing = 0
let database

// Straight to the descriptor: a line that was said is with the loop, whatever happens to us next.
const say = (...words) => writeSync(1, `${words.join(' ')}\n`)
const pause = (ms) => new Promise((resolve) => (ms > 0 ? setTimeout(resolve, ms) : setImmediate(resolve)))

function mix(number) {
  let mixed = Math.imul(number ^ (number >>> 16), 0x45d9f3b)
  mixed = Math.imul(mixed ^ (mixed >>> 16), 0x45d9f3b)
  return (mixed ^ (mixed >>> 16)) >>> 0
}

const textOf = (number) =>
  mix(number)
    .toString(16)
    .padStart(8, '0')
    .repeat(1 + (number % 97))

function openDatabase() {
  database = new DatabaseSync(order.database, { timeout: order.busyMs })
  database.exec(`PRAGMA page_size=${order.pageSize}`)
  database.exec(`PRAGMA journal_mode=${order.journalMode}`)
  database.exec(`PRAGMA synchronous=FULL; PRAGMA cache_size=${order.cachePages}`)
  database.exec(`CREATE TABLE IF NOT EXISTS tokens(token INTEGER PRIMARY KEY);
    CREATE TABLE IF NOT EXISTS items(id INTEGER PRIMARY KEY, token INTEGER NOT NULL, text TEXT NOT NULL);
    CREATE INDEX IF NOT EXISTS items_by_token ON items(token)`)
}

// The same in tests/support/proof-app.py and, as a model, in tests/fault/proof-model.ts.
function carryOut(number) {
  const drawn = mix(number)
  const choice = drawn >>> 4
  const run = (sql, ...values) => database.prepare(sql).run(...values)
  const insert = (count) => {
    for (let index = 0; index < count; index++)
      run('INSERT INTO items VALUES(?, ?, ?)', number * 64 + index, number, textOf(number))
  }
  run('INSERT INTO tokens VALUES(?)', number)
  const update = 'UPDATE items SET token = ?, text = ? WHERE id % ? = ?'
  const kind = drawn % 16
  if (kind < 8) insert(1)
  else if (kind < 11) run(update, number, textOf(number), 13, choice % 13)
  else if (kind < 13) run('DELETE FROM items WHERE id % 7 = ?', choice % 7)
  else if (kind < 15) {
    insert(5 + (choice % 30))
    run(update, number, textOf(number), 5, choice % 5)
  } else {
    run('DELETE FROM items WHERE id < ?', (number - 60) * 64)
    insert(20)
  }
}

function transact() {
  const number = token++
  say('ask', number)
  try {
    database.exec('BEGIN IMMEDIATE')
    carryOut(number)
    database.exec('COMMIT')
    lastDone = number
    say('done', number)
  } catch (thrown) {
    if (database.isTransaction) database.exec('ROLLBACK')
    say('gone', number, thrown.message)
  }
  return number
}

async function flush() {
  const upTo = lastDone
  flushing += 1
  try {
    await persistence.flush()
    say('ack', upTo)
  } catch (thrown) {
    say('trouble', `flush: ${thrown.message}`)
  } finally {
    flushing -= 1
  }
}

async function work() {
  while (running) {
    const drawn = mix(transact() ^ 0x5bd1e995)
    if (drawn % order.flushEvery === 0 && flushing < 3) void flush()
    if (drawn % order.vacuumEvery === 1) vacuum()
    await pause(token % order.burst === 0 ? order.pauseMs : 0)
  }
  say('paused')
}

function vacuum() {
  try {
    database.exec('VACUUM')
  } catch (thrown) {
    if ((thrown.errcode & 0xff) !== 5) throw thrown
  }
}

/** All targets hold everything. */
async function settle() {
  await flush()
  for (;;) {
    const { durableVersion, targets } = await persistence.status()
    if (targets.every((target) => target.version >= durableVersion)) return say('settled')
    await pause(50)
  }
}

async function close() {
  database?.close()
  await persistence.close()
  say('closed')
  process.exit(0)
}

const COMMANDS = {
  go: () => {
    if (database === undefined) openDatabase()
    running = true
    return work()
  },
  pause: () => {
    running = false
  },
  flush: async () => {
    await flush()
    say('flushed')
  },
  settle,
  close,
}

const persistence = await createPersistentDb(order.database, {
  ...order.settings,
  handleSignals: false,
  onFenced: (error) => say('trouble', `fenced: ${error.message}`),
}).catch((thrown) => {
  say('trouble', `start: ${thrown.message}`)
  process.exit(1)
})
say('ready', JSON.stringify(persistence.restored))
for await (const line of createInterface({ input: process.stdin })) {
  Promise.resolve(COMMANDS[line]()).catch((thrown) => say('trouble', `${line}: ${thrown.message}`))
}
// The loop that started us has ended: nobody would stop us any more.
process.exit(0)

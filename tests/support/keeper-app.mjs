// An app with the library inside, driven over IPC by a test: see `AppProcess` in keeper-world.ts.
//   node keeper-app.mjs        (with an IPC channel, or with KVAR_TEST_SCRIPT for one that drives itself)
import { DatabaseSync } from 'node:sqlite'
import { createPersistentDb } from '../../packages/kvar/src/index.ts'

let persistence
let database
const fenced = []

const verbs = {
  async open({ path, options, journalMode = 'wal', timeoutMs = 5000 }) {
    const onFenced = (error) => {
      fenced.push(error.code)
      process.send?.({ event: 'fenced' })
    }
    persistence = await createPersistentDb(path, { ...options, onFenced })
    database = new DatabaseSync(path, { timeout: timeoutMs })
    database.exec(`PRAGMA journal_mode=${journalMode}`)
    return persistence.restored
  },
  openPlain({ path, journalMode, timeoutMs = 5000 }) {
    database = new DatabaseSync(path, { timeout: timeoutMs })
    database.exec(`PRAGMA journal_mode=${journalMode}`)
  },
  sql: ({ text }) => database.exec(text),
  all: ({ text }) => database.prepare(text).all(),
  fenced: () => fenced,
  status: () => persistence.status(),
  versions: () => persistence.versions(),
  flush: () => persistence.flush(),
  restore: (options) => persistence.restore(options),
  close: () => persistence.close(),
  closeDatabase: () => database.close(),
  writeUntilTold: ({ text, pauseMs }) => {
    writing = setInterval(() => database.exec(text), pauseMs)
  },
  stopWriting: () => clearInterval(writing),
}
let writing

process.on('message', async ({ id, verb, params }) => {
  try {
    process.send({ id, result: (await verbs[verb](params ?? {})) ?? null })
  } catch (thrown) {
    const { code, message } = thrown
    process.send({ id, error: { code, message } })
  }
})

// Without a channel the script drives itself, and says on its output how far it is.
if (process.env.KVAR_TEST_SCRIPT !== undefined) {
  for (const [verb, params] of JSON.parse(process.env.KVAR_TEST_SCRIPT)) {
    await verbs[verb](params)
    process.stdout.write(`done ${verb}\n`)
  }
  setInterval(() => undefined, 1000)
}

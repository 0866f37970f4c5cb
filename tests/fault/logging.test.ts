// Goal: the keeper's log tells what happened, and holds no row, no SQL, no secret, whatever goes wrong.
// Method: a real keeper is led through everything that can quote somebody's words: rows, a schema that is
// no SQL, JSON files that are wrong in several ways, secrets in settings. Then all it left is searched.
import * as fs from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { waitFor } from '../support/keeper-world.ts'
import { StatusWorld, Watched } from '../support/status-world.ts'

const ROW = 'MarkerOfARow'
const SQL = 'marker_of_sql'
const SECRET = 'MarkerOfASecret'

let world: StatusWorld
let path: string
beforeEach(() => {
  world = new StatusWorld()
  path = world.path('app.db')
})
afterEach(() => world.end())

function logLines(database = path): Array<Record<string, unknown>> {
  const file = join(
    database.replace(/[^/]+$/, (name) => `.${name}-kvar`),
    'keeper.log',
  )
  if (!fs.existsSync(file)) return []
  const lines = fs.readFileSync(file, 'utf8').trim().split('\n')
  return lines.filter((line) => line !== '').map((line) => JSON.parse(line) as Record<string, unknown>)
}

function options(more: object = {}) {
  const limits = { targetTries: 1, lateAfterMs: 100, scrubAfterMs: 200, drillAfterMs: 200 }
  return { targets: [`folder:${world.place('ledger')}`], interval: '50ms', limits, ...more }
}

describe('the keeper’s log', { timeout: 120_000 }, () => {
  it('tells the life of a keeper in events', async () => {
    const persistence = await world.open(path, options({ logLevel: 'debug' }))
    const database = world.database(path)
    database.exec('PRAGMA journal_mode=WAL; CREATE TABLE note(body)')
    const { version } = await persistence.flush()
    const watched = new Watched(persistence)
    await watched.until('it is proved', ({ provedDrill, scrub }) => provedDrill !== null && scrub !== null, 0)
    world.takeAway('ledger')
    database.exec("INSERT INTO note VALUES ('x')")
    await watched.until('it is not safe', ({ safety }) => safety === 'not-safe')
    world.bringBack('ledger')
    await watched.until('it is safe', ({ safety }) => safety === 'safe')
    await persistence.close()
    await waitFor('it has closed', () => logLines().some(({ event }) => event === 'closed'))
    const events = logLines().map(({ event }) => event)
    for (const event of [
      'keeper',
      'started',
      'durable',
      'drill',
      'scrub',
      'target-failed',
      'target-answers',
      'safety',
    ])
      expect(events).toContain(event)
    const verdicts = logLines()
      .filter(({ event }) => event === 'safety')
      .map(({ to, level }) => [to, level])
    expect(verdicts).toContainEqual(['not-safe', 'error'])
    expect(verdicts.at(-1)).toEqual(['safe', 'info'])
    const durable = logLines().filter(({ event }) => event === 'durable')
    expect(durable.every(({ level }) => level === 'debug')).toBe(true)
    expect(Number(durable.at(-1)?.version)).toBeGreaterThan(version)
    for (const line of logLines())
      expect(line).toMatchObject({ time: expect.stringMatching(/Z$/), processId: expect.any(Number) })
  })

  it('obeys its level, down to nothing at all', async () => {
    for (const logLevel of ['warn', 'silent']) {
      const database = world.path(logLevel, 'app.db')
      const persistence = await world.open(database, options({ logLevel, targets: [] }))
      world.database(database).exec('CREATE TABLE note(body)')
      await persistence.flush()
      await persistence.close()
      expect(logLines(database)).toEqual([])
    }
  })

  it('holds no content, SQL or secret', async () => {
    const webhook = await world.server(() => 403)
    const alarm = [
      `webhook:http://127.0.0.1:${webhook.port}/${SECRET}`,
      `ntfy:http://u:${SECRET}@127.0.0.1:1/${SECRET}`,
    ]
    const settings = options({
      ...{ alarm, alarmAfter: '100ms', logLevel: 'debug', copies: ['json', 'backup'] },
      schema: `CREATE TABLE good(x); CREATE ${SQL} (`,
    })
    const persistence = await world.open(path, settings)
    const database = world.database(path)
    database.exec(
      `PRAGMA journal_mode=WAL; CREATE TABLE note(body TEXT UNIQUE, ${SQL} TEXT NOT NULL DEFAULT '')`,
    )
    database.exec(`INSERT INTO note(body) VALUES ('${ROW}')`)
    await persistence.backupDatabase()
    const wrong = [
      `{"backup_time":"2026-01-01T00:00:00Z","note":[{"body":"${ROW}","${SQL}":null},{"body":"${ROW}"}]}`,
      `{"backup_time":"2026-01-01T00:00:00Z","note":[{"body":${ROW}}]}`,
      `{"note":[{"body":1e999,"${SQL}":{"$blob":"${ROW}"}}], "kvar":{"schema":["DROP TABLE ${SQL}"]}}`,
      `${ROW} is no JSON`,
    ]
    for (const [index, text] of wrong.entries()) {
      const file = world.path(`wrong-${index}.json`)
      fs.writeFileSync(file, text)
      await expect(persistence.restoreFromJson({ path: file, force: true })).rejects.toThrow()
    }
    const watched = new Watched(persistence)
    world.takeAway('ledger')
    database.exec(`INSERT INTO note(body) VALUES ('${ROW}2')`)
    await watched.until('the alarms failed', ({ notes }) => notes.length >= 2, 0)
    world.bringBack('ledger')
    await persistence.flush()
    await persistence.close()
    // A database that is none any more: SQLite's own words end in an error.
    const other = world.path('other', 'app.db')
    fs.writeFileSync(`${other}.json`, wrong[0] as string)
    await world.open(other, { ...settings, targets: [] }).then(
      (one) => one.close(),
      () => undefined,
    )
    const files = [path, other].flatMap((one) => {
      const folder = one.replace(/[^/]+$/, (name) => `.${name}-kvar`)
      return ['keeper.log', 'keeper.out', 'alarm.json'].map((name) => join(folder, name))
    })
    const left = files.filter((file) => fs.existsSync(file)).map((file) => fs.readFileSync(file, 'utf8'))
    expect(left.join('').length).toBeGreaterThan(500)
    for (const text of [...left, JSON.stringify(watched.seen)])
      for (const marker of [ROW, SQL, SECRET]) expect(text).not.toContain(marker)
  })
})

// Goal: a person is told once when the database is not safe and once when it is again, by webhook, ntfy
// and command; nothing waits for an alarm, and no address ever shows.
// Method: real keepers, real HTTP servers on loopback, a target that is taken away and put back.
import * as fs from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { DatabasePersistence } from '../../packages/kvar/src/index.ts'
import { waitFor } from '../support/keeper-world.ts'
import { StatusWorld, Watched } from '../support/status-world.ts'

const LIMIT_MS = 60_000
const SECRET = 'T0Ks3cretPath'

let world: StatusWorld
let path: string
beforeEach(() => {
  world = new StatusWorld()
  path = world.path('app.db')
})
afterEach(() => world.end())

function open(alarm: string[], options: object = {}): Promise<DatabasePersistence> {
  const limits = { scrubAfterMs: 0, drillAfterMs: 0, targetTries: 1, lateAfterMs: 100 }
  const targets = [`folder:${world.place('ledger')}`]
  return world.open(path, { targets, interval: '50ms', alarm, alarmAfter: '2s', limits, ...options })
}

function table(): (text: string) => void {
  const database = world.database(path)
  database.exec('PRAGMA journal_mode=WAL; CREATE TABLE IF NOT EXISTS note(body)')
  return (text) => database.exec(`INSERT INTO note VALUES ('${text}')`)
}

function stateFile(name: string): string {
  const file = join(world.folder, '.app.db-kvar', name)
  return fs.existsSync(file) ? fs.readFileSync(file, 'utf8') : ''
}

/** A program that adds its variables to a file, as one line. */
function command(): { program: string; lines: () => Array<Record<string, string>> } {
  const [program, out] = [world.path('tell'), world.path('told')]
  const text = `#!/bin/sh\nprintf '%s|%s|%s|%s\\n' "$KVAR_ALARM_EVENT" "$KVAR_ALARM_SAFETY" "$KVAR_ALARM_DATABASE" "$KVAR_ALARM_SENTENCE" >> '${out}'\n`
  fs.writeFileSync(program, text, { mode: 0o700 })
  const lines = () =>
    fs.existsSync(out)
      ? fs
          .readFileSync(out, 'utf8')
          .trim()
          .split('\n')
          .map((line) => {
            const [event = '', safety = '', database = '', sentence = ''] = line.split('|')
            return { event, safety, database, sentence }
          })
      : []
  return { program, lines }
}

describe('an alarm', { timeout: 120_000 }, () => {
  it('is sent once when it turns bad and once when it is good again, to everybody named', async () => {
    const [webhook, ntfy] = [await world.server(), await world.server()]
    const { program, lines } = command()
    const alarms = [
      `webhook:http://127.0.0.1:${webhook.port}/${SECRET}`,
      `ntfy:http://ada:${SECRET}@127.0.0.1:${ntfy.port}/our-calendar`,
      `command:${program}`,
    ]
    const persistence = await open(alarms)
    const write = table()
    await persistence.flush()
    world.takeAway('ledger')
    write('one')
    write('two')
    await waitFor(
      'all were told',
      () => webhook.heard.length + ntfy.heard.length + lines().length === 3,
      LIMIT_MS,
    )
    world.bringBack('ledger')
    await waitFor(
      'all were told again',
      () => webhook.heard.length + ntfy.heard.length + lines().length === 6,
      LIMIT_MS,
    )
    const messages = webhook.heard.map(({ body }) => JSON.parse(body) as Record<string, unknown>)
    expect(messages).toMatchObject([
      { schema: 1, event: 'bad', database: 'app.db', code: expect.stringMatching(/^TARGET_/) },
      { schema: 1, event: 'good', database: 'app.db', safety: 'safe', code: null },
    ])
    expect(messages[0]?.sentence).toMatch(/^(Late|Not safe): /)
    expect(messages[1]?.sentence).toMatch(/^Safe: /)
    expect(Object.keys(messages[0] ?? {}).sort()).toEqual(
      ['schema', 'event', 'database', 'host', 'safety', 'sentence', 'code', 'time'].sort(),
    )
    const basic = `Basic ${Buffer.from(`ada:${SECRET}`).toString('base64')}`
    expect(ntfy.heard.map(({ url, headers }) => [url, headers.authorization, headers.priority])).toEqual([
      ['/our-calendar', basic, 'high'],
      ['/our-calendar', basic, 'default'],
    ])
    expect(ntfy.heard[0]?.headers.title).toMatch(/^app\.db on .* is (late|not safe)$/)
    expect(ntfy.heard[1]?.headers.title).toMatch(/ is well again$/)
    expect(ntfy.heard[0]?.body).toMatch(/^(Late|Not safe): /)
    expect(lines().map(({ event, database }) => [event, database])).toEqual([
      ['bad', 'app.db'],
      ['good', 'app.db'],
    ])
    await waitFor('the log says so', () => stateFile('keeper.log').split('"alarm-sent"').length === 7)
  })

  it('that cannot be delivered holds nothing up, shows as a note, and is tried again', async () => {
    let status = 500
    const webhook = await world.server(() => status)
    const alarms = [
      `webhook:http://127.0.0.1:${webhook.port}/${SECRET}?key=${SECRET}`,
      'command:./no-such-program',
    ]
    const persistence = await open(alarms)
    const write = table()
    await persistence.flush()
    const watched = new Watched(persistence)
    world.takeAway('ledger')
    write('one')
    const noted = await watched.until('both failures are noted', ({ notes }) => notes.length === 2, 0)
    expect(noted.notes).toEqual([
      `An alarm did not reach the webhook on 127.0.0.1:${webhook.port}: the server answered 500.`,
      'An alarm did not reach the command "no-such-program": there is no such program.',
    ])
    status = 200
    await waitFor('it was tried again', () => webhook.heard.some((one) => one.status === 200), LIMIT_MS)
    await watched.until('its note is gone', ({ notes }) => notes.length === 1, 0)
    world.bringBack('ledger')
    const { version } = await persistence.flush()
    expect(version).toBeGreaterThan(0)
    const all = [
      JSON.stringify(watched.seen),
      stateFile('keeper.log'),
      stateFile('keeper.out'),
      stateFile('alarm.json'),
    ]
    for (const text of all) expect(text).not.toContain(SECRET)
    expect(stateFile('keeper.log')).toContain('"alarm-failed"')
  })

  it('is not sent for a short trouble, nor for a database that is only on this machine', async () => {
    const webhook = await world.server()
    const alarm = [`webhook:http://127.0.0.1:${webhook.port}/`]
    const persistence = await open(alarm, { alarmAfter: '1h' })
    const write = table()
    await persistence.flush()
    const watched = new Watched(persistence)
    world.takeAway('ledger')
    write('one')
    await watched.until('it is not safe', ({ safety }) => safety === 'not-safe', 0)
    world.bringBack('ledger')
    await watched.until('it is safe', ({ safety }) => safety === 'safe')
    await persistence.close()
    path = world.path('other', 'app.db')
    const here = await open(alarm, { targets: [], alarmAfter: '300ms' })
    table()('two')
    await here.flush()
    expect((await here.status()).safety).toBe('only-here')
    await new Promise((resolve) => setTimeout(resolve, 1500))
    await here.close()
    expect(webhook.heard).toEqual([])
  })

  it('is sent when a start fails, and the good news by a later keeper', async () => {
    const webhook = await world.server()
    const alarm = [`webhook:http://127.0.0.1:${webhook.port}/`]
    const first = await open(alarm)
    table()('one')
    await first.flush()
    await first.close()
    world.takeAway('ledger')
    for (let round = 0; round < 2; round++) {
      await expect(open(alarm, { startTimeout: '300ms' })).rejects.toThrow()
      await waitFor('it was told', () => webhook.heard.length > 0, LIMIT_MS)
    }
    world.bringBack('ledger')
    const second = await open(alarm)
    await second.flush()
    await waitFor('the good news came', () => webhook.heard.length > 1, LIMIT_MS)
    const events = webhook.heard.map(({ body }) => (JSON.parse(body) as { event: string }).event)
    expect(events).toEqual(['bad', 'good'])
  })

  it('is sent when a keeper has to leave with changes that are stored nowhere else', async () => {
    const webhook = await world.server()
    const persistence = await open([`webhook:http://127.0.0.1:${webhook.port}/`], { alarmAfter: '1h' })
    const write = table()
    await persistence.flush()
    world.takeAway('ledger')
    write('left behind')
    await expect(persistence.close()).rejects.toThrow(/Closed, but/)
    await waitFor('it was told', () => webhook.heard.length > 0, LIMIT_MS)
    const message = JSON.parse(webhook.heard[0]?.body ?? '') as Record<string, unknown>
    expect(message).toMatchObject({ event: 'bad', safety: 'not-safe' })
    world.bringBack('ledger')
  })
})

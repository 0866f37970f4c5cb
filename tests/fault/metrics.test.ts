// Goal: `/metrics` and `/healthz` say what the status says, to this machine only, and are off by default;
// a port that is taken stands in nobody's way. docs/MONITORING.md names every metric, event and setting.
// Method: real keepers asked over HTTP; a strict reader of the text format; the document is read.
import * as fs from 'node:fs'
import { createServer, request } from 'node:http'
import * as net from 'node:net'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { SETTING_TABLE } from '../../packages/kvar/src/settings/setting-table.ts'
import { waitFor } from '../support/keeper-world.ts'
import { freePort, StatusWorld, Watched } from '../support/status-world.ts'

const LIMIT_MS = 60_000

let world: StatusWorld
let path: string
let port: number
beforeEach(async () => {
  world = new StatusWorld()
  path = world.path('app "1".db')
  port = await freePort()
})
afterEach(() => world.end())

async function open(options: object = {}, limits: object = {}) {
  const targets = ['ledger', 'follower'].map((name) => `folder:${world.place(name)}`)
  const all = { targets, interval: '50ms', copies: ['json' as const], ...options }
  const quick = { scrubAfterMs: 200, drillAfterMs: 200, targetTries: 1, lateAfterMs: 200, ...limits }
  const persistence = await world.open(path, { ...all, limits: quick })
  const database = world.database(path)
  database.exec('PRAGMA journal_mode=WAL; CREATE TABLE IF NOT EXISTS note(body)')
  return { persistence, write: () => database.exec("INSERT INTO note VALUES ('x')") }
}

interface Answer {
  status: number
  type: string
  body: string
}

function ask(page: string, options: { method?: string; host?: string } = {}): Promise<Answer> {
  const { method = 'GET', host } = options
  return new Promise((resolve, reject) => {
    const headers = host === undefined ? {} : { host }
    const asked = request(
      { host: '127.0.0.1', port, path: page, method, headers, agent: false },
      (response) => {
        let body = ''
        response.on('data', (chunk) => {
          body += chunk
        })
        response.on('end', () =>
          resolve({ status: response.statusCode ?? 0, type: String(response.headers['content-type']), body }),
        )
      },
    )
    asked.once('error', reject)
    asked.end()
  })
}

/** Reads the text format as its definition has it; anything else is an error. */
function readMetrics(text: string): Map<string, number> {
  const samples = new Map<string, number>()
  const types = new Map<string, string>()
  expect(text.endsWith('\n')).toBe(true)
  for (const line of text.slice(0, -1).split('\n')) {
    const comment = /^# (HELP|TYPE) ([a-z_:]+) (.+)$/.exec(line)
    if (comment?.[1] === 'TYPE') {
      expect(types.has(comment[2] ?? '')).toBe(false)
      expect(['gauge', 'counter']).toContain(comment[3])
      types.set(comment[2] ?? '', comment[3] ?? '')
    }
    if (comment !== null) continue
    const sample =
      /^([a-z_:]+)(\{(?:[a-z_]+="(?:[^"\\\n]|\\["\\n])*",?)+\})? (-?\d+(?:\.\d+)?(?:e[+-]?\d+)?)$/.exec(line)
    expect({ line, known: types.has(sample?.[1] ?? '') }).toEqual({ line, known: true })
    expect(samples.has(`${sample?.[1]}${sample?.[2] ?? ''}`)).toBe(false)
    samples.set(`${sample?.[1]}${sample?.[2] ?? ''}`, Number(sample?.[3]))
  }
  return samples
}

describe('metrics and health', { timeout: 120_000 }, () => {
  it('say what the status says, while all is well and while it is not', async () => {
    const { persistence, write } = await open({ metricsPort: port })
    write()
    const { version } = await persistence.flush()
    const watched = new Watched(persistence)
    const fits = ({ safety, provedDrill, scrub }: (typeof watched.seen)[number]) =>
      safety === 'safe' && provedDrill !== null && scrub !== null
    await watched.until('all is well and proved', fits, 0)
    const good = readMetrics((await ask('/metrics')).body)
    expect(good.get('kvar_info{database="app \\"1\\".db",version="0.1.0"}')).toBe(1)
    expect(good.get('kvar_safety{safety="safe"}')).toBe(1)
    expect(
      [...good].filter(([name]) => name.startsWith('kvar_safety')).reduce((sum, [, one]) => sum + one, 0),
    ).toBe(1)
    expect(good.get('kvar_durable_version')).toBeGreaterThanOrEqual(version)
    expect(good.get(`kvar_target_up{target="folder:${world.place('follower')}",role="follower"}`)).toBe(1)
    expect(good.get('kvar_drill_identical')).toBe(1)
    expect(good.get('kvar_scrub_drifted_pages')).toBe(0)
    const health = await ask('/healthz')
    expect(health).toMatchObject({ status: 200, type: 'text/plain; charset=utf-8' })
    expect(health.body).toMatch(/^Safe: everything up to .*\n$/)
    world.takeAway('ledger')
    const from = watched.seen.length
    write()
    await watched.until('it is not safe', ({ safety }) => safety === 'not-safe', from)
    const bad = readMetrics((await ask('/metrics')).body)
    expect(bad.get('kvar_safety{safety="not-safe"}')).toBe(1)
    expect(bad.get('kvar_problem')).toBe(1)
    expect(bad.get('kvar_waiting_seconds')).toBeGreaterThan(0.2)
    expect(bad.get(`kvar_target_up{target="folder:${world.place('ledger')}",role="ledger"}`)).toBe(0)
    expect(await ask('/healthz')).toMatchObject({ status: 503, body: expect.stringMatching(/^Not safe: /) })
    world.bringBack('ledger')
    await watched.until('it is safe again', ({ safety }) => safety === 'safe')
    expect((await ask('/healthz')).status).toBe(200)
  })

  it('answer this machine only, and questions only', async () => {
    const { persistence } = await open({ metricsPort: port })
    await waitFor(
      'it listens',
      () =>
        ask('/healthz').then(
          () => true,
          () => false,
        ),
      LIMIT_MS,
    )
    expect((await ask('/healthz', { host: `localhost:${port}` })).status).toBe(200)
    expect((await ask('/metrics', { host: 'rebound.example' })).status).toBe(403)
    expect((await ask('/metrics', { method: 'POST' })).status).toBe(405)
    expect(await ask('/healthz', { method: 'HEAD' })).toMatchObject({ status: 200, body: '' })
    expect((await ask('/')).status).toBe(404)
    // 127.0.0.2 is this machine too: whoever listens on all addresses would answer there.
    await expect(reach('127.0.0.2', port)).resolves.toBe(false)
    await persistence.close()
    await waitFor('it has gone', async () => !(await reach('127.0.0.1', port)), LIMIT_MS)
  })

  it('are off by default, and another address is refused', async () => {
    const { persistence } = await open()
    await persistence.flush()
    await expect(reach('127.0.0.1', port)).resolves.toBe(false)
    for (const metricsPort of ['0.0.0.0:9187', '[::]:9187', 'example.org:9187', 0, 65_536, -1])
      await expect(open({ metricsPort })).rejects.toMatchObject({ code: 'SETTING_INVALID' })
  })

  it('wait for a port that is taken, and say so', async () => {
    const squatter = createServer()
    await new Promise<void>((resolve) => squatter.listen(port, '127.0.0.1', resolve))
    const { persistence, write } = await open({ metricsPort: port })
    write()
    await persistence.flush()
    const watched = new Watched(persistence)
    const noted = await watched.until('it is noted', ({ notes }) => notes.length > 0, 0)
    expect(noted.notes).toEqual([`Metrics are not served on port ${port}: another program listens there.`])
    await new Promise((resolve) => squatter.close(resolve))
    await watched.until('the note is gone', ({ notes }) => notes.length === 0)
    expect((await ask('/healthz')).status).toBe(200)
  })

  it('are documented, and what is documented is there', async () => {
    const { persistence, write } = await open({ metricsPort: port })
    write()
    await persistence.flush()
    await waitFor(
      'drill, scrub and copy are there',
      async () => /kvar_drill_identical[\s\S]*kvar_scrub_drifted/.test((await ask('/metrics')).body),
      LIMIT_MS,
    )
    await waitFor(
      'the copy is written',
      async () => (await ask('/metrics')).body.includes('kvar_copy_written'),
      LIMIT_MS,
    )
    const { body } = await ask('/metrics')
    const document = fs.readFileSync(join(import.meta.dirname, '../../docs/MONITORING.md'), 'utf8')
    const named = [...document.matchAll(/^\| `((?:kvar|process)_[a-z_]+)/gm)].map((match) => match[1])
    expect([...new Set(named)].sort()).toEqual(
      [...body.matchAll(/^# TYPE (\S+)/gm)].map((match) => match[1]).sort(),
    )
    expect(loggedEvents().filter((event) => !document.includes(`| \`${event}\``))).toEqual([])
    const names = ['logLevel', 'metricsPort', 'alarm', 'alarmAfter'] as const
    for (const name of names) expect(document).toContain(`\`${name}\`, \`${SETTING_TABLE[name].variable}\``)
  })
})

/** The closed vocabulary of the log, out of its sources. */
function loggedEvents(): string[] {
  const folder = join(import.meta.dirname, '../../packages/kvar/src/keeper')
  const files = ['logging-journal.ts', 'logging-file.ts', 'reporting.ts', 'alarm.ts', 'keeper-process.ts']
  const text = files.map((file) => fs.readFileSync(join(folder, file), 'utf8')).join('\n')
  const events = [...text.matchAll(/(?:event: |logError\()([^\n]*)/g)].flatMap((match) =>
    [...(match[1] ?? '').matchAll(/'([a-z][a-z-]+)'/g)].slice(0, 2).map((one) => one[1] ?? ''),
  )
  return [...new Set(events)].filter(
    (event) => !['status', 'fenced', 'tell', 'progress', 'bad', 'good', 'warn', 'info'].includes(event),
  )
}

function reach(host: string, at: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = net.connect({ host, port: at })
    socket.once('connect', () => {
      socket.destroy()
      resolve(true)
    })
    socket.once('error', () => resolve(false))
  })
}

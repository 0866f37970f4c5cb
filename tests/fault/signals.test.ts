/*
 * Goal: what was committed before a signal is on the target, whoever the host signals.
 * Method: an app in its own process group, with the library's own handlers, is asked to end in the ways
 * hosts do it: the app, its shell, app and keeper at once, the first process of a container.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import {
  isAlive,
  KEEPER_APP,
  KeeperWorld,
  keeperProcessId,
  newestVersionIn,
  rowsIn,
  waitFor,
} from '../support/keeper-world.ts'

const ROWS = 400
const noNamespaces = whyNoNamespaces()

let world: KeeperWorld
let path: string
let target: string
let started: ChildProcess | undefined
beforeEach(() => {
  world = new KeeperWorld()
  path = world.path('app.db')
  target = world.path('target')
  world.watchFor(path)
})
afterEach(async () => {
  if (started?.exitCode === null) started.kill('SIGKILL')
  started = undefined
  await world.end()
})

/** An app that commits, and is then told apart from being stored: the interval is an hour. */
function script(journalMode: string): string {
  return JSON.stringify([
    ['open', { path, journalMode, options: { targets: [`folder:${target}`], interval: '1h', copies: [] } }],
    ['sql', { text: 'CREATE TABLE note(id INTEGER PRIMARY KEY, body)' }],
    ['flush', {}],
    ['sql', { text: insertRows() }],
    ['all', { text: 'SELECT count(*) FROM note' }],
  ])
}

function insertRows(): string {
  return `WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${ROWS})
    INSERT INTO note(body) SELECT randomblob(700) FROM n`
}

interface Running {
  child: ChildProcess
  ended: Promise<{ code: number | null; signal: string | null }>
}

/** Comes back when the app has committed what is not stored yet. */
async function start(command: string, words: string[], journalMode: string): Promise<Running> {
  const child = spawn(command, words, {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, KVAR_TEST_SCRIPT: script(journalMode) },
  })
  started = child
  let output = ''
  child.stdout.on('data', (text) => {
    output += text
  })
  const ended = new Promise<{ code: number | null; signal: string | null }>((resolve) =>
    child.once('exit', (code, signal) => resolve({ code, signal })),
  )
  await waitFor('the app has committed', () => output.includes('done all'), 20_000)
  expect(await newestVersionIn(target)).toBe(1)
  return { child, ended }
}

async function expectEverythingStored(): Promise<void> {
  const rows = await rowsIn(target, world.folder, 'SELECT count(*) AS n FROM note')
  expect(rows[0]?.n).toBe(ROWS)
}

describe('what was committed before the signal is stored', { timeout: 60_000 }, () => {
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    it(`when the app gets ${signal}`, async () => {
      const { child, ended } = await start(process.execPath, [KEEPER_APP], 'wal')
      child.kill(signal)
      expect((await ended).signal).toBe(signal)
      await expectEverythingStored()
      await waitFor('the keeper has left', () => !isAlive(keeperProcessId(path)))
    })
  }

  it('when only the shell around the app is signalled and the app is killed after it', async () => {
    const words = ['-c', `"${process.execPath}" "${KEEPER_APP}"; exit 0`]
    const { child, ended } = await start('sh', words, 'delete')
    const app = childrenOf(child.pid as number)[0] as number
    const keeper = keeperProcessId(path)
    child.kill('SIGTERM')
    await ended
    process.kill(app, 'SIGKILL')
    await waitFor('the keeper has left', () => !isAlive(keeper))
    await expectEverythingStored()
  })

  it.each(['wal', 'delete'])(
    'when app and keeper are signalled at once, in journal mode %s',
    async (mode) => {
      const { child, ended } = await start(process.execPath, [KEEPER_APP], mode)
      const keeper = keeperProcessId(path)
      process.kill(keeper, 'SIGTERM')
      child.kill('SIGTERM')
      await ended
      await waitFor('the keeper has left', () => !isAlive(keeper))
      await expectEverythingStored()
    },
  )

  it('when only the keeper is signalled it stores everything and stays, because the app still lives', async () => {
    const { child, ended } = await start(process.execPath, [KEEPER_APP], 'wal')
    const keeper = keeperProcessId(path)
    process.kill(keeper, 'SIGTERM')
    await waitFor('everything is stored', async () => (await newestVersionIn(target)) > 1)
    await expectEverythingStored()
    expect(isAlive(keeper)).toBe(true)
    child.kill('SIGTERM')
    await ended
    await waitFor('the keeper has left', () => !isAlive(keeper))
  })

  const title = noNamespaces === undefined ? '' : ` (left out: ${noNamespaces})`
  it.skipIf(noNamespaces !== undefined).each(['wal', 'delete'])(
    `when the app is process 1 of a container, in journal mode %s${title}`,
    async (mode) => {
      const words = ['--fork', '--pid', '--kill-child', process.execPath, KEEPER_APP]
      const { child, ended } = await start('unshare', words, mode)
      const first = childrenOf(child.pid as number)[0] as number
      process.kill(first, 'SIGTERM')
      await ended
      await expectEverythingStored()
    },
  )
})

function childrenOf(processId: number): number[] {
  const text = execFileSync('cat', [`/proc/${processId}/task/${processId}/children`], { encoding: 'utf8' })
  return text.trim().split(/\s+/).filter(Boolean).map(Number)
}

function whyNoNamespaces(): string | undefined {
  try {
    execFileSync('unshare', ['--fork', '--pid', '--kill-child', 'true'], { stdio: 'pipe' })
    return undefined
  } catch {
    return 'this machine does not allow unshare --pid'
  }
}

/**
 * Goal: `kvar run` keeps the data of an app in any language, and is otherwise not there: input and
 * output, signals and exit codes are the app's own.
 * Method: real processes. The app is Python with its own sqlite3 in rollback-journal mode; its disk
 * is thrown away between runs, and what the next run finds is compared with what was committed.
 */
import { spawnSync } from 'node:child_process'
import * as fs from 'node:fs'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { jsonLines, KVAR, KvarWorld, keeperGone, PYTHON, PYTHON_APP } from './kvar-world.ts'

let world: KvarWorld
beforeEach(() => {
  world = new KvarWorld()
})
afterEach(() => world.end())

describe('the data', () => {
  test('is back after the disk was thrown away, with ids and times', async () => {
    await world.add('first')
    await world.add('second')
    const sql =
      'import sqlite3,sys; print(sqlite3.connect(sys.argv[1]).execute("select * from notes").fetchall())'
    const before = spawnSync(PYTHON, ['-c', sql, world.database], { encoding: 'utf8' }).stdout
    world.wipe()
    const again = await world.start(['run', '--', PYTHON, '-c', sql, world.database]).ended
    expect(again.stdout).toBe(before)
    expect(again.stderr).toContain(`Restored version 3 from ${world.target}`)
    expect(again.stderr.trim().split('\n').at(-1)).toBe('kvar: everything is stored.')
    expect(await world.add('third')).toEqual(['first', 'second', 'third'])
  })

  test('of an app that is killed is stored up to its last commit', async () => {
    expect(await world.run(['die', 'last words']).ended).toMatchObject({ code: 137, signal: null })
    world.wipe()
    expect(await world.add('next')).toEqual(['last words', 'next'])
  })

  test('is stored by the keeper when kvar itself is killed', async () => {
    const running = world.run(['serve'])
    await running.until(/ready/)
    spawnSync(PYTHON, [PYTHON_APP, world.database, 'add', 'just committed'])
    running.kill('SIGKILL')
    await keeperGone(world.database)
    running.killGroup()
    world.wipe()
    expect(await world.add('next')).toEqual(['just committed', 'next'])
  })

  test('written by a second worker beside the first is stored by the same keeper', async () => {
    const first = world.run(['serve'])
    await first.until(/ready/)
    expect(await world.add('second worker')).toEqual(['second worker'])
    first.kill('SIGTERM')
    expect((await first.ended).code).toBe(0)
    world.wipe()
    expect(await world.add('later')).toEqual(['second worker', 'SIGTERM', 'later'])
  })
})

describe('the exit code', () => {
  test.each([0, 1, 7, 255])('%i of the command is passed on', async (code) => {
    expect((await world.run(['add', 'x', String(code)]).ended).code).toBe(code)
  })

  test('is 4 for a command that is not there, and 2 for one that cannot be executed', async () => {
    const missing = await world.kvar(['run', '--', 'no-such-command-here'])
    expect(missing).toMatchObject({ code: 4, stdout: '' })
    expect(missing.stderr).toMatch(/error: There is no command "no-such-command-here"\nhint: /)
    fs.writeFileSync(world.path('not-a-program'), 'x', { mode: 0o600 })
    expect((await world.kvar(['run', '--', './not-a-program'])).code).toBe(2)
  })

  test('is 3 when the app was content and the last commits could not be stored', async () => {
    const script = `rm -r "${world.targetFolder}"; exec ${PYTHON} ${PYTHON_APP} ${world.database} add x`
    const finished = await world.start(['run', '--', 'sh', '-c', script]).ended
    expect(finished.code).toBe(3)
    expect(finished.stderr).toMatch(/error: The last changes are not stored away from here: .+\nhint: /)
    expect(world.rows()).toEqual(['x'])
  }, 40_000)
})

describe('signals', () => {
  test('reach the app, and what it commits on SIGTERM is stored', async () => {
    const running = world.run(['serve'])
    await running.until(/ready/)
    const names = ['SIGUSR1', 'SIGUSR2', 'SIGHUP', 'SIGINT', 'SIGTERM'] as const
    for (const name of names) {
      running.kill(name)
      await running.until(new RegExp(name))
    }
    expect((await running.ended).code).toBe(0)
    world.wipe()
    expect(await world.add('next')).toEqual([...names, 'next'])
  })

  test('that end an app without a handler make 128 + their number', async () => {
    const running = world.run(['write'])
    await running.until(/ready/)
    running.kill('SIGTERM')
    expect((await running.ended).code).toBe(143)
  })

  test('that come while the database is not ready end kvar, and the app is not started', async () => {
    fs.symlinkSync('nowhere', world.path('unmounted'))
    const variables = { KVAR_TARGETS: `folder:${world.path('unmounted')}` }
    const running = world.start(['run', '--', 'touch', world.path('started')], { variables })
    await running.until(/kvar: waiting: /)
    running.kill('SIGTERM')
    expect((await running.ended).code).toBe(143)
    expect(fs.existsSync(world.path('started'))).toBe(false)
  }, 60_000)
})

describe('the app is not started', () => {
  test('when the ledger does not answer: 5, with a hint', async () => {
    fs.symlinkSync('nowhere', world.path('unmounted'))
    const variables = { KVAR_TARGETS: `folder:${world.path('unmounted')}`, KVAR_START_TIMEOUT: '300ms' }
    const finished = await world.kvar(['run', '--', 'touch', world.path('started')], { variables })
    expect(finished.code).toBe(5)
    expect(finished.stderr).toMatch(/error: folder:.* does not answer: .*\nhint: .*KVAR_ON_UNREACHABLE/)
    expect(fs.existsSync(world.path('started'))).toBe(false)
  })

  test('when a file stands where the target should be: 1', async () => {
    fs.writeFileSync(world.path('file'), '')
    const variables = { KVAR_TARGETS: `folder:${world.path('file')}` }
    const finished = await world.kvar(['run', '--', 'touch', world.path('started')], { variables })
    expect(finished.code).toBe(1)
    expect(fs.existsSync(world.path('started'))).toBe(false)
  })

  test('when the target holds the log of another database: 7', async () => {
    await world.add('ours')
    const other = { KVAR_DB: world.path('other.db'), KVAR_TARGETS: `folder:${world.elsewhere}/other` }
    expect((await world.run(['add', 'theirs'], { variables: other }).ended).code).toBe(0)
    const variables = { ...other, KVAR_TARGETS: world.target }
    const finished = await world.run(['add', 'mixed'], { variables }).ended
    expect(finished.code).toBe(7)
    expect(finished.stderr).toContain('holds the log of another database')
    expect(world.rows(other.KVAR_DB)).toEqual(['theirs'])
  })
})

describe('when another machine takes the database over', () => {
  /** Runs the app here until the same database is written elsewhere; answers how that ended. */
  async function overtake(verb: string) {
    const old = world.start(['run', '--json', '--', PYTHON, PYTHON_APP, world.database, verb])
    await old.until(/ready/)
    fs.mkdirSync(world.path('second'))
    const variables = { KVAR_DB: world.path('second/app.db') }
    expect((await world.run(['add', 'from the new machine'], { variables }).ended).code).toBe(0)
    const { code, stderr } = await old.ended
    return { code, lines: jsonLines(stderr) }
  }

  test('the app is asked to end, and the code is 11', async () => {
    const { code, lines } = await overtake('write')
    expect(code).toBe(11)
    expect(lines.at(-2)).toMatchObject({ event: 'error', code: 'FENCED', exitCode: 11 })
    expect(lines.at(-1)).toMatchObject({ event: 'summary', exitCode: 11, commandExitCode: 143 })
  }, 60_000)

  test('an app that takes no notice is killed', async () => {
    const { code, lines } = await overtake('stubborn')
    expect(code).toBe(11)
    expect(lines.at(-1)).toMatchObject({ exitCode: 11, commandExitCode: 137 })
  }, 60_000)
})

describe('words', () => {
  test('behind the command are the command’s, options or not', async () => {
    const words = ['--json', '--help', '-x', '--', '--db', 'y']
    const finished = await world.run(['arguments', ...words]).ended
    expect(JSON.parse(finished.stdout)).toEqual(words)
    const without = await world.kvar([
      'run',
      PYTHON,
      PYTHON_APP,
      world.database,
      'arguments',
      '--quiet',
      '-h',
    ])
    expect(JSON.parse(without.stdout)).toEqual(['--quiet', '-h'])
  })

  test('of kvar stay off standard output; with --json they are JSON lines on standard error', async () => {
    const finished = await world.kvar([
      'run',
      '--json',
      '--',
      PYTHON,
      PYTHON_APP,
      world.database,
      'add',
      'x',
      '6',
    ])
    expect(JSON.parse(finished.stdout)).toEqual(['x'])
    const lines = jsonLines(finished.stderr)
    expect(lines[0]).toMatchObject({ schema: 1, event: 'tell' })
    expect(lines.at(-1)).toMatchObject({
      event: 'summary',
      exitCode: 6,
      commandExitCode: 6,
      stored: true,
      left: null,
    })
    const failed = await world.kvar(['run', '--json', '--', 'no-such-command-here'])
    expect(jsonLines(failed.stderr).at(-1)).toMatchObject({ event: 'error', code: 'NOT_FOUND', exitCode: 4 })
  })

  test('are none with --quiet', async () => {
    const finished = await world.kvar([
      'run',
      '--quiet',
      '--',
      PYTHON,
      PYTHON_APP,
      world.database,
      'add',
      'x',
    ])
    expect(finished).toMatchObject({ code: 0, stderr: '' })
  })

  test('do not promise safety where there is none', async () => {
    const finished = await world.run(['add', 'x'], { variables: { KVAR_TARGETS: '' } }).ended
    expect(finished.stderr).toContain('only on this machine')
  })
})

/** A namespace in which kvar is process 1, as in a container. */
const UNSHARE = ['-Urfp', '--kill-child', '--mount-proc']
const canUnshare = spawnSync('unshare', [...UNSHARE, 'true']).status === 0

describe('as process 1 of a container', () => {
  const name = canUnshare ? '' : ' (not tried: unshare may not make namespaces here)'

  test.skipIf(!canUnshare)(`passes SIGTERM on, stores the last commit and leaves${name}`, async () => {
    const app = [PYTHON, PYTHON_APP, world.database, 'serve']
    // Signals to it come from outside, where it has another number.
    const running = world.startCommand('unshare', [...UNSHARE, process.execPath, KVAR, 'run', '--', ...app])
    await running.until(/ready/)
    const [inner] = fs
      .readFileSync(`/proc/${running.child.pid}/task/${running.child.pid}/children`, 'utf8')
      .split(' ')
    expect(fs.readFileSync(`/proc/${inner}/status`, 'utf8')).toMatch(/NSpid:\s+\d+\s+1\n/)
    process.kill(Number(inner), 'SIGTERM')
    expect((await running.ended).code).toBe(0)
    world.wipe()
    expect(await world.add('next')).toEqual(['SIGTERM', 'next'])
  })
})

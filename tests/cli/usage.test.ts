/**
 * Goal: the command line explains itself, understands what is meant, and never shows a secret.
 * Method: help, mistakes and settings of every kind, through the real program.
 */
import * as fs from 'node:fs'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { VERBS } from '../../packages/kvar/src/cli/verbs.ts'
import { jsonLines, KvarWorld, ROOT } from './kvar-world.ts'

let world: KvarWorld
beforeEach(() => {
  world = new KvarWorld()
})
afterEach(() => world.end())

const names = VERBS.map(({ name }) => name)

describe('help', () => {
  test.each(names)('of %s has an example', async (name) => {
    const { code, stdout, stderr } = await world.kvar([name, '--help'])
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect(stdout).toMatch(new RegExp(`Examples?:\\n.*kvar ${name}`))
    expect(stdout).toContain('--json')
    expect((await world.kvar(['help', name])).stdout).toBe(stdout)
  })

  test('of all names every verb and every exit code', async () => {
    const { code, stdout } = await world.kvar(['--help'])
    expect(code).toBe(0)
    for (const name of names) expect(stdout).toContain(`\n  ${name} `)
    expect(stdout).toContain('130 cancelled')
    expect((await world.kvar([])).code).toBe(2)
  })

  test('describes what docs/CLI.md describes', () => {
    const document = fs.readFileSync(`${ROOT}/docs/CLI.md`, 'utf8')
    expect(names.filter((name) => !document.includes(`## kvar ${name}`))).toEqual([])
  })

  test('--version is the package’s', async () => {
    const { version } = JSON.parse(fs.readFileSync(`${ROOT}/packages/kvar/package.json`, 'utf8'))
    expect((await world.kvar(['--version'])).stdout).toBe(`${version}\n`)
  })
})

describe('mistakes', () => {
  const cases: Array<[words: string[], error: RegExp, hint: RegExp]> = [
    [['stauts'], /Unknown command 'stauts'/, /did you mean status\?/],
    [['status', '--jsno'], /Unknown option '--jsno'/, /did you mean --json\?/],
    [['status', 'extra'], /Too many arguments/, /kvar status --help/],
    [['run'], /Missing required argument/, /kvar run --help/],
    [['export', 'yaml'], /yaml/, /kvar export --help/],
    [['restore', '--version'], /argument missing/, /kvar restore --help/],
    [['status', '--target', 'ftp:/x'], /"ftp:" is not a kind of target/, /folder:/],
  ]
  test.each(cases)('%j', async (words, error, hint) => {
    const { code, stdout, stderr } = await world.kvar(words)
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
    const [first, second] = stderr.split('\n')
    expect(first).toMatch(/^error: /)
    expect(first).toMatch(error)
    expect(second).toMatch(/^hint: /)
    expect(second).toMatch(hint)
  })

  test('are a JSON line for programs, wherever --json stands', async () => {
    for (const words of [
      ['--json', 'stauts'],
      ['status', '--json', '--nonsense'],
    ]) {
      const { code, stdout } = await world.kvar(words)
      expect(jsonLines(stdout)).toMatchObject([{ schema: 1, event: 'error', code: 'USAGE', exitCode: code }])
    }
  })
})

describe('the database', () => {
  const withoutName = { variables: { KVAR_DB: '' } }

  test('is the only one of the folder', async () => {
    fs.writeFileSync(world.path('only.sqlite'), '')
    fs.writeFileSync(world.path('only.sqlite.backup'), '')
    const [status] = jsonLines((await world.kvar(['status', '--json'], withoutName)).stdout)
    expect(status?.database).toBe(world.path('only.sqlite'))
  })

  test('is not guessed among several', async () => {
    for (const name of ['a.db', 'b.sqlite']) fs.writeFileSync(world.path(name), '')
    const { code, stderr } = await world.kvar(['status'], withoutName)
    expect(code).toBe(2)
    expect(stderr).toContain('several databases in this folder: a.db, b.sqlite')
  })

  test('has to be named where there is none', async () => {
    const { code, stderr } = await world.kvar(['status'], withoutName)
    expect(code).toBe(2)
    expect(stderr).toMatch(/--db PATH or the variable KVAR_DB/)
  })

  test('may be named before or behind the verb, and goes before the variable', async () => {
    for (const words of [
      ['--db', 'x.db', 'status', '--json'],
      ['status', '--db', 'x.db', '--json'],
    ]) {
      const [status] = jsonLines((await world.kvar(words)).stdout)
      expect(status?.database).toBe(world.path('x.db'))
    }
  })
})

describe('secrets', () => {
  const secret = 'hemlis-4711'

  test('on the command line are refused and not repeated', async () => {
    const url = `s3://someone:${secret}@host/bucket`
    const attempts = [
      ['status', '--target', url],
      ['run', '--target', `s3:bucket?secret=${secret}`, '--', 'true'],
      [url],
      ['status', `--password=${secret}`],
    ]
    for (const words of attempts) {
      const { code, stdout, stderr } = await world.kvar([...words, '--json'].toSorted(jsonFirst))
      expect({ code, leaked: (stdout + stderr).includes(secret) }).toEqual({ code: 2, leaked: false })
    }
  })

  test('of the environment appear nowhere: not in output, not in argv, not in the keeper’s log', async () => {
    const variables = { KVAR_S3_SECRET_ACCESS_KEY: secret, APP_PASSWORD: secret }
    const app = world.run(['serve'], { variables })
    await app.until(/ready/)
    const status = await world.kvar(['status', '--json'], { variables })
    const { keeper } = jsonLines(status.stdout)[0] as { keeper: { processId: number } }
    const seen = ['cmdline', 'environ'].map((name) =>
      fs.readFileSync(`/proc/${keeper.processId}/${name}`, 'utf8'),
    )
    app.kill('SIGTERM')
    const { stdout, stderr } = await app.ended
    for (const text of [...seen, status.stdout, stdout, stderr, world.keeperLog()])
      expect(text).not.toContain(secret)
  })
})

/** Options of kvar stand before the words of a command. */
function jsonFirst(a: string, b: string): number {
  return Number(b === '--json') - Number(a === '--json')
}

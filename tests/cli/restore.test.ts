/**
 * Goal: `kvar restore` brings back what was asked for, and nothing that was there is lost by it.
 * Method: a log of real versions made by a Python app; each way to restore is compared row by row,
 * and each undo that is printed is carried out.
 */
import * as fs from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { KvarWorld, lastOf } from './kvar-world.ts'

let world: KvarWorld
beforeEach(async () => {
  world = new KvarWorld()
  // Versions 1 and 3; 2 is the claim of the second run.
  await world.add('one')
  await world.add('two')
})
afterEach(() => world.end())

/** Carries out the command that an output says will undo it. */
async function undo(stdout: string): Promise<void> {
  const command = /undo with: kvar (.+)/.exec(stdout)?.[1]
  expect((await world.kvar(command?.split(' ') ?? [])).code).toBe(0)
}

describe('into the database', () => {
  test('a missing one is brought back', async () => {
    world.wipe()
    const { code, stdout } = await world.kvar(['restore'])
    expect({ code, stdout }).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/^Restored version 3 from /),
    })
    expect(world.rows()).toEqual(['one', 'two'])
  })

  test('one that is the newest already is left alone', async () => {
    const { code, stdout } = await world.kvar(['restore'])
    expect({ code, stdout }).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/^Nothing to restore: /),
    })
    expect(world.rows()).toEqual(['one', 'two'])
  })

  test('--version goes back, and the printed command undoes it', async () => {
    const { stdout } = await world.kvar(['restore', '--version', '1'])
    expect(stdout).toMatch(/^Restored version 1; it is now version \d+\.\n/)
    expect(world.rows()).toEqual(['one'])
    await undo(stdout)
    expect(world.rows()).toEqual(['one', 'two'])
  })

  test('goes through the keeper of a running app, which sees the old content at once', async () => {
    const app = world.run(['serve'])
    await app.until(/ready/)
    const reader = new DatabaseSync(world.database, { timeout: 5000 })
    const rows = () =>
      reader
        .prepare('SELECT text FROM notes')
        .all()
        .map((row) => row.text)
    expect(rows()).toEqual(['one', 'two'])
    const { code, stdout } = await world.kvar(['restore', '--version', '1'])
    expect(code).toBe(0)
    expect(rows()).toEqual(['one'])
    await undo(stdout)
    expect(rows()).toEqual(['one', 'two'])
    reader.close()
    app.kill('SIGTERM')
    expect((await app.ended).code).toBe(0)
  })

  test('is refused while a process has the file open that no keeper knows of: 11', async () => {
    const holder = new DatabaseSync(world.database)
    holder.prepare('SELECT count(*) FROM notes').get()
    const { code, stderr } = await world.kvar(['restore', '--version', '1'])
    expect(code).toBe(11)
    expect(stderr).toMatch(/^error: Cannot work on "app\.db": process \d+ has it open.*\nhint: .*--to/)
    holder.close()
    expect(world.rows()).toEqual(['one', 'two'])
  })

  test('--from json asks for --force where there are rows, and can be undone', async () => {
    await world.kvar(['restore', '--version', '1'])
    fs.copyFileSync(world.path('app.db.json'), world.path('kept.json'))
    await world.add('three')
    fs.renameSync(world.path('kept.json'), world.path('app.db.json'))
    const refused = await world.kvar(['restore', '--from', 'json'])
    expect(refused.code).toBe(7)
    expect(refused.stderr).toContain('--force')
    const { code, stdout } = await world.kvar(['restore', '--from', 'json', '--force'])
    expect(code).toBe(0)
    expect(world.rows()).toEqual(['one'])
    await undo(stdout)
    expect(world.rows()).toEqual(['one', 'three'])
  })

  test('without any target what was there is kept in a file', async () => {
    world.wipe()
    world.variables.KVAR_TARGETS = ''
    await world.add('alone')
    fs.copyFileSync(world.path('app.db.backup'), world.path('older'))
    await world.add('newer')
    fs.copyFileSync(world.path('older'), world.path('app.db.backup'))
    const summary = lastOf((await world.kvar(['restore', '--from', 'backup', '--force', '--json'])).stdout)
    expect(world.rows()).toEqual(['alone'])
    expect(summary).toMatchObject({ event: 'summary', undo: null })
    expect(world.rows(String(summary.aside))).toEqual(['alone', 'newer'])
  })

  test('--branch brings back content that was kept aside', async () => {
    // Another machine goes on while this one has changes of its own.
    const second = { KVAR_DB: world.path('second.db') }
    await world.run(['add', 'on the second'], { variables: second }).ended
    const writer = new DatabaseSync(world.database)
    writer.exec("INSERT INTO notes (text) VALUES ('only here')")
    writer.close()
    expect(await world.add('after')).toEqual(['one', 'two', 'on the second', 'after'])
    const list = lastOf((await world.kvar(['versions', '--branches', '--json'])).stdout)
    const [branch] = list.branches as Array<{ id: string; reason: string }>
    expect(branch?.reason).toBe('diverged')
    expect((await world.kvar(['versions', '--branches'])).stdout).toContain(branch?.id)
    const { code, stdout } = await world.kvar(['restore', '--branch', String(branch?.id)])
    expect(code).toBe(0)
    expect(world.rows()).toEqual(['one', 'two', 'only here'])
    await undo(stdout)
    expect(world.rows()).toEqual(['one', 'two', 'on the second', 'after'])
  })
})

describe('to another path', () => {
  test('takes the wanted version straight from the target and claims nothing', async () => {
    const objects = fs.readdirSync(join(world.targetFolder, 'ltx/0'))
    const { code, stdout } = await world.kvar(['restore', '--version', '1', '--to', 'look.db'])
    expect({ code, stdout }).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/^Restored version 1 of /),
    })
    expect(world.rows(world.path('look.db'))).toEqual(['one'])
    expect(world.rows()).toEqual(['one', 'two'])
    expect(fs.readdirSync(join(world.targetFolder, 'ltx/0'))).toEqual(objects)
    const left = fs.readdirSync(world.folder).filter((name) => name.includes('look.db'))
    expect(left).toEqual(['look.db'])
  })

  test('--before finds the version of a moment', async () => {
    const list = lastOf((await world.kvar(['versions', '--json'])).stdout)
    const [newest] = list.versions as Array<{ time: string }>
    const before = ['restore', '--before', String(newest?.time), '--to', 'look.db', '--json']
    const summary = lastOf((await world.kvar(before)).stdout)
    expect(summary).toMatchObject({ event: 'summary', version: 2, aside: null })
    expect(world.rows(world.path('look.db'))).toEqual(['one'])
    expect((await world.kvar(['restore', '--before', '1h', '--to', 'other.db'])).code).toBe(4)
  })

  test('never overwrites; --force moves what is there aside, with its WAL', async () => {
    fs.writeFileSync(world.path('look.db'), 'mine')
    fs.writeFileSync(world.path('look.db-wal'), 'also mine')
    const refused = await world.kvar(['restore', '--to', 'look.db'])
    expect(refused.code).toBe(7)
    expect(fs.readFileSync(world.path('look.db'), 'utf8')).toBe('mine')
    const summary = lastOf((await world.kvar(['restore', '--to', 'look.db', '--force', '--json'])).stdout)
    expect(world.rows(world.path('look.db'))).toEqual(['one', 'two'])
    const aside = String(summary.aside)
    expect(fs.readFileSync(join(aside, 'look.db'), 'utf8')).toBe('mine')
    expect(fs.readFileSync(join(aside, 'look.db-wal'), 'utf8')).toBe('also mine')
  })

  test('a journal without its database counts as taken', async () => {
    fs.writeFileSync(world.path('look.db-journal'), 'hot')
    expect((await world.kvar(['restore', '--to', 'look.db'])).code).toBe(7)
    expect(fs.existsSync(world.path('look.db'))).toBe(false)
  })

  test('restores copies as well', async () => {
    for (const kind of ['json', 'backup']) {
      expect((await world.kvar(['restore', '--from', kind, '--to', `${kind}.db`])).code).toBe(0)
      expect(world.rows(world.path(`${kind}.db`))).toEqual(['one', 'two'])
    }
  })

  test('a damaged object is found: 20, and no file is left', async () => {
    const folder = join(world.targetFolder, 'ltx/0')
    const object = join(folder, fs.readdirSync(folder).sort()[0] as string)
    const bytes = fs.readFileSync(object)
    bytes[120] = (bytes[120] ?? 0) ^ 1
    fs.chmodSync(object, 0o600)
    fs.writeFileSync(object, bytes)
    const { code, stderr } = await world.kvar(['restore', '--to', 'look.db'])
    expect(code).toBe(20)
    expect(stderr).toMatch(/^error: .*\nhint: /)
    expect(fs.readdirSync(world.folder).filter((name) => name.includes('look'))).toEqual([])
  })

  test('falls back to a follower where the ledger is damaged, and says so', async () => {
    const follower = `folder:${world.elsewhere}/follower`
    world.variables.KVAR_TARGETS = `${world.target} ${follower}`
    expect((await world.kvar(['backup'])).code).toBe(0)
    fs.rmSync(join(world.targetFolder, 'ltx/0', '0000000000000001-0000000000000001.ltx'))
    const { code, stdout, stderr } = await world.kvar(['restore', '--version', '1', '--to', 'look.db'])
    expect(code).toBe(0)
    expect(stdout).toContain(follower)
    expect(stderr).toContain('was passed over')
    expect(world.rows(world.path('look.db'))).toEqual(['one'])
  })
})

describe('--dry-run', () => {
  test('says version, time, pages, bytes and objects, and changes nothing', async () => {
    world.wipe()
    const { code, stdout } = await world.kvar(['restore', '--version', '1', '--dry-run'])
    expect(code).toBe(0)
    expect(stdout).toMatch(/^Would restore version 1 of \d{4}-.*nothing was changed\.\n/)
    expect(stdout).toMatch(/read {2}3 pages, 1 object, \d+ bytes/)
    const summary = lastOf((await world.kvar(['restore', '--dry-run', '--json'])).stdout)
    expect(summary).toMatchObject({
      event: 'summary',
      dryRun: true,
      version: 3,
      pages: 3,
      objects: 3,
      replaces: false,
    })
    expect(fs.readdirSync(world.folder)).toEqual([])
  })
})

describe('fails with the documented code', () => {
  const cases: Array<[code: number, why: string, words: string[]]> = [
    [4, 'a version that never was', ['restore', '--version', '99', '--to', 'x.db']],
    [4, 'a branch that never was', ['restore', '--branch', 'nonsense', '--to', 'x.db']],
    [4, 'a folder that is not there', ['restore', '--to', 'no/such/x.db']],
    [2, 'a version that is no number', ['restore', '--version', 'two']],
    [2, 'a time that is none', ['restore', '--before', 'yesterdayish']],
    [2, 'two wishes at once', ['restore', '--version', '1', '--before', '1h']],
    [2, 'a copy of a version', ['restore', '--version', '1', '--from', 'json']],
    [2, 'the database as another path', ['restore', '--to', 'app.db']],
    [2, 'an unknown origin', ['restore', '--from', 'moon']],
  ]
  test.each(cases)('%i: %s', async (code, _why, words) => {
    const finished = await world.kvar(words)
    expect(finished.stderr).toMatch(/^error: .+\nhint: .+\n$/)
    expect(finished).toMatchObject({ code, stdout: '' })
  })

  test('10: nothing anywhere', async () => {
    world.wipe()
    fs.rmSync(world.targetFolder, { recursive: true })
    expect((await world.kvar(['restore'])).code).toBe(10)
    expect((await world.kvar(['restore', '--from', 'json', '--to', 'x.db'])).code).toBe(10)
  })

  test('7: a log of a newer format', async () => {
    const path = join(world.targetFolder, 'kvar/lineage.json')
    const lineage = JSON.parse(fs.readFileSync(path, 'utf8'))
    fs.chmodSync(path, 0o600)
    fs.writeFileSync(path, JSON.stringify({ ...lineage, format: 99 }))
    world.wipe()
    expect((await world.kvar(['restore'])).code).toBe(7)
    expect(fs.existsSync(world.database)).toBe(false)
  })

  test('130: Ctrl-C while the target does not answer', async () => {
    world.wipe()
    fs.symlinkSync('nowhere', world.path('unmounted'))
    const variables = { KVAR_TARGETS: `folder:${world.path('unmounted')}` }
    const running = world.start(['restore', '--json'], { variables })
    await running.until(/"event":"tell".*waiting/)
    running.kill('SIGINT')
    expect((await running.ended).code).toBe(130)
  }, 60_000)
})

/**
 * Goal: `versions`, `backup`, `export` and `import` do what they say, in text and in JSON, with a
 * keeper and without, and never overwrite a file of somebody else.
 * Method: a real log and real files; what was exported is imported and compared row by row.
 */
import * as fs from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { KvarWorld, lastOf } from './kvar-world.ts'

let world: KvarWorld
beforeEach(async () => {
  world = new KvarWorld()
  await world.add('one')
})
afterEach(() => world.end())

const objects = () => fs.readdirSync(join(world.targetFolder, 'ltx/0')).length

describe('versions', () => {
  test('are listed newest first, with claims marked, without a keeper and with one', async () => {
    await world.add('two')
    const alone = await world.kvar(['versions'])
    expect(alone.stdout.split('\n')[0]).toMatch(
      /^The newest is version 3, \d+ s old\. .*kvar restore --version N$/,
    )
    expect(alone.stdout).toMatch(/ {8}2 .* no change: a keeper took over/)
    const app = world.run(['serve'])
    await app.until(/ready/)
    const list = lastOf((await world.kvar(['versions', '--json'])).stdout)
    const versions = list.versions as Array<Record<string, unknown>>
    expect(versions.map(({ version, note }) => [version, note])).toEqual([
      [4, 'claim'],
      [3, null],
      [2, 'claim'],
      [1, null],
    ])
    expect(versions[0]).toMatchObject({
      pageCount: 3,
      time: expect.stringMatching(/Z$/),
      sizeBytes: expect.any(Number),
    })
    app.kill('SIGTERM')
    await app.ended
  })

  test('can be limited; a limit that is none is a mistake', async () => {
    await world.add('two')
    const list = lastOf((await world.kvar(['versions', '--limit', '2', '--json'])).stdout)
    expect((list.versions as Array<{ version: number }>).map(({ version }) => version)).toEqual([3, 2])
    expect((await world.kvar(['versions', '--limit', '0'])).code).toBe(2)
  })

  test('of a target that holds none: 10; asking claims nothing', async () => {
    const before = objects()
    await world.kvar(['versions'])
    expect(objects()).toBe(before)
    fs.mkdirSync(`${world.elsewhere}/empty`)
    const finished = await world.kvar(['versions', '--target', `folder:${world.elsewhere}/empty`])
    expect(finished.code).toBe(10)
  })
})

describe('backup', () => {
  test('stores what no keeper saw, and says where everything is', async () => {
    const writer = new DatabaseSync(world.database)
    writer.exec("INSERT INTO notes (text) VALUES ('unseen')")
    writer.close()
    const { code, stdout } = await world.kvar(['backup'])
    expect(code).toBe(0)
    expect(stdout).toMatch(/^Stored: version 2 is on 1 of 1 targets\.\n/)
    for (const place of [world.target, `${world.database}.json`, `${world.database}.backup`])
      expect(stdout).toContain(place)
    expect(world.rows(`${world.database}.backup`)).toEqual(['one', 'unseen'])
  })

  test('is partly done where a target does not take it: 3', async () => {
    fs.writeFileSync(`${world.elsewhere}/file`, '')
    const variables = { KVAR_TARGETS: `${world.target} folder:${world.elsewhere}/file` }
    const { code, stdout } = await world.kvar(['backup', '--json'], { variables })
    expect(code).toBe(3)
    const summary = lastOf(stdout)
    expect(summary).toMatchObject({
      event: 'summary',
      targets: [{ problem: null }, { problem: { code: 'TARGET_PERMANENT' } }],
    })
    const text = await world.kvar(['backup'], { variables })
    expect(text.stdout).toMatch(/^Partly stored: version \d+ is on 1 of 2 targets\.\n/)
  })

  test('without a database or a version of it: 4', async () => {
    const variables = { KVAR_DB: world.path('none.db'), KVAR_TARGETS: `folder:${world.elsewhere}/none` }
    expect((await world.kvar(['backup'], { variables })).code).toBe(4)
  })

  test('beside a running app goes through its keeper; other targets are refused', async () => {
    const app = world.run(['serve'])
    await app.until(/ready/)
    expect((await world.kvar(['backup', '--quiet'])).stdout).toBe('')
    const other = await world.kvar(['backup', '--target', `folder:${world.elsewhere}/other`])
    expect(other.code).toBe(2)
    expect(other.stderr).toContain('already protected with other targets')
    app.kill('SIGTERM')
    await app.ended
  })
})

describe('export', () => {
  test('without a keeper shows the database as it is, in WAL mode too, and stores nothing', async () => {
    const writer = new DatabaseSync(world.database)
    writer.exec("PRAGMA journal_mode = WAL; INSERT INTO notes (text) VALUES ('in the WAL')")
    const before = objects()
    const { code, stdout } = await world.kvar(['export', 'json', '--to', 'out.json'])
    expect(code).toBe(0)
    expect(stdout).toMatch(/^Wrote .*out\.json \(\d+ bytes\): the database here; no keeper runs\.\n$/)
    const written = JSON.parse(fs.readFileSync(world.path('out.json'), 'utf8'))
    expect(written.notes.map((row: { text: string }) => row.text)).toEqual(['one', 'in the WAL'])
    expect(written.kvar.pragmas.journal_mode).toBe('wal')
    expect(objects()).toBe(before)
    writer.close()
  })

  test('keeps rowids of tables without a key', async () => {
    const writer = new DatabaseSync(world.database)
    writer.exec(
      "CREATE TABLE bare (x); INSERT INTO bare VALUES ('a'), ('b'), ('c'); DELETE FROM bare WHERE x = 'a'",
    )
    writer.close()
    await world.kvar(['export', 'json', '--to', 'out.json'])
    await world.kvar(['restore', '--from', 'json', '--to', 'unused.db'])
    fs.copyFileSync(world.path('out.json'), world.path('again.db.json'))
    await world.kvar(['restore', '--from', 'json', '--to', 'back.db'], {
      variables: { KVAR_DB: world.path('again.db') },
    })
    const back = new DatabaseSync(world.path('back.db'), { readOnly: true })
    expect(back.prepare('SELECT rowid, x FROM bare').all()).toEqual([
      { rowid: 2, x: 'b' },
      { rowid: 3, x: 'c' },
    ])
    back.close()
  })

  test('without a database takes the newest version stored', async () => {
    world.wipe()
    const summary = lastOf((await world.kvar(['export', 'json', '--to', 'out.json', '--json'])).stdout)
    expect(summary).toMatchObject({ event: 'summary', version: 1, path: world.path('out.json') })
    expect(fs.readdirSync(world.folder)).toEqual(['out.json'])
  })

  test('never overwrites: not another file, and not a JSON beside the database that is not ours', async () => {
    fs.writeFileSync(world.path('out.json'), 'mine')
    expect((await world.kvar(['export', 'json', '--to', 'out.json'])).code).toBe(7)
    expect(fs.readFileSync(world.path('out.json'), 'utf8')).toBe('mine')
    fs.writeFileSync(world.path('app.db.json'), '{ "notes": [] }')
    const { code, stderr } = await world.kvar(['export', 'json'])
    const aside = /kept as (.+)\n/.exec(stderr)?.[1] ?? ''
    expect({ code, aside: fs.readFileSync(aside, 'utf8') }).toEqual({ code: 0, aside: '{ "notes": [] }' })
  })

  test('beside a running app is the keeper’s copy', async () => {
    const app = world.run(['serve'])
    await app.until(/ready/)
    const summary = lastOf((await world.kvar(['export', 'json', '--to', 'out.json', '--json'])).stdout)
    expect(summary).toMatchObject({ event: 'summary', version: 2 })
    expect(JSON.parse(fs.readFileSync(world.path('out.json'), 'utf8')).kvar.version).toBe(2)
    app.kill('SIGTERM')
    await app.ended
  })
})

describe('import', () => {
  const seed = join(import.meta.dirname, '../golden/python-app/familjekalender.db.json')

  test('--dry-run reads the whole file and changes nothing', async () => {
    const names = fs.readdirSync(world.folder)
    const { code, stdout } = await world.kvar(['import', 'json', seed, '--dry-run'])
    expect({ code, stdout }).toMatchObject({
      code: 0,
      stdout: expect.stringMatching(/^Would import 48 rows in 1 table/),
    })
    expect(fs.readdirSync(world.folder)).toEqual(names)
  })

  test('of the first version’s file into a new database, stored at once', async () => {
    world.wipe()
    fs.rmSync(world.targetFolder, { recursive: true })
    const summary = lastOf((await world.kvar(['import', 'json', seed, '--json'])).stdout)
    expect(summary).toMatchObject({ event: 'summary', rows: 48, restored: true })
    world.wipe()
    await world.kvar(['restore'])
    const database = new DatabaseSync(world.database, { readOnly: true })
    expect(database.prepare('SELECT count(*) AS rows FROM events').get()).toEqual({ rows: 48 })
    database.close()
  })

  test('over rows needs --force and can be undone', async () => {
    expect((await world.kvar(['import', 'json', seed])).code).toBe(7)
    expect(world.rows()).toEqual(['one'])
    const { stdout } = await world.kvar(['import', 'json', seed, '--force'])
    const undo = /undo with: kvar (.+)/.exec(stdout)?.[1]?.split(' ') ?? []
    expect((await world.kvar(undo)).code).toBe(0)
    expect(world.rows()).toEqual(['one'])
  })

  test('of a damaged file is refused with its place: 20; of none: 4', async () => {
    fs.writeFileSync(world.path('torn.json'), fs.readFileSync(seed, 'utf8').slice(0, 2000))
    for (const more of [['--dry-run'], ['--force']]) {
      const { code, stderr } = await world.kvar(['import', 'json', 'torn.json', ...more])
      expect(code).toBe(20)
      expect(stderr).toContain('torn.json')
    }
    expect(world.rows()).toEqual(['one'])
    expect((await world.kvar(['import', 'json', 'missing.json'])).code).toBe(4)
  })
})

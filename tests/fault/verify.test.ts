// Goal: `kvar verify`, `doctor` and `branches` tell a person what is wrong, with the right exit code,
// and what to do; promoting a branch is a restore that can be undone.
// Method: the compiled program, real keepers, folder targets on another file system; objects damaged
// and removed by hand.
import * as fs from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { jsonLines, KvarWorld, lastOf } from '../cli/kvar-world.ts'

let world: KvarWorld
beforeEach(() => {
  world = new KvarWorld()
})
afterEach(() => world.end())

function objectOf(version: number): string {
  const name = version.toString(16).padStart(16, '0')
  return join(world.targetFolder, 'ltx/0', `${name}-${name}.ltx`)
}

/** Flips one bit in the middle of a page of the version. */
function damage(version: number): Buffer {
  const good = fs.readFileSync(objectOf(version))
  const bad = Buffer.from(good)
  bad[110] = (bad[110] as number) ^ 4
  fs.writeFileSync(objectOf(version), bad)
  return good
}

async function newest(): Promise<number> {
  const { versions } = lastOf((await world.kvar(['versions', '--json'])).stdout) as {
    versions: Array<{ version: number }>
  }
  return versions[0]?.version ?? 0
}

describe('kvar verify', () => {
  it('calls a sound log sound, without a keeper, as text and as JSON lines', async () => {
    for (const text of ['one', 'two']) await world.add(text)
    const plain = await world.kvar(['verify'])
    expect(plain).toMatchObject({ code: 0 })
    expect(plain.stdout).toMatch(/^Sound: \d+ versions on 1 target, \d+ objects checked\.\n/)
    const all = await world.kvar(['verify', '--data', '--restore', '--json'])
    expect(all.code).toBe(0)
    const lines = jsonLines(all.stdout)
    expect(lines.map(({ event }) => event).filter((event) => event !== 'progress')).toEqual([
      'drill',
      'target',
      'summary',
    ])
    expect(lines[0]).toMatchObject({ result: 'identical', target: world.target })
    expect(lines.at(-1)).toMatchObject({ exitCode: 0, damage: 0 })
  })

  it('finds damage: exit code 20, the object, the versions it costs, the nearest good one', async () => {
    for (const text of ['one', 'two', 'three']) await world.add(text)
    const head = await newest()
    const good = damage(head)
    expect(await world.kvar(['verify'])).toMatchObject({ code: 0 })
    const found = await world.kvar(['verify', '--data'])
    expect(found.code).toBe(20)
    expect(found.stdout).toMatch(/^Damaged: 1 fault found\. The newest version that can be restored is \d+/)
    expect(found.stdout).toContain(
      `version ${head} cannot be restored from here, version ${head - 1} is the nearest`,
    )
    const json = jsonLines((await world.kvar(['verify', '--data', '--json'])).stdout)
    expect(json.find(({ event }) => event === 'finding')).toMatchObject({
      ...{ kind: 'damaged', severity: 'damage', lost: { from: head, to: head }, nearestVersion: head - 1 },
      key: objectOf(head).slice(world.targetFolder.length + 1),
    })
    expect(json.at(-1)).toMatchObject({ event: 'summary', exitCode: 20, damage: 1 })

    // The rehearsal fails too, and is remembered until one succeeds.
    const drill = await world.kvar(['verify', '--restore'])
    expect(drill.code).toBe(20)
    expect(drill.stdout).toContain(`Rehearsed restore from ${world.target}: failed.`)
    fs.writeFileSync(objectOf(head), good)
    expect(await world.kvar(['verify', '--data', '--restore'])).toMatchObject({ code: 0 })
  })

  it('finds a removed object, and newest versions that only this machine’s notes know of', async () => {
    for (const text of ['one', 'two', 'three']) await world.add(text)
    const head = await newest()
    const kept = fs.readFileSync(objectOf(2))
    fs.rmSync(objectOf(2))
    const gap = await world.kvar(['verify'])
    expect(gap.code).toBe(20)
    expect(gap.stdout).toContain(`Version 2 is missing on ${world.target}`)
    fs.writeFileSync(objectOf(2), kept)
    fs.rmSync(objectOf(head))
    const short = await world.kvar(['verify'])
    expect(short.code).toBe(20)
    expect(short.stdout).toContain(
      `this machine noted version ${head}, and the log there ends with ${head - 1}`,
    )
  })

  it('says where else the lost versions are whole', async () => {
    const second = join(world.elsewhere, 'second')
    world.variables.KVAR_TARGETS = `${world.target} folder:${second}`
    for (const text of ['one', 'two']) await world.add(text)
    damage(await newest())
    const found = await world.kvar(['verify', '--data'])
    expect(found.code).toBe(20)
    expect(found.stdout).toContain(`whole on folder:${second}`)
  })

  it('works beside a running keeper, which remembers the rehearsal', async () => {
    await world.add('one')
    const app = world.run(['serve'])
    await app.until(/ready/)
    const verified = await world.kvar(['verify', '--data', '--restore'])
    expect(verified).toMatchObject({ stdout: expect.stringMatching(/^Sound/), code: 0 })
    const { provedDrill, sentence } = lastOf((await world.kvar(['status', '--json'])).stdout) as {
      provedDrill: { result: string }
      sentence: string
    }
    expect(provedDrill.result).toBe('identical')
    expect(sentence).toContain('Last proved restore: today')
    damage(await newest())
    expect((await world.kvar(['verify', '--restore'])).code).toBe(20)
    expect((await world.kvar(['status'])).stdout).toMatch(/^Not safe: A restore rehearsed from /)
    expect((await world.kvar(['doctor'])).stdout).toContain('MEND  Not safe: A restore rehearsed from ')
    app.kill('SIGTERM')
    await app.ended
  })

  it('has exit codes for nothing there, a place that is away, and one of two away', async () => {
    fs.mkdirSync(world.targetFolder)
    expect((await world.kvar(['verify'])).code).toBe(10)
    await world.add('one')
    const away = `folder:${world.path('not-mounted')}`
    expect((await world.kvar(['verify', '--target', away])).code).toBe(4)
    const both = await world.kvar(['verify', '--target', world.target, '--target', away])
    expect(both.code).toBe(3)
    expect(both.stdout).toContain('could not be read')
  })
})

describe('kvar doctor', () => {
  it('looks at everything and finds it well', async () => {
    await world.add('one')
    const healthy = await world.kvar(['doctor'])
    expect(healthy.code).toBe(0)
    for (const words of [
      'Kvar 0.1.0 on linux',
      'rollback-journal mode',
      'was last written by SQLite 3.',
      'are free on',
      'it is the ledger',
      'holds version',
    ]) {
      expect(healthy.stdout).toContain(words)
    }
    expect(
      fs.existsSync(join(world.targetFolder, 'kvar/proof'))
        ? fs.readdirSync(join(world.targetFolder, 'kvar/proof'))
        : [],
    ).toEqual([])
  })

  it('looks at one target alone, before there is any database', async () => {
    fs.mkdirSync(world.targetFolder)
    const { stdout, code } = await world.kvar(['doctor', world.target], { variables: { KVAR_DB: '' } })
    expect(code).toBe(0)
    expect(stdout).toContain('creates, reads, lists and removes')
    expect(stdout).toContain('holds no version yet')
  })

  it('names what has to be mended, with an exit code', async () => {
    await world.add('one')
    const other = new KvarWorld()
    try {
      await other.add('another family')
      const mixed = await world.kvar(['doctor', '--target', other.target, '--json'])
      expect(mixed.code).toBe(7)
      expect(jsonLines(mixed.stdout)).toContainEqual(
        expect.objectContaining({ state: 'bad', code: 'LINEAGE_MISMATCH' }),
      )
    } finally {
      await other.end()
    }
    fs.writeFileSync(world.database, 'this is no database'.repeat(10))
    const broken = await world.kvar(['doctor'])
    expect(broken.code).toBe(20)
    expect(broken.stdout).toContain('MEND  "app.db" is no SQLite database.')
  })
})

describe('kvar branches', () => {
  /** Another machine goes on from the first version, while this one writes without a keeper. */
  async function diverge(): Promise<void> {
    await world.add('shared')
    const mine = fs.readFileSync(world.database)
    await world.add('theirs')
    // As if this disk had never seen the second version, and its app had written meanwhile.
    world.wipe()
    fs.writeFileSync(world.database, mine)
    const { DatabaseSync } = await import('node:sqlite')
    const database = new DatabaseSync(world.database)
    database.exec("INSERT INTO notes(text) VALUES('mine')")
    database.close()
    expect(await world.add('later')).toEqual(['shared', 'theirs', 'later'])
  }

  it('lists them with age, size and term, and makes one the newest version and back again', async () => {
    await diverge()
    const listed = await world.kvar(['branches'])
    expect(listed.code).toBe(0)
    expect(listed.stdout).toContain('kvar branches promote ID')
    const { branches } = lastOf((await world.kvar(['branches', '--json'])).stdout) as {
      branches: Array<{ id: string; sizeBytes: number; reason: string; keepUntil: string }>
    }
    const [branch] = branches
    expect(branches).toHaveLength(1)
    expect(branch).toMatchObject({ reason: 'diverged', sizeBytes: expect.any(Number) })
    const id = branch?.id ?? ''
    expect(listed.stdout).toContain(id)

    await world.kvar(['restore', '--branch', id, '--to', world.path('look.db')])
    expect(world.rows(world.path('look.db'))).toEqual(['shared', 'mine'])

    const dry = await world.kvar(['branches', 'promote', id, '--dry-run'])
    expect(dry.stdout).toContain('nothing was changed')
    expect(world.rows()).toEqual(['shared', 'theirs', 'later'])

    const promoted = await world.kvar(['branches', 'promote', id])
    expect(promoted.code).toBe(0)
    expect(world.rows()).toEqual(['shared', 'mine'])
    const undo = /undo with: kvar (.*)/.exec(promoted.stdout)?.[1] ?? ''
    expect(undo).toMatch(/^restore --version \d+$/)
    expect((await world.kvar(undo.split(' '))).code).toBe(0)
    expect(world.rows()).toEqual(['shared', 'theirs', 'later'])
    expect(await world.kvar(['verify', '--data'])).toMatchObject({ code: 0 })
  })

  it('promotes under a running app', async () => {
    await diverge()
    const app = world.run(['serve'])
    await app.until(/ready/)
    const { branches } = lastOf((await world.kvar(['branches', '--json'])).stdout) as {
      branches: Array<{ id: string }>
    }
    const promoted = await world.kvar(['branches', 'promote', branches[0]?.id ?? ''])
    expect(promoted.code).toBe(0)
    expect(world.rows()).toEqual(['shared', 'mine'])
    app.kill('SIGTERM')
    await app.ended
  })

  it('finds damage of a branch by verify, and says what it does not know', async () => {
    await diverge()
    const folder = join(world.targetFolder, 'kvar/branches')
    const [id] = fs.readdirSync(folder)
    const meta = join(folder, id ?? '', 'branch.json')
    fs.writeFileSync(meta, fs.readFileSync(meta, 'utf8').replace('{', '['))
    const found = await world.kvar(['verify'])
    expect(found.code).toBe(20)
    expect(found.stdout).toContain('branch.json')
    expect((await world.kvar(['branches', 'promote', '0000000000000001-0000000000000002'])).code).toBe(4)
    expect((await world.kvar(['branches', 'throw'])).code).toBe(2)
  })
})

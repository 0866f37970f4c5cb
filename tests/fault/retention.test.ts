/*
 * Goal: tidying a log disturbs nobody: a keeper does it by itself, `kvar prune` says beforehand what it will
 * do, a restore that is under way goes on, and Litestream restores the log before, during and after.
 * Method: real keepers and the real command line on folders; a real SQLite history spread over weeks; the
 * real Litestream code (npm `litestream-vfs`, in a child process).
 */
import { execFile } from 'node:child_process'
import * as fs from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { listVersionLines } from '../../packages/kvar/src/keeper/list-log.ts'
import { createLineage, lineageText } from '../../packages/kvar/src/log/lineage.ts'
import type { LogFile } from '../../packages/kvar/src/log/log-layout.ts'
import { restoreToFile } from '../../packages/kvar/src/log/restore.ts'
import { Retention } from '../../packages/kvar/src/log/retention.ts'
import type { VersionLog } from '../../packages/kvar/src/log/version-log.ts'
import { systemPlatform } from '../../packages/kvar/src/platform/system.ts'
import { FamilyCalendar } from '../simulation/family-calendar.ts'
import { KeeperWorld, logIn, rowsIn, waitFor } from '../support/keeper-world.ts'
import { seeded } from '../support/log-history.ts'

const DAY = 24 * 3_600_000
const BEGIN = Date.UTC(2026, 8, 1, 7)
const DAYS = 24
const PER_DAY = 12
const KEEP = { all: '3d', hourly: '6d', daily: '1y', monthly: 'forever' }
const LINEAGE = 0xca1e0da2n
const KVAR = join(import.meta.dirname, '../../packages/kvar/bin/kvar.js')
const missing = whyMissing()

let folder = ''
beforeEach(() => {
  folder = fs.mkdtempSync(join(tmpdir(), 'kvar-tidy-'))
})
afterEach(() => fs.rmSync(folder, { recursive: true, force: true }))

/** Weeks of a calendar in a folder, and the database as its newest version has it. */
async function writeWeeks(): Promise<{ log: VersionLog; content: Uint8Array; head: number }> {
  const log = await logIn(join(folder, 'log'))
  const calendar = new FamilyCalendar(join(folder, 'calendar.db'), seeded(3))
  await createLineage(log.target, { lineage: lineageText(LINEAGE), createdAtMs: BEGIN })
  const retention = retentionOf(log)
  let head = 0
  for (let day = 0; day < DAYS; day++) {
    // A keeper was there now and then, and made a snapshot, but never removed anything.
    if (day % 5 === 4) await retention.compactNext(head)
    for (let i = 0; i < PER_DAY; i++) {
      const atMs = BEGIN + day * DAY + i * 17 * 60_000
      await log.append(++head, calendar.change(head, atMs, atMs, LINEAGE), atMs)
    }
  }
  const content = new Uint8Array(calendar.content)
  calendar.close()
  return { log, content, head }
}

function retentionOf(log: VersionLog): Retention {
  return new Retention({ log, keep: KEEP, platform: systemPlatform, scratchPath: join(folder, 'scratch') })
}

describe('a keeper', () => {
  let world: KeeperWorld
  beforeEach(() => {
    world = new KeeperWorld()
  })
  afterEach(() => world.end())

  it('makes a range of what was appended, on the ledger and on a follower', { timeout: 90_000 }, async () => {
    const path = world.path('app.db')
    const targets = [world.path('ledger'), world.path('follower')]
    const persistence = await world.open(path, { targets: targets.map((target) => `folder:${target}`) })
    const database = world.database(path)
    database.exec('CREATE TABLE note (id INTEGER PRIMARY KEY, body TEXT)')
    for (let i = 0; i < 6; i++) {
      database.exec(`INSERT INTO note (body) VALUES ('milk ${i}')`)
      await persistence.flush()
    }
    for (const target of targets) {
      const ranges = () =>
        fs.existsSync(join(target, 'ltx/1')) && fs.readdirSync(join(target, 'ltx/1')).length > 0
      await waitFor(`a range lies in ${target}`, ranges, 40_000)
      expect(await rowsIn(target, world.folder, 'SELECT count(*) AS n FROM note')).toEqual([{ n: 6 }])
    }
    expect((await persistence.status()).notes).toEqual([])
  })
})

describe('kvar prune', () => {
  async function prune(...words: string[]): Promise<Record<string, unknown>> {
    const database = join(folder, 'app.db')
    const target = `folder:${join(folder, 'log')}`
    const { all, hourly, daily } = KEEP
    const { stdout } = await promisify(execFile)(process.execPath, [KVAR, 'prune', '--json', ...words], {
      env: {
        PATH: process.env.PATH,
        KVAR_DB: database,
        KVAR_TARGETS: target,
        KVAR_KEEP: `all=${all},hourly=${hourly},daily=${daily}`,
      },
    })
    return JSON.parse(stdout.trim().split('\n').at(-1) as string) as Record<string, unknown>
  }
  const keysOf = (document: Record<string, unknown>) =>
    (document.remove as Array<{ key: string }>).map(({ key }) => key).sort()

  it('says what would go and why, then does just that', { timeout: 120_000 }, async () => {
    const { log, content, head } = await writeWeeks()
    const before = await log.listFiles()
    const foreseen = await prune('--dry-run')
    expect(await log.listFiles()).toEqual(before)
    expect(foreseen).toMatchObject({ dryRun: true, newestVersion: head })
    for (const { why } of foreseen.remove as Array<{ why: string }>) expect(why).toMatch(/\w+ .* \w+/)
    const done = await prune()
    expect(keysOf(done)).toEqual(keysOf(foreseen))
    expect(keysOf(done).length).toBeGreaterThan(80)
    const left = new Set((await log.listFiles()).map(({ key }) => key))
    expect(keysOf(done).filter((key) => left.has(key))).toEqual([])
    expect(
      before
        .filter(({ key }) => !left.has(key))
        .map(({ key }) => key)
        .sort(),
    ).toEqual(keysOf(done))
    expect(Buffer.compare(await imageOf(log), content)).toBe(0)
    expect(keysOf(await prune())).toEqual([])
    await expectEveryListedVersion(log)
  })
})

describe('a restore', () => {
  it('that was planned before the removal goes on by another way', { timeout: 60_000 }, async () => {
    const { log, content, head } = await writeWeeks()
    const plan = await log.plan({ kind: 'latest' })
    const retention = retentionOf(log)
    while (await retention.compactNext(head));
    expect((await retention.removeDue(head, { graceMs: 0 })).length).toBeGreaterThan(80)
    const path = join(folder, 'late.db')
    await restoreToFile({ log, plan, path, platform: systemPlatform })
    expect(Buffer.compare(fs.readFileSync(path), content)).toBe(0)
  })
})

describe(`Litestream${missing === undefined ? '' : ` (left out: ${missing})`}`, () => {
  it.skipIf(missing !== undefined)(
    'restores the log before, during and after',
    { timeout: 120_000 },
    async () => {
      const { log, content, head } = await writeWeeks()
      await expectHydration(content)
      const retention = retentionOf(log)
      while (await retention.compactNext(head));
      await expectHydration(content)
      const { remove } = await retention.survey()
      expect(remove.length).toBeGreaterThan(80)
      await log.target.remove(everyOther(remove.map(({ file }) => file)))
      await expectHydration(content)
      expect((await retention.removeDue(head, { graceMs: 0 })).length).toBeGreaterThan(40)
      await expectHydration(content)
    },
  )
})

/** Versions that only the end of a range or a snapshot still holds are listed as well, and all can be restored. */
async function expectEveryListedVersion(log: VersionLog): Promise<void> {
  const single: LogFile[] = []
  for await (const file of log.listVersions()) single.push(file)
  const listed = await listVersionLines(log, { limit: 10_000 })
  expect(listed.length).toBeGreaterThan(single.length)
  for (const { version } of listed) {
    expect((await log.plan({ kind: 'version', version })).version).toBe(version)
  }
}

function everyOther(files: LogFile[]): string[] {
  return files.filter((_, index) => index % 2 === 0).map(({ key }) => key)
}

async function imageOf(log: VersionLog): Promise<Uint8Array> {
  const path = join(folder, 'image.db')
  await restoreToFile({ log, plan: await log.plan({ kind: 'latest' }), path, platform: systemPlatform })
  const bytes = fs.readFileSync(path)
  fs.rmSync(path)
  return bytes
}

async function expectHydration(expected: Uint8Array): Promise<void> {
  const [out, logFile] = [join(folder, 'out.db'), join(folder, 'litestream.log')]
  for (const path of [out, logFile]) fs.rmSync(path, { force: true })
  const child = join(import.meta.dirname, '../interop/litestream-hydrate.mjs')
  await promisify(execFile)(process.execPath, [child, logFile, '30000'], {
    env: {
      PATH: process.env.PATH,
      LITESTREAM_REPLICA_URL: `file://${join(folder, 'log')}`,
      LITESTREAM_LOG_FILE: logFile,
      LITESTREAM_LOG_LEVEL: 'DEBUG',
      LITESTREAM_HYDRATION_ENABLED: 'true',
      LITESTREAM_HYDRATION_PATH: out,
    },
  })
  expect(Buffer.compare(fs.readFileSync(out), expected)).toBe(0)
}

function whyMissing(): string | undefined {
  try {
    createRequire(import.meta.url)('litestream-vfs').getLoadablePath()
    return undefined
  } catch (thrown) {
    return thrown instanceof Error ? (thrown.message.split('\n')[0] ?? '') : String(thrown)
  }
}

// Goal: a keeper rehearses the restore by itself and tells what came out of it: proved, with date and
// duration, or "Not safe" with the next step, until it has been mended (PROOF 22).
// Method: real keepers with short delays; objects of the target damaged, removed and put back;
// a full second file system as "another disk".
import * as fs from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import type { DatabasePersistence, KeeperStatus } from '../../packages/kvar/src/index.ts'
import { KeeperWorld, waitFor } from '../support/keeper-world.ts'

const OTHER_DISK = fs.existsSync('/dev/shm') ? '/dev/shm' : '/tmp'

let world: KeeperWorld
let elsewhere: string
beforeEach(() => {
  world = new KeeperWorld()
  elsewhere = fs.mkdtempSync(join(OTHER_DISK, 'kvar-drill-'))
})
afterEach(async () => {
  await world.end()
  fs.rmSync(elsewhere, { recursive: true, force: true })
})

async function until(
  persistence: DatabasePersistence,
  what: string,
  isMet: (status: KeeperStatus) => boolean,
): Promise<KeeperStatus> {
  let seen: KeeperStatus | undefined
  await waitFor(
    what,
    async () => {
      seen = await persistence.status()
      return isMet(seen)
    },
    30_000,
  )
  return seen as KeeperStatus
}

async function protect(limits: object, targets = [`folder:${elsewhere}/log`]) {
  const path = world.path('app.db')
  const database = world.database(path)
  database.exec('PRAGMA journal_mode=WAL; CREATE TABLE IF NOT EXISTS t(id INTEGER PRIMARY KEY, text)')
  const persistence = await world.open(path, { targets, limits: { scrubAfterMs: 0, ...limits } })
  for (let round = 0; round < 3; round++) {
    database.exec(`INSERT INTO t(text) VALUES('${'x'.repeat(500)}${round}')`)
    await persistence.flush()
  }
  return { path, persistence, database }
}

function leftOver(path: string): string[] {
  const folder = join(dirname(path), `.${basename(path)}-kvar`)
  return fs.readdirSync(folder).filter((name) => name.endsWith('.tmp'))
}

it('says when the last restore was proved, and how long it took', async () => {
  const { path, persistence } = await protect({ drillAfterMs: 500 })
  const status = await until(persistence, 'a drill', ({ provedDrill }) => provedDrill !== null)
  expect(status.sentence).toMatch(
    /^Safe: .* Last proved restore: (today|yesterday) \d\d:\d\d, \d+\.\d s, identical\.$/,
  )
  expect(status.provedDrill).toMatchObject({
    result: 'identical',
    problem: null,
    target: `folder:${elsewhere}/log`,
  })
  expect(status.provedDrill?.versions[0]).toBe(status.version)
  expect(status.provedDrill?.versions).toHaveLength(2)
  expect(leftOver(path)).toEqual([])
})

it('remembers it over the keeper’s end, and takes turns with followers', async () => {
  const targets = [`folder:${elsewhere}/log`, `folder:${elsewhere}/second`]
  const { persistence } = await protect({ drillAfterMs: 300 }, targets)
  const first = await until(persistence, 'a drill', ({ provedDrill }) => provedDrill !== null)
  await persistence.close()
  const again = await world.open(world.path('app.db'), {
    targets,
    limits: { scrubAfterMs: 0, drillAfterMs: 2500 },
  })
  expect((await again.status()).provedDrill).toEqual(first.provedDrill)
  const second = await until(again, 'the next drill', ({ drill }) => drill?.at !== first.drill?.at)
  expect([first.drill?.target, second.drill?.target]).toEqual(targets)
})

it('turns to Not safe when a restore would fail, and names object, version and next step', async () => {
  const { path, persistence } = await protect({ drillAfterMs: 1500 })
  const { version } = await persistence.flush()
  const object = join(elsewhere, 'log/ltx/0', `${hex(version)}-${hex(version)}.ltx`)
  const good = fs.readFileSync(object)
  fs.writeFileSync(object, Buffer.from(good).fill(0, good.length - 8))
  const status = await until(persistence, 'the drill fails', ({ drill }) => drill !== null)
  expect(status.safety).toBe('not-safe')
  expect(status.sentence).toMatch(
    /^Not safe: A restore rehearsed from folder:.* failed \(today \d\d:\d\d\): /,
  )
  expect(status.sentence).toContain(basename(object))
  expect(status.sentence).toContain(`Next: version ${version - 1} is the nearest that can be restored here`)
  expect(status.drill).toMatchObject({ result: 'failed', problem: { code: 'DAMAGED' } })
  expect(status.provedDrill).toBeNull()
  expect(leftOver(path)).toEqual([])
})

it('finds by the scrub that the newest version is gone from the ledger', async () => {
  const { persistence } = await protect({ scrubAfterMs: 1500, drillAfterMs: 0 })
  const { version } = await persistence.flush()
  fs.rmSync(join(elsewhere, 'log/ltx/0', `${hex(version)}-${hex(version)}.ltx`))
  const status = await until(persistence, 'the scrub', ({ scrub }) => scrub !== null)
  const told = await until(persistence, 'it is told', ({ safety }) => safety === 'not-safe')
  expect(status.scrub).toMatchObject({ drifted: 0 })
  expect(told.sentence).toMatch(/^Not safe: The newest version \(\d+\) on folder:.*not there any more/)
})

it('is not carried out and no verdict while the target is away, and never keeps the keeper from leaving', async () => {
  const { persistence } = await protect({ drillAfterMs: 1500, targetTries: 1 })
  fs.renameSync(`${elsewhere}/log`, `${elsewhere}/away`)
  const status = await until(persistence, 'a note', ({ notes }) => notes.length > 0)
  expect(status.drill).toBeNull()
  expect(status.safety).not.toBe('not-safe')
  fs.renameSync(`${elsewhere}/away`, `${elsewhere}/log`)
  const begun = performance.now()
  await persistence.close()
  expect(performance.now() - begun).toBeLessThan(5000)
})

function hex(version: number): string {
  return version.toString(16).padStart(16, '0')
}

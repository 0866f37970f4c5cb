/*
 * Goal: one log has one owner (R3, R4). Whoever comes late is told, its changes are kept as a branch,
 * and nothing that was acknowledged is lost or overwritten.
 * Method: two machines on this one: two databases under different paths with the same folder targets,
 * each with keepers of its own.
 */
import * as fs from 'node:fs'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { branchLog } from '../../packages/kvar/src/log/branches.ts'
import { restoreToFile } from '../../packages/kvar/src/log/restore.ts'
import { systemPlatform } from '../../packages/kvar/src/platform/system.ts'
import {
  type AppProcess,
  branchesIn,
  isAlive,
  KeeperWorld,
  keeperProcessId,
  killProcess,
  logIn,
  newestVersionIn,
  rowsIn,
  rowsOf,
  waitFor,
} from '../support/keeper-world.ts'

/** How long a claimant may take beside an owner under load. */
const GET_IN_MS = 8000
const NOTES = 'SELECT body FROM note ORDER BY body'

let world: KeeperWorld
let target: string
beforeEach(() => {
  world = new KeeperWorld()
  target = world.path('target')
})
afterEach(() => world.end())

async function machine(name: string, limits: object = {}, options: object = {}): Promise<AppProcess> {
  const path = world.path(name, 'app.db')
  return world.app(path, { targets: [`folder:${target}`], interval: '50ms', limits, ...options })
}

async function firstMachine(limits: object = {}): Promise<AppProcess> {
  const app = await machine('first', limits)
  await app.sql('CREATE TABLE note(id INTEGER PRIMARY KEY, body)')
  await app.sql("INSERT INTO note(body) VALUES ('a common past')")
  await app.flush()
  return app
}

async function notesIn(version?: number): Promise<unknown[]> {
  return (await rowsIn(target, world.folder, NOTES, version)).map((row) => row.body)
}

async function notesOfBranch(id: string): Promise<unknown[]> {
  const log = branchLog((await logIn(target)).target, id)
  const path = world.path(`branch-${id}.db`)
  await restoreToFile({ log, plan: await log.plan({ kind: 'latest' }), path, platform: systemPlatform })
  return rowsOf(path, NOTES).map((row) => row.body)
}

describe('two machines on one log', { timeout: 60_000 }, () => {
  it('the late one is fenced: flush is rejected, its changes become a branch, the log is the winner’s', async () => {
    const first = await firstMachine()
    const second = await machine('second')
    expect(await second.all(NOTES)).toEqual([{ body: 'a common past' }])
    await second.sql("INSERT INTO note(body) VALUES ('the winner')")
    await second.flush()
    await first.sql("INSERT INTO note(body) VALUES ('too late')")
    await expect(first.flush()).rejects.toMatchObject({ code: 'FENCED' })
    await expect(first.flush()).rejects.toMatchObject({ code: 'FENCED' })
    await waitFor('onFenced was called', async () => (await first.call<string[]>('fenced')).length > 0)
    expect(await first.call('fenced')).toEqual(['FENCED'])
    expect((await first.status()).state).toBe('fenced')
    expect((await first.status()).safety).toBe('not-safe')
    await second.sql("INSERT INTO note(body) VALUES ('z goes on')")
    await second.flush()
    expect(await notesIn()).toEqual(['a common past', 'the winner', 'z goes on'])
    const branches = await branchesIn(target)
    expect(branches.length).toBe(1)
    expect(await notesOfBranch(branches[0]?.id as string)).toEqual(['a common past', 'too late'])
  })

  it('a fenced one that starts again begins with the newest version and keeps its branch, one only', async () => {
    const first = await firstMachine()
    const second = await machine('second')
    await second.sql("INSERT INTO note(body) VALUES ('the winner')")
    await second.flush()
    await first.sql("INSERT INTO note(body) VALUES ('too late')")
    await expect(first.flush()).rejects.toMatchObject({ code: 'FENCED' })
    await first.kill()
    await keeperGone(world.path('first', 'app.db'))
    const again = await machine('first')
    expect(again.report?.restored).toBe(true)
    expect(await again.all(NOTES)).toEqual([{ body: 'a common past' }, { body: 'the winner' }])
    await again.sql("INSERT INTO note(body) VALUES ('welcome back')")
    await again.flush()
    expect(await notesIn()).toEqual(['a common past', 'the winner', 'welcome back'])
    expect((await branchesIn(target)).length).toBe(1)
  })

  it('one that was cut off from the ledger while the other went on is fenced when it comes back', async () => {
    const first = await firstMachine({ targetTries: 1 })
    const second = await machine('second')
    const away = world.path('unplugged')
    // Only for the first machine's eyes, the ledger is gone: its mount point is another folder.
    fs.renameSync(target, away)
    await first.sql("INSERT INTO note(body) VALUES ('written in the dark')")
    const flushed = first.flush().then(
      () => 'stored',
      (thrown: { code: string }) => thrown.code,
    )
    await waitFor('the keeper met the trouble', async () => (await first.status()).targets[0]?.problem)
    await first.call('closeDatabase')
    process.kill(keeperProcessId(world.path('first', 'app.db')), 'SIGSTOP')
    fs.renameSync(away, target)
    await second.sql("INSERT INTO note(body) VALUES ('the winner')")
    await second.flush()
    process.kill(keeperProcessId(world.path('first', 'app.db')), 'SIGCONT')
    expect(await flushed).toBe('FENCED')
    expect(await notesIn()).toEqual(['a common past', 'the winner'])
    const [branch] = await branchesIn(target)
    expect(await notesOfBranch(branch?.id as string)).toEqual(['a common past', 'written in the dark'])
  })

  it('one that is cut off from a follower only goes on, and the follower gets everything later', async () => {
    const follower = world.path('follower')
    const targets = [`folder:${target}`, `folder:${follower}`]
    const app = await machine('first', { targetTries: 1 }, { targets })
    await app.sql('CREATE TABLE note(id INTEGER PRIMARY KEY, body)')
    await app.flush()
    await waitFor('the follower has it', async () => (await app.status()).targets[1]?.version)
    const away = world.path('unplugged')
    fs.renameSync(follower, away)
    await app.sql("INSERT INTO note(body) VALUES ('without the follower')")
    const { version } = await app.flush()
    await waitFor('the follower is missed', async () => (await app.status()).targets[1]?.problem)
    fs.renameSync(away, follower)
    await waitFor('it has caught up', async () => (await app.status()).targets[1]?.version === version)
    expect((await rowsIn(follower, world.folder, NOTES)).length).toBe(1)
    expect(await branchesIn(follower)).toEqual([])
  })
})

describe('a deploy', { timeout: 60_000 }, () => {
  it('that is rolled back: the new instance only claims and dies, the old one takes the log back', async () => {
    const first = await firstMachine({ takeBackMs: 1500 })
    const second = await machine('second')
    const claimed = await newestVersionIn(target)
    await second.kill()
    await keeperGone(world.path('second', 'app.db'))
    expect(await newestVersionIn(target)).toBe(claimed)
    await first.sql("INSERT INTO note(body) VALUES ('after the roll-back')")
    const { version } = await first.flush()
    expect(version).toBe(claimed + 1)
    expect(await notesIn()).toEqual(['a common past', 'after the roll-back'])
    expect(await first.call('fenced')).toEqual([])
    expect((await first.status()).state).toBe('protecting')
    expect(await branchesIn(target)).toEqual([])
  })

  // The owner's versions follow each other closely, or as closely as they can.
  it.each([
    { pace: 'every 100 ms', pauseMs: 100, flushing: false },
    { pace: 'without pause', pauseMs: 1, flushing: true },
  ])(
    'gets in within a few seconds although the owner stores versions $pace',
    async ({ pauseMs, flushing }) => {
      const first = await firstMachine()
      await first.call('writeUntilTold', {
        text: 'INSERT INTO note(body) VALUES (randomblob(2000))',
        pauseMs,
      })
      let going = flushing
      const flushLoop = (async () => {
        while (going) await first.flush().catch(() => (going = false))
      })()
      const late = new Promise<'too late'>((resolve) => setTimeout(() => resolve('too late'), GET_IN_MS))
      const opened = machine('second')
      opened.catch(() => undefined)
      const second = await Promise.race([opened, late])
      going = false
      await first.call('stopWriting')
      expect(second).not.toBe('too late')
      const owner = await opened
      await owner.sql("INSERT INTO note(body) VALUES ('~ the new owner')")
      await owner.flush()
      expect(await notesIn()).toContain('~ the new owner')
      // The former owner waits for the new one's first change before it gives up.
      await flushLoop
    },
  )

  it('of two instances at the same moment: both start, and exactly one owns the log', async () => {
    await (await firstMachine()).call('close')
    for (let round = 0; round < 2; round++) {
      const names = [`left-${round}`, `right-${round}`]
      const apps = await Promise.all(names.map((name) => machine(name, { takeBackMs: 60_000 })))
      for (const [i, app] of apps.entries()) await app.sql(`INSERT INTO note(body) VALUES ('${names[i]}')`)
      const outcomes = await Promise.allSettled(apps.map((app) => app.flush()))
      const owners = names.filter((_name, i) => outcomes[i]?.status === 'fulfilled')
      expect(owners.length).toBe(1)
      expect((await notesIn()).filter((body) => names.includes(String(body)))).toEqual(owners)
      expect((await branchesIn(target)).length).toBe(round + 1)
      await Promise.all(apps.map((app) => app.kill()))
      for (const name of names) await keeperGone(world.path(name, 'app.db'))
    }
  })
})

/** Ends the keeper of an app that is gone, if it has not left by itself. */
async function keeperGone(path: string): Promise<void> {
  const id = keeperProcessId(path)
  killProcess(id)
  await waitFor('the keeper is gone', () => !isAlive(id))
}

/*
 * Goal: what the targets answer, or do not answer, never makes an app start over its past: silence is
 * not emptiness, an empty ledger is filled from whoever has versions, another database's log is refused.
 * Method: folder targets on two devices, made silent, wiped, foreign or late; keepers in this process.
 */
import * as fs from 'node:fs'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { waitFor } from '../support/keeper-world.ts'
import { CrashingMachine } from '../support/start-crash.ts'
import { add, makeTable, type Rows, TestMachine } from '../support/start-machine.ts'
import { elsewhere, FOUR, ONE, past, THREE, TWO } from '../support/start-scenarios.ts'

let machine: TestMachine
beforeEach(async () => {
  machine = await TestMachine.create()
})
afterEach(() => machine.destroy())

async function expectAfterStart(action: string, rows: Rows, branches: Rows[] = []): Promise<void> {
  const report = await machine.live(() => undefined)
  expect({ action: report.action, rows: machine.rows() }).toEqual({ action, rows })
  expect((await machine.headRows())?.rows).toEqual(rows)
  expect(await machine.branches()).toEqual(branches)
}

/** A past that both targets hold. */
async function pastOnBoth(): Promise<void> {
  machine.overrides.targets = machine.bothTargets()
  machine.overrides.durable = 'all'
  await past(machine)
}

describe('the ledger does not answer', () => {
  test('it answers in time: nothing happened', async () => {
    await past(machine)
    machine.wipeDatabase()
    machine.silent.add(machine.ledgerPath)
    const started = machine.start()
    await waitFor('it was asked twice', () => machine.asked >= 2)
    machine.silent.clear()
    const { keeper, report } = await started
    expect(report.action).toBe('restored-from-log')
    await machine.closeKeeper(keeper)
    expect(machine.rows()).toEqual([ONE, TWO])
  })

  test.each([
    ['missing', () => machine.wipeDatabase()],
    ['there', () => undefined],
  ])('onUnreachable fail, the database %s: it stops and changes nothing', async (_word, arrange) => {
    await past(machine)
    arrange()
    const before = machine.saveFiles()
    machine.silent.add(machine.ledgerPath)
    machine.overrides.startTimeoutMs = 50
    await expect(machine.start()).rejects.toMatchObject({ code: 'UNREACHABLE' })
    expect(machine.saveFiles()).toEqual(before)
  })

  test('onUnreachable stale: goes on with what is here, and its changes are a branch afterwards', async () => {
    await past(machine)
    await elsewhere(machine)
    machine.silent.add(machine.ledgerPath)
    machine.overrides = { startTimeoutMs: 50, onUnreachable: 'stale' }
    await machine.liveAndDie((app) => add(app, FOUR))
    machine.silent.clear()
    await expectAfterStart('diverged', [ONE, TWO, THREE], [[ONE, TWO, FOUR]])
  })

  test('onUnreachable stale on an empty disk: what was written meanwhile is a branch, not a refusal', async () => {
    await past(machine)
    machine.wipeDatabase()
    machine.wipeState()
    machine.silent.add(machine.ledgerPath)
    machine.overrides = { startTimeoutMs: 50, onUnreachable: 'stale' }
    const { keeper } = await machine.start()
    const app = machine.openApp()
    add(makeTable(app), FOUR)
    machine.closeApp(app)
    await expect(machine.closeKeeper(keeper, 200)).rejects.toThrow()
    machine.silent.clear()
    await expectAfterStart('diverged', [ONE, TWO], [[FOUR]])
  })
})

describe('the ledger is empty', () => {
  test.each([
    ['the database is missing', () => machine.wipeDatabase()],
    ['the database is there', () => undefined],
  ])('and a follower has versions, %s: it is filled first', async (_word, arrange) => {
    await pastOnBoth()
    fs.rmSync(machine.ledgerPath, { recursive: true })
    arrange()
    const report = await machine.live(() => undefined)
    expect(['restored-from-log', 'kept-local']).toContain(report.action)
    expect(machine.rows()).toEqual([ONE, TWO])
    expect((await machine.headRows())?.rows).toEqual([ONE, TWO])
    expect((await machine.headRows())?.version).toBeGreaterThan(2)
  })

  test('and the filling crashes at any change: the next start fills it all the same', async () => {
    await machine.destroy()
    machine = await TestMachine.create({}, { oneDisk: true })
    await pastOnBoth()
    fs.rmSync(machine.ledgerPath, { recursive: true })
    machine.wipeDatabase()
    const image = await machine.photograph()
    try {
      for (let k = 1; ; k++) {
        await machine.bringBack(image)
        const life = new CrashingMachine(k)
        const keeper = machine.keeper(life)
        const started = keeper.start(false).then(
          () => life.spare(),
          () => undefined,
        )
        await Promise.race([started, life.happened])
        await machine.closeKeeper(keeper, 0)
        if (!life.crashed) break
        await machine.live(() => undefined)
        expect(machine.rows(), life.at).toEqual([ONE, TWO])
        expect((await machine.headRows())?.rows, life.at).toEqual([ONE, TWO])
        expect((await machine.headRows(machine.followerPath))?.rows, life.at).toEqual([ONE, TWO])
      }
    } finally {
      fs.rmSync(image, { recursive: true })
    }
  })

  test.each([
    ['missing', () => machine.wipeDatabase()],
    ['there', () => undefined],
  ])('and a follower does not answer, the database %s: that is not empty', async (_word, arrange) => {
    await pastOnBoth()
    fs.rmSync(machine.ledgerPath, { recursive: true })
    arrange()
    const before = machine.saveFiles()
    machine.silent.add(machine.followerPath)
    machine.overrides.startTimeoutMs = 50
    await expect(machine.start()).rejects.toMatchObject({ code: 'UNREACHABLE' })
    expect(machine.saveFiles()).toEqual(before)
    expect(await machine.headRows()).toBeUndefined()
  })
})

describe('the log of another database', () => {
  test.each([
    ['rows', () => undefined],
    ['no readable page', () => fs.writeFileSync(machine.databasePath, 'Dear diary')],
  ])('is refused by name, the database having %s', async (_word, arrange) => {
    const other = await machine.sibling()
    await past(other)
    fs.renameSync(machine.ledgerPath, `${machine.ledgerPath}-other`)
    await past(machine)
    fs.rmSync(machine.ledgerPath, { recursive: true })
    fs.renameSync(`${machine.ledgerPath}-other`, machine.ledgerPath)
    arrange()
    const before = machine.saveFiles()
    await expect(machine.start()).rejects.toMatchObject({
      code: 'LINEAGE_MISMATCH',
      message: expect.stringContaining(machine.ledgerPath),
    })
    expect(machine.saveFiles()).toEqual(before)
  })

  test('on a follower does not stop the app, and is left alone', async () => {
    const other = await machine.sibling()
    await past(other)
    fs.cpSync(machine.ledgerPath, machine.followerPath, { recursive: true, preserveTimestamps: true })
    fs.rmSync(machine.ledgerPath, { recursive: true })
    const foreign = await machine.headRows(machine.followerPath)
    await past(machine)
    machine.overrides.targets = machine.bothTargets()
    const { keeper } = await machine.start()
    const refused = () =>
      keeper.status().targets.find((target) => target.problem?.code === 'LINEAGE_MISMATCH')
    await waitFor('the status names it', refused)
    await machine.closeKeeper(keeper)
    expect(await machine.headRows(machine.followerPath)).toEqual(foreign)
  })
})

describe('the database is deleted and its state survives', () => {
  test('and the ledger is empty and nobody else has versions: the app does not start empty', async () => {
    await past(machine)
    fs.rmSync(machine.ledgerPath, { recursive: true })
    machine.wipeDatabase()
    await expect(machine.live((app) => add(makeTable(app), FOUR))).rejects.toMatchObject({
      code: 'NO_BACKUP',
    })
    expect(fs.existsSync(machine.databasePath)).toBe(false)
  })
})

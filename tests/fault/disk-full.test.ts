/**
 * Goal: a full disk stops neither the app nor what is stored elsewhere, leaves no half copy, and when
 * there is room again everything is made up for by itself (PROOF 16).
 * Method: the disk-full loop at its push size, with a lack of room put under single calls; then a real
 * small file system under the ledger, and under the database. More rounds:
 * `npm run proof -- disk-full --rounds 1000 --seed 1`.
 */
import * as fs from 'node:fs'
import { join } from 'node:path'
import type { DatabaseSync } from 'node:sqlite'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { Life } from '../support/crash-files-life.ts'
import { add, makeTable, type Rows, row, rowsOf, TestMachine } from '../support/start-machine.ts'
import { diskFullLoop } from './disk-full.ts'
import { SmallDisk, whyNoSmallDisk } from './disk-full-mount.ts'
import { assertAfterHealthyStart, assertCopiesWhole, assertHeld } from './io-fault-checks.ts'

const ROUNDS = 34
const SQLITE_FULL = 13
/** On a clock that skips waiting. */
const LONG_MS = 700_000
const without = whyNoSmallDisk()
const title = without === undefined ? '' : ` (left out: ${without})`

it(`a lack of room at single calls: ${ROUNDS} rounds`, { timeout: 600_000, retry: 0 }, async () => {
  const { violations, failures } = await diskFullLoop({ rounds: ROUNDS, seed: 1 })
  expect(violations, failures.join('\n')).toBe(0)
})

describe.skipIf(without !== undefined)(`a real small disk${title}`, () => {
  let machine: TestMachine
  let disk: SmallDisk
  let life: Life
  let app: DatabaseSync
  let committed: Rows = []

  beforeEach(async () => {
    committed = []
    machine = await TestMachine.create({ copies: ['json', 'backup'] }, { oneDisk: true })
    machine.overrides.targets = machine.bothTargets()
  })
  afterEach(async () => {
    machine.closeApp(app)
    await life.kill()
    disk.unmount()
    await machine.destroy()
  })

  async function begin(journal: 'WAL' | 'DELETE'): Promise<void> {
    life = new Life(machine)
    await life.clock.within(LONG_MS, 'a start', life.keeper.start(false))
    app = makeTable(machine.openApp(), journal)
    commit(1)
    await life.keeper.flush()
  }

  function commit(id: number): void {
    const added = row(id, 'x'.repeat(3000))
    add(app, added)
    committed.push(added)
  }

  async function expectMadeUp(): Promise<void> {
    await life.clock.within(LONG_MS, 'a flush with room', life.keeper.flush())
    await life.clock.pass(LONG_MS)
    expect(rowsOf(`${machine.databasePath}.backup`)).toEqual(committed)
    machine.closeApp(app)
    expect(await life.close(LONG_MS)).toBeUndefined()
    await assertAfterHealthyStart(machine, { committed, acknowledged: committed })
    app = machine.openApp()
  }

  it.each(['WAL', 'DELETE'] as const)(
    'under the ledger, in journal mode %s',
    { retry: 0 },
    async (journal) => {
      disk = SmallDisk.mount(machine.away, 512)
      await begin(journal)
      const acknowledged = [...committed]
      disk.fill()
      for (let id = 2; id < 8; id++) commit(id)
      const flushed = life.keeper.flush()
      await life.clock.pass(60_000)
      expect(life.keeper.status().targets[0]?.problem).toMatchObject({ code: 'TARGET_FULL' })
      await assertHeld(machine, acknowledged)
      expect(fs.readdirSync(join(machine.ledgerPath, 'ltx/0'))).toHaveLength(1)
      disk.makeRoom()
      await life.clock.within(LONG_MS, 'what waited for room', flushed)
      await assertHeld(machine, committed)
      await expectMadeUp()
    },
  )

  it.each(['WAL', 'DELETE'] as const)(
    'under the database, in journal mode %s',
    { retry: 0 },
    async (journal) => {
      disk = SmallDisk.mount(machine.appFolder, 1024)
      await begin(journal)
      commit(2)
      disk.fill()
      // The app hears of it from its own SQLite, loses nothing, and what it had committed is stored elsewhere.
      expect(() => {
        for (;;) app.exec(`INSERT INTO notes (text) VALUES ('${'y'.repeat(100_000)}')`)
      }).toThrow(expect.objectContaining({ errcode: SQLITE_FULL }))
      await life.clock.within(LONG_MS, 'a flush', life.keeper.flush())
      await assertHeld(machine, committed)
      await life.clock.pass(60_000)
      await assertCopiesWhole(machine, committed)
      disk.makeRoom()
      commit(3)
      await expectMadeUp()
    },
  )
})

/*
 * Goal: a disk that went back in time (a power cut with synchronous=NORMAL, a snapshot of a volume, a
 * lost state folder) never takes stored content with it: the newest version is back, and what was here
 * and is held nowhere else is a branch. A disk that did not go back is never taken for one that did.
 * Method: older files are saved during a life and put back after its death, in every mixture a power
 * cut can leave: fewer frames, an older WAL generation, no WAL, everything including the state.
 */
import * as fs from 'node:fs'
import type { DatabaseSync } from 'node:sqlite'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import type { Keeper } from '../../packages/kvar/src/keeper/keeper.ts'
import { add, makeTable, type Rows, row, type SavedFiles, TestMachine } from '../support/start-machine.ts'
import { elsewhere, FOUR, ONE, past, THREE, TWO } from '../support/start-scenarios.ts'

let machine: TestMachine
beforeEach(async () => {
  machine = await TestMachine.create()
})
afterEach(() => machine.destroy())

/** What the app finds, what the ledger shows and what is kept aside, after a start and an end. */
async function expectAfterStart(action: string, rows: Rows, branches: Rows[] = []): Promise<void> {
  const report = await machine.live(() => undefined)
  expect({ action: report.action, rows: machine.rows() }).toEqual({ action, rows })
  expect((await machine.headRows())?.rows).toEqual(rows)
  expect(await machine.branches()).toEqual(branches)
}

/** A life in WAL mode without automatic checkpoints; `save` keeps the files as they lie at that moment. */
async function walLife(
  work: (app: DatabaseSync, keeper: Keeper, save: () => void) => Promise<unknown>,
): Promise<SavedFiles> {
  let saved: SavedFiles = new Map()
  await machine.liveAndDie((app, keeper) => {
    app.exec('PRAGMA wal_autocheckpoint=0')
    return work(app, keeper, () => {
      saved = machine.saveFiles()
    })
  })
  return saved
}

describe('a power cut after versions were stored', () => {
  test('fewer frames of the same WAL: the stored content is back', async () => {
    await past(machine, 'WAL')
    const saved = await walLife(async (app, keeper, save) => {
      add(app, THREE)
      await keeper.flush()
      save()
      add(app, FOUR)
      await keeper.flush()
    })
    machine.putBack(saved)
    await expectAfterStart('diverged', [ONE, TWO, THREE, FOUR])
  })

  test('fewer frames, and content that no version holds: it becomes a branch', async () => {
    await past(machine, 'WAL')
    const saved = await walLife(async (app, keeper, save) => {
      add(app, THREE)
      save()
      app.exec('DELETE FROM notes WHERE id = 3')
      add(app, FOUR)
      await keeper.flush()
    })
    machine.putBack(saved)
    await expectAfterStart('diverged', [ONE, TWO, FOUR], [[ONE, TWO, THREE]])
  })

  test('an older generation of the WAL in front again', async () => {
    await past(machine, 'WAL')
    const saved = await walLife(async (app, keeper, save) => {
      add(app, THREE)
      await keeper.flush()
      save()
      // Not from within the keeper's rolling read: it lets the checkpoint pass and the next write begins anew.
      await restartWal(app)
      add(app, FOUR)
      await keeper.flush()
    })
    machine.putBack(saved)
    await expectAfterStart('diverged', [ONE, TWO, THREE, FOUR])
  })

  test.each([
    ['missing', undefined],
    ['empty', Buffer.alloc(0)],
  ])('the WAL is %s', async (_word, bytes) => {
    await past(machine, 'WAL')
    const saved = await walLife(async (app, keeper, save) => {
      add(app, THREE)
      save()
      await keeper.flush()
    })
    saved.set('-wal', bytes && { bytes, modified: new Date() })
    machine.putBack(saved)
    await expectAfterStart('diverged', [ONE, TWO, THREE])
  })

  test('the first rows ever are lost and only the tables are left: not emptied on purpose', async () => {
    const saved = await walLife(async (app, keeper, save) => {
      makeTable(app, 'WAL')
      await keeper.flush()
      save()
      add(app, ONE)
      await keeper.flush()
    })
    machine.putBack(saved)
    await expectAfterStart('diverged', [ONE])
  })

  test('the last version was acknowledged, its note was lost with the commit: it is not undone', async () => {
    await past(machine, 'WAL')
    let saved: SavedFiles = new Map()
    await machine.liveAndDie(
      async (app, keeper) => {
        app.exec('PRAGMA wal_autocheckpoint=0')
        add(app, THREE)
        await keeper.flush()
        saved = machine.saveFiles()
        add(app, FOUR)
        await keeper.flush()
      },
      ({ at }) => at.startsWith('answer of create ltx/0/') && at.endsWith('5.ltx'),
    )
    machine.putBack(saved)
    await expectAfterStart('diverged', [ONE, TWO, THREE, FOUR])
  })

  test('the last version was sent but not noted, and the disk went back behind the one before', async () => {
    await past(machine, 'WAL')
    let saved: SavedFiles = new Map()
    await machine.liveAndDie(
      async (app, keeper) => {
        app.exec('PRAGMA wal_autocheckpoint=0')
        add(app, row(8, 'never stored'))
        saved = machine.saveFiles()
        app.exec('DELETE FROM notes WHERE id = 8')
        add(app, THREE)
        await keeper.flush()
        add(app, FOUR)
        await keeper.flush()
      },
      ({ at }) => at.startsWith('answer of create ltx/0/') && at.endsWith('5.ltx'),
    )
    machine.putBack(saved)
    await expectAfterStart('diverged', [ONE, TWO, THREE, FOUR], [[ONE, TWO, row(8, 'never stored')]])
  })

  test('back to the very state of the .backup: nobody put that there', async () => {
    machine.overrides.copies = ['backup']
    await past(machine, 'WAL')
    const backup = `${machine.databasePath}.backup`
    const saved = await walLife(async (app, keeper, save) => {
      add(app, THREE)
      await keeper.backupDatabase()
      await fileClockMovesOn(backup)
      await restartWal(app)
      save()
      fs.cpSync(backup, `${backup}.saved`, { preserveTimestamps: true })
      add(app, FOUR)
      await keeper.flush()
    })
    machine.putBack(saved)
    fs.renameSync(`${backup}.saved`, backup)
    expect(fs.readFileSync(backup).equals(fs.readFileSync(machine.databasePath))).toBe(true)
    await expectAfterStart('diverged', [ONE, TWO, THREE, FOUR])
  })

  test('the whole folder with its state went back: as if another machine had gone on', async () => {
    await past(machine, 'WAL')
    const before = `${machine.home}/before`
    fs.cpSync(machine.appFolder, before, { recursive: true, preserveTimestamps: true })
    await machine.live((app) => add(app, THREE))
    fs.rmSync(machine.appFolder, { recursive: true })
    fs.renameSync(before, machine.appFolder)
    await expectAfterStart('restored-from-log', [ONE, TWO, THREE])
  })
})

/** Many kernels stamp files with a clock that moves every few milliseconds; written in one such moment two files bear one time. */
async function fileClockMovesOn(path: string): Promise<void> {
  const { mtimeNs } = fs.statSync(path, { bigint: true })
  const probe = `${path}.clock`
  do {
    fs.writeFileSync(probe, '')
    await new Promise((resolve) => setImmediate(resolve))
  } while (fs.statSync(probe, { bigint: true }).mtimeNs === mtimeNs)
  fs.rmSync(probe)
}

/** Moves the whole WAL back into the database, so that the next commit begins it anew. */
async function restartWal(app: DatabaseSync): Promise<void> {
  for (;;) {
    const done = app.prepare('PRAGMA wal_checkpoint(RESTART)').get() as { busy: number }
    if (done.busy === 0) return
    await new Promise((resolve) => setImmediate(resolve))
  }
}

describe('no power cut', () => {
  test('a change that was taken back before the kill stays taken back', async () => {
    await past(machine, 'WAL')
    await walLife(async (app, keeper) => {
      app.exec(`UPDATE notes SET text = 'dentisT' WHERE id = 2`)
      await keeper.flush()
      app.exec(`UPDATE notes SET text = 'dentist' WHERE id = 2`)
    })
    await expectAfterStart('kept-local', [ONE, TWO])
  })

  test('a change that was taken back in a WAL that had begun anew', async () => {
    await past(machine, 'WAL')
    await walLife(async (app, keeper) => {
      app.exec(`UPDATE notes SET text = 'dentisT' WHERE id = 2`)
      await keeper.flush()
      await restartWal(app)
      app.exec(`UPDATE notes SET text = 'dentist' WHERE id = 2`)
    })
    await expectAfterStart('kept-local', [ONE, TWO])
  })

  test('a clean end by the app after the keeper was killed: WAL gone, nothing lost', async () => {
    await past(machine, 'WAL')
    await walLife(async (app, keeper) => {
      add(app, THREE)
      await keeper.flush()
    })
    const app = machine.openApp()
    add(app, FOUR)
    machine.closeApp(app)
    await expectAfterStart('kept-local', [ONE, TWO, THREE, FOUR])
  })

  test('the state is lost with the content ahead, and another machine went on: nothing is lost', async () => {
    await past(machine, 'WAL')
    await walLife(async (app) => add(app, THREE))
    machine.wipeState()
    await elsewhere(machine, FOUR)
    await expectAfterStart('diverged', [ONE, TWO, FOUR], [[ONE, TWO, THREE]])
  })

  test('the state file is torn: as good as lost', async () => {
    await past(machine)
    const path = `${machine.statePath}/state.json`
    fs.truncateSync(path, 40)
    await expectAfterStart('kept-local', [ONE, TWO])
  })
})

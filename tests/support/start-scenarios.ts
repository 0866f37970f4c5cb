import * as fs from 'node:fs'
import type { StartAction } from '../../packages/kvar/src/keeper/status.ts'
import { add, makeTable, type Rows, row, type SavedFiles, type TestMachine } from './start-machine.ts'

/** A row of the start table as it is met on a disk, and what must come of it. */
export interface Scenario {
  name: string
  arrange(machine: TestMachine): Promise<void>
  action: StartAction
  /** What the app finds, and what the ledger's newest version shows afterwards. */
  rows: Rows
  /** Content that must be held as branches, one for each. */
  branches?: Rows[]
  /** The same steps are made in another row, which is cut off at each of them: here it would tell nothing new. */
  stepsAsIn?: string
}

export const ONE = row(1, 'midsummer')
export const TWO = row(2, 'dentist')
export const THREE = row(3, 'swimming')
export const FOUR = row(4, 'choir')

type Journal = 'WAL' | 'DELETE'

/** A first life that leaves versions up to ONE, TWO on the targets, and ends well. */
export async function past(machine: TestMachine, journal: Journal = 'DELETE'): Promise<void> {
  await machine.live(async (app, keeper) => {
    makeTable(app, journal)
    add(app, ONE)
    await keeper.flush()
    add(app, TWO)
  })
}

/** The same app on another machine adds a row of its own. */
export async function elsewhere(machine: TestMachine, added = THREE): Promise<void> {
  const other = await machine.sibling()
  await other.live((app) => add(app, added))
}

/** The copies of the past, with targets that know nothing. */
async function copiesOnly(machine: TestMachine, older?: 'json' | 'backup'): Promise<void> {
  machine.overrides.copies = ['json', 'backup']
  await past(machine)
  machine.overrides.copies = []
  for (const path of [machine.ledgerPath, machine.statePath]) fs.rmSync(path, { recursive: true })
  if (older === 'backup') age(`${machine.databasePath}.backup`)
  if (older === 'json') {
    const path = `${machine.databasePath}.json`
    const text = fs.readFileSync(path, 'utf8').replaceAll('dentist', 'an older state')
    fs.writeFileSync(path, text.replaceAll(/20\d\d-\d\d-\d\dT/g, '2020-01-01T'))
  }
}

function age(path: string): void {
  const then = new Date('2020-01-01T00:00:00Z')
  fs.utimesSync(path, then, then)
}

/** Makes a database with other rows, by hand, where the app expects its own. */
function foreignDatabase(machine: TestMachine, ...rows: Rows): void {
  const app = machine.openApp()
  makeTable(app)
  add(app, ...rows)
  machine.closeApp(app)
}

const NOTHING_STORED: Scenario[] = [
  {
    name: 'nothing anywhere',
    arrange: async () => undefined,
    action: 'nothing-yet',
    rows: [],
  },
  {
    name: 'a database with rows, the ledger empty: adopted',
    arrange: async (machine) => foreignDatabase(machine, ONE, TWO),
    action: 'adopted',
    rows: [ONE, TWO],
  },
  {
    name: 'database missing, the ledger empty, JSON and .backup of the same age: the JSON',
    arrange: async (machine) => {
      await copiesOnly(machine)
      machine.wipeDatabase()
    },
    action: 'restored-from-json',
    rows: [ONE, TWO],
  },
  {
    name: 'database missing, the ledger empty, the .backup older: the JSON',
    arrange: async (machine) => {
      await copiesOnly(machine, 'backup')
      machine.wipeDatabase()
    },
    action: 'restored-from-json',
    rows: [ONE, TWO],
    stepsAsIn: 'database missing, the ledger empty, JSON and .backup of the same age: the JSON',
  },
  {
    name: 'database of zero bytes, the ledger empty, the JSON older: the .backup',
    arrange: async (machine) => {
      await copiesOnly(machine, 'json')
      machine.wipeDatabase()
      fs.writeFileSync(machine.databasePath, '')
    },
    action: 'restored-from-backup',
    rows: [ONE, TWO],
  },
  {
    name: 'tables without a row, the ledger empty: as missing',
    arrange: async (machine) => {
      await copiesOnly(machine)
      machine.wipeDatabase()
      foreignDatabase(machine)
    },
    action: 'restored-from-json',
    rows: [ONE, TWO],
  },
]

const LOCAL_EMPTY: Scenario[] = [
  {
    name: 'database missing, state there: head is restored',
    arrange: async (machine) => {
      await past(machine)
      machine.wipeDatabase()
    },
    action: 'restored-from-log',
    rows: [ONE, TWO],
  },
  {
    name: 'database and state missing: head is restored',
    arrange: async (machine) => {
      await past(machine, 'WAL')
      machine.wipeDatabase()
      machine.wipeState()
    },
    action: 'restored-from-log',
    rows: [ONE, TWO],
    stepsAsIn: 'database missing, its WAL still there: head is restored, the WAL does not join it',
  },
  {
    name: 'database missing, its WAL still there: head is restored, the WAL does not join it',
    arrange: async (machine) => {
      await past(machine, 'WAL')
      await machine.liveAndDie(async (app, keeper) => {
        add(app, THREE)
        await keeper.flush()
      })
      fs.rmSync(machine.databasePath)
    },
    action: 'restored-from-log',
    rows: [ONE, TWO, THREE],
  },
  {
    name: 'zero bytes: head is restored',
    arrange: async (machine) => {
      await past(machine)
      fs.writeFileSync(machine.databasePath, '')
    },
    action: 'restored-from-log',
    rows: [ONE, TWO],
    stepsAsIn: 'no tables: head is restored',
  },
  {
    name: 'no tables: head is restored',
    arrange: async (machine) => {
      await past(machine)
      machine.wipeDatabase()
      const app = machine.openApp()
      app.exec('CREATE TABLE t (x); DROP TABLE t')
      machine.closeApp(app)
    },
    action: 'restored-from-log',
    rows: [ONE, TWO],
  },
  {
    name: 'tables without a row, state = head: emptied on purpose',
    arrange: async (machine) => {
      await past(machine)
      await machine.liveAndDie((app) => app.exec('DELETE FROM notes'))
    },
    action: 'kept-local',
    rows: [],
  },
  {
    name: 'tables without a row, no state: head is restored',
    arrange: async (machine) => {
      await past(machine)
      machine.wipeDatabase()
      machine.wipeState()
      foreignDatabase(machine)
    },
    action: 'restored-from-log',
    rows: [ONE, TWO],
  },
]

const LOCAL_CONTENT: Scenario[] = [
  {
    name: 'equals head',
    arrange: (machine) => past(machine),
    action: 'kept-local',
    rows: [ONE, TWO],
  },
  {
    name: 'equals head, state lost',
    arrange: async (machine) => {
      await past(machine)
      machine.wipeState()
    },
    action: 'kept-local',
    rows: [ONE, TWO],
  },
  {
    name: 'state = head, content ahead: local wins',
    arrange: async (machine) => {
      await past(machine)
      await machine.liveAndDie((app) => add(app, THREE))
    },
    action: 'kept-local',
    rows: [ONE, TWO, THREE],
  },
  {
    name: 'state = head, content ahead in the WAL: local wins',
    arrange: async (machine) => {
      await past(machine, 'WAL')
      await machine.liveAndDie((app) => add(app, THREE))
    },
    action: 'kept-local',
    rows: [ONE, TWO, THREE],
  },
  {
    name: 'the .backup copied over the database: local wins',
    arrange: async (machine) => {
      machine.overrides.copies = ['backup']
      await past(machine)
      const backup = `${machine.databasePath}.backup`
      fs.copyFileSync(backup, `${backup}.saved`)
      await machine.live((app) => add(app, THREE))
      machine.overrides.copies = []
      fs.renameSync(`${backup}.saved`, backup)
      machine.wipeDatabase()
      fs.copyFileSync(backup, machine.databasePath)
    },
    action: 'kept-local',
    rows: [ONE, TWO],
  },
  {
    name: 'head was sent by us, the answer never noted: adopted as ours, the rest appended',
    arrange: async (machine) => {
      await past(machine)
      await machine.liveAndDie(
        (app, keeper) => {
          add(app, THREE)
          return keeper.flush()
        },
        ({ at }) => at.startsWith('answer of create ltx/0/') && at.endsWith('4.ltx'),
      )
      const app = machine.openApp()
      add(app, FOUR)
      machine.closeApp(app)
    },
    action: 'kept-local',
    rows: [ONE, TWO, THREE, FOUR],
  },
  {
    name: 'state behind head, content is its version: another machine went on',
    arrange: async (machine) => {
      await past(machine)
      await elsewhere(machine)
    },
    action: 'restored-from-log',
    rows: [ONE, TWO, THREE],
  },
  {
    name: 'another machine went on, and so did this one: diverged',
    arrange: async (machine) => {
      await past(machine)
      await elsewhere(machine)
      const app = machine.openApp()
      add(app, FOUR)
      machine.closeApp(app)
    },
    action: 'diverged',
    rows: [ONE, TWO, THREE],
    branches: [[ONE, TWO, FOUR]],
  },
  {
    name: 'state lost, content ahead: it cannot be told from a stranger’s, so it becomes a branch',
    arrange: async (machine) => {
      await past(machine)
      await machine.liveAndDie((app) => add(app, THREE))
      machine.wipeState()
    },
    action: 'diverged',
    rows: [ONE, TWO],
    branches: [[ONE, TWO, THREE]],
    stepsAsIn: 'a stale database shipped with the image, no state: diverged',
  },
  {
    name: 'a stale database shipped with the image, no state: diverged',
    arrange: async (machine) => {
      await past(machine)
      machine.wipeDatabase()
      machine.wipeState()
      foreignDatabase(machine, FOUR)
    },
    action: 'diverged',
    rows: [ONE, TWO],
    branches: [[FOUR]],
  },
  {
    name: 'the disk went back (change counter): branch, head is restored',
    arrange: async (machine) => {
      await past(machine)
      let before: SavedFiles = new Map()
      await machine.live((app) => {
        add(app, FOUR)
        before = machine.saveFiles()
        app.exec('DELETE FROM notes WHERE id = 4')
        add(app, THREE)
      })
      machine.putBack(before)
    },
    action: 'diverged',
    rows: [ONE, TWO, THREE],
    branches: [[ONE, TWO, FOUR]],
  },
]

/** Every row that changes nothing by waiting: ready to be cut off at any step. */
export const SCENARIOS: Scenario[] = [...NOTHING_STORED, ...LOCAL_EMPTY, ...LOCAL_CONTENT]

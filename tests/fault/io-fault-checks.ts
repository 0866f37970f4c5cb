import * as fs from 'node:fs'
import { branchLog, listBranches } from '../../packages/kvar/src/log/branches.ts'
import { restoreToFile } from '../../packages/kvar/src/log/restore.ts'
import { VersionLog } from '../../packages/kvar/src/log/version-log.ts'
import { systemPlatform } from '../../packages/kvar/src/platform/system.ts'
import { createFolderTarget } from '../../packages/kvar/src/targets/folder/folder-target.ts'
import { Life } from '../support/crash-files-life.ts'
import { promptFiles } from '../support/crash-files-prompt.ts'
import { type Rows, rowsOf, type TestMachine } from '../support/start-machine.ts'

const platform = { ...systemPlatform, files: promptFiles, crews: undefined }
const START_MS = 600_000
const CLOSE_MS = 600_000

/** What the newest version on a target shows; undefined where there is none. */
export async function rowsOnTarget(machine: TestMachine, path: string): Promise<Rows | undefined> {
  if (!fs.existsSync(path)) return undefined
  const target = await createFolderTarget({ path, platform })
  try {
    const log = new VersionLog(target)
    return (await log.findHead()) === undefined ? undefined : await rowsIn(machine, log)
  } finally {
    await target.close()
  }
}

/** The rows of every branch on the ledger. */
export async function rowsInBranches(machine: TestMachine): Promise<Rows[]> {
  const target = await createFolderTarget({ path: machine.ledgerPath, platform })
  try {
    const found: Rows[] = []
    for (const { id } of await listBranches(target)) found.push(await rowsIn(machine, branchLog(target, id)))
    return found
  } finally {
    await target.close()
  }
}

async function rowsIn(machine: TestMachine, log: VersionLog): Promise<Rows> {
  const path = `${machine.home}/look.tmp`
  fs.rmSync(path, { force: true })
  await restoreToFile({ log, plan: await log.plan({ kind: 'latest' }), path, platform })
  return rowsOf(path)
}

/** The ledger alone, as after the loss of the machine, holds everything acknowledged (R1). */
export async function assertHeld(machine: TestMachine, acknowledged: Rows): Promise<void> {
  const found = await rowsOnTarget(machine, machine.ledgerPath)
  assertContains(found ?? [], acknowledged, 'the ledger')
}

/** Both copies, where there are any, show a committed state and all of it. */
export async function assertCopiesWhole(machine: TestMachine, committed: Rows): Promise<void> {
  const backup = `${machine.databasePath}.backup`
  if (fs.existsSync(backup)) assertState(rowsOf(backup), committed, 'the .backup')
  const json = `${machine.databasePath}.json`
  if (!fs.existsSync(json)) return
  const { notes = [] } = JSON.parse(fs.readFileSync(json, 'utf8')) as { notes?: Rows }
  assertState(notes, committed, 'the JSON')
}

/** On the same disk the next start is right, and brings everything to the same place everywhere. */
export async function assertAfterHealthyStart(
  machine: TestMachine,
  expected: { committed: Rows; acknowledged: Rows; mayBranch?: boolean },
): Promise<void> {
  const { committed, acknowledged } = expected
  const life = new Life(machine)
  try {
    await life.clock.within(START_MS, 'a healthy start', life.keeper.start(false))
    assertContains(machine.rows(), acknowledged, 'the database')
    const left = await life.close(CLOSE_MS)
    if (left !== undefined) throw new Error(`a healthy keeper left: ${left}`)
  } finally {
    await life.kill()
  }
  const shown = machine.rows()
  const elsewhere = (await rowsInBranches(machine)).flat()
  if (expected.mayBranch !== true && elsewhere.length > 0) throw new Error('something became a branch')
  assertContains([...shown, ...elsewhere], committed, 'database and branches together')
  for (const path of [machine.ledgerPath, machine.followerPath])
    assertSame(await rowsOnTarget(machine, path), shown, path)
  await assertCopiesWhole(machine, committed)
}

/** A state that the app committed: its rows up to some moment. */
function assertState(found: Rows, committed: Rows, where: string): void {
  assertSame(found, committed.slice(0, found.length), where)
}

export function assertContains(found: Rows, wanted: Rows, where: string): void {
  const missing = wanted.filter(({ id, text }) => !found.some((one) => one.id === id && one.text === text))
  if (missing.length > 0)
    throw new Error(`LOST: ${where} lacks rows ${missing.map(({ id }) => id).join(', ')}`)
}

function assertSame(found: Rows | undefined, wanted: Rows, where: string): void {
  if (JSON.stringify(found) !== JSON.stringify(wanted))
    throw new Error(`${where} shows ${shown(found)} instead of ${shown(wanted)}`)
}

function shown(rows: Rows | undefined): string {
  return rows === undefined ? 'nothing' : `rows ${rows.map(({ id }) => id).join(' ')}`
}

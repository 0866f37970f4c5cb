/*
 * Goal: every row of the start table (docs/START.md) does on a real disk what the table says, and with
 * a crash before any single change of the disk or of a target, the next start ends in the same place:
 * same rows, same newest version on the ledger, one branch for each content that had to give way.
 * Method: real SQLite, folder targets on two devices, keepers in this process. Each row is arranged by
 * real lives and deaths of keepers and apps; the k-th change throws and so does everything after it,
 * for every k until a start needs fewer changes.
 */
import * as fs from 'node:fs'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { CrashingMachine } from '../support/start-crash.ts'
import { TestMachine } from '../support/start-machine.ts'
import { SCENARIOS, type Scenario } from '../support/start-scenarios.ts'

let machine: TestMachine
afterEach(() => machine.destroy())

describe('each row of the start table', () => {
  beforeEach(async () => {
    machine = await TestMachine.create()
  })

  test.each(SCENARIOS)('$name', async (scenario) => {
    await scenario.arrange(machine)
    expect((await startAndEnd()).action).toBe(scenario.action)
    await expectOutcome(scenario)
  })
})

describe('a crash before any change', () => {
  beforeEach(async () => {
    machine = await TestMachine.create({}, { oneDisk: true })
  })

  const stepwise = SCENARIOS.filter(({ stepsAsIn }) => stepsAsIn === undefined)

  test.each(stepwise)('$name', async (scenario) => {
    await scenario.arrange(machine)
    const image = await machine.photograph()
    try {
      for (let k = 1; ; k++) {
        await machine.bringBack(image)
        const life = await startAndCrash(k, claimIsNew(scenario))
        if (!life.crashed) break
        await startAndEnd()
        await expectOutcome(scenario, `crashed before change ${k}: ${life.at}`)
      }
    } finally {
      fs.rmSync(image, { recursive: true })
    }
  })
})

async function startAndEnd() {
  const { keeper, report } = await machine.start()
  await machine.closeKeeper(keeper)
  return report
}

/** After a restore come the steps of a database that equals head, which are cut off in that row. */
function claimIsNew({ action }: Scenario): boolean {
  return action === 'kept-local' || action === 'adopted'
}

/** A start that is cut off before its k-th change, unless it needs fewer. */
async function startAndCrash(k: number, claimToo: boolean): Promise<CrashingMachine> {
  const life = new CrashingMachine(({ number, at }) => {
    if (!claimToo && at.includes('.state.json.tmp')) life.spare()
    return number === k
  })
  const keeper = machine.keeper(life)
  const started = keeper.start(false).then(
    () => life.spare(),
    (thrown: Error) => {
      if (!life.crashed) throw thrown
    },
  )
  await Promise.race([started, life.happened])
  const files = machine.saveFiles()
  await machine.closeKeeper(keeper, 0)
  if (life.crashed) machine.putBack(files)
  return life
}

async function expectOutcome(scenario: Scenario, when = ''): Promise<void> {
  const nothing = scenario.action === 'nothing-yet'
  if (nothing) expect(fs.existsSync(machine.databasePath), when).toBe(false)
  else expect(machine.rows(), when).toEqual(scenario.rows)
  expect((await machine.headRows())?.rows, when).toEqual(nothing ? undefined : scenario.rows)
  expect(await machine.branches(), when).toEqual(scenario.branches ?? [])
}

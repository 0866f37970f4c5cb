/*
 * Goal: `kvar targets` says what each target holds, and a follower takes the ledger's place only with
 * open eyes: what can be copied is copied, what is missing is said, nothing is given up without --force.
 * Method: the real command line on two folders; a Python app under `kvar run`; ledgers that run ahead or
 * are deleted.
 */
import * as fs from 'node:fs'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { KvarWorld, lastOf } from './kvar-world.ts'

let world: KvarWorld
let follower: string
beforeEach(() => {
  world = new KvarWorld()
  follower = `folder:${world.elsewhere}/second`
  useTargets(world.target, follower)
})
afterEach(() => world.end())

function useTargets(...urls: string[]): void {
  world.variables.KVAR_TARGETS = urls.join(' ')
}

interface Line {
  url: string
  role: string
  version: number
  behind: number | null
  canBeLedger: boolean | null
}

async function list(): Promise<Line[]> {
  return lastOf((await world.kvar(['targets', '--json'])).stdout).targets as Line[]
}

/** The ledger goes on alone, without the follower. */
async function leaveFollowerBehind(): Promise<void> {
  await world.add('milk')
  useTargets(world.target)
  await world.add('bread')
  useTargets(world.target, follower)
}

const promote = (...words: string[]) => world.kvar(['targets', 'promote', follower, ...words])

it('lists role, newest version and lag of each target', async () => {
  await leaveFollowerBehind()
  const [first, second] = await list()
  expect(first).toMatchObject({ url: world.target, role: 'ledger', behind: 0, canBeLedger: true })
  expect(second).toMatchObject({ url: follower, role: 'follower', canBeLedger: true })
  expect(second?.behind).toBe((first?.version ?? 0) - (second?.version ?? 0))
  expect(second?.behind).toBeGreaterThan(0)
  const { stdout } = await world.kvar(['targets'])
  expect(stdout).toMatch(/^Version \d+ is the newest on 2 targets\./)
})

it('says which target cannot be read', async () => {
  await world.add('milk')
  fs.rmSync(world.targetFolder, { recursive: true })
  const { stdout, code } = await world.kvar(['targets'])
  expect(code).toBe(0)
  expect(stdout).toMatch(/^1 of 2 targets cannot be read\./)
  expect(stdout).toContain('There is no folder')
})

describe('promote', () => {
  it('copies what the follower lacks, and the app goes on with the new order', async () => {
    await leaveFollowerBehind()
    const [{ version } = { version: 0 }] = await list()
    const before = await list()
    expect((await promote('--dry-run')).stdout).toContain('Nothing was changed')
    expect(await list()).toEqual(before)
    const done = lastOf((await promote('--json')).stdout)
    expect(done).toMatchObject({ ledger: follower, version, missing: 0, targets: [follower, world.target] })
    expect(done.copied).toBeGreaterThan(0)
    expect((await list())[1]).toMatchObject({ version, behind: 0 })
    useTargets(follower, world.target)
    world.wipe()
    expect(await world.add('butter')).toEqual(['milk', 'bread', 'butter'])
  })

  it('when the ledger is gone and took versions with it, wants --force', async () => {
    await leaveFollowerBehind()
    fs.rmSync(world.targetFolder, { recursive: true })
    const refused = await promote()
    expect(refused.code).toBe(7)
    expect(refused.stderr).toMatch(/\d+ versions? after version \d+ would be missing/)
    expect((await promote('--dry-run')).code).toBe(0)
    expect((await promote('--force')).code).toBe(0)
    // The content is still on this disk, and nowhere else: it is not thrown away for an older ledger.
    useTargets(follower)
    expect(await world.add('butter')).toEqual(['milk', 'bread', 'butter'])
  })

  it('refuses the ledger itself, a stranger, and nonsense', async () => {
    await world.add('milk')
    expect((await world.kvar(['targets', 'promote', world.target])).code).toBe(2)
    expect((await world.kvar(['targets', 'promote', `folder:${world.elsewhere}/third`])).code).toBe(4)
    expect((await world.kvar(['targets', 'promote'])).code).toBe(2)
  })

  it('waits for nobody: while the app runs it is refused', async () => {
    await world.add('milk')
    const running = world.run(['serve'])
    await running.until(/ready/)
    expect((await promote()).code).toBe(11)
    running.kill('SIGTERM')
    await running.ended
  })
})

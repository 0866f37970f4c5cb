/*
 * Goal: a restored file takes the database's place all or nothing (R5): cut off before any change, the
 * old database is there with its hot journal, or aside with it, and the next start finishes the swap.
 * Method: a real hot journal (a process killed in a transaction that had spilled its cache); the k-th
 * change of the disk does not happen, for every k.
 */
import * as fs from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { CrashingMachine } from '../../../../../tests/support/start-crash.ts'
import { add, rowsOf, TestMachine } from '../../../../../tests/support/start-machine.ts'
import { ONE, past, THREE, TWO } from '../../../../../tests/support/start-scenarios.ts'
import { systemPlatform } from '../../platform/system.ts'
import { finishSwap, swapDatabase } from './swap-database.ts'

let machine: TestMachine
let image: string
beforeEach(async () => {
  machine = await TestMachine.create({}, { oneDisk: true })
  await past(machine)
  fs.copyFileSync(machine.databasePath, join(machine.statePath, 'restore.tmp'))
  await machine.killInTransaction()
  image = await machine.photograph()
})
afterEach(async () => {
  fs.rmSync(image, { recursive: true })
  await machine.destroy()
})

/** The old database with its journal, wherever they are now: SQLite rolls the one back with the other. */
function oldDatabase(): string {
  const places = [...machine.asideFolders(), machine.appFolder]
  const here = places
    .map((place) => join(place, 'family.db'))
    .filter((path) => fs.existsSync(`${path}-journal`))
  expect(here).toHaveLength(1)
  return here[0] as string
}

/** An app without Kvar that came now would find the old state, the new one or nothing: never a part. */
function expectWhole(when: string): void {
  const look = join(machine.home, 'look.db')
  for (const suffix of ['', '-journal']) {
    fs.rmSync(look + suffix, { force: true })
    const path = machine.databasePath + suffix
    if (fs.existsSync(path)) fs.copyFileSync(path, look + suffix)
  }
  if (fs.existsSync(look)) expect(rowsOf(look), when).toEqual([ONE, TWO])
}

async function swapUntil(k: number): Promise<CrashingMachine> {
  const life = new CrashingMachine(k)
  const { databasePath, statePath: stateFolder } = machine
  const newFile = join(stateFolder, 'restore.tmp')
  await swapDatabase({ databasePath, stateFolder, newFile, platform: life.platform }).catch(
    (thrown: Error) => {
      if (!life.crashed) throw thrown
    },
  )
  return life
}

test('the journal alone makes the old file whole', () => {
  fs.rmSync(`${machine.databasePath}-journal`)
  expect(() => expect(machine.rows()).toEqual([ONE, TWO])).toThrow()
})

test('a crash before any change, then the next start: the new file in place, the old one whole aside', async () => {
  const { databasePath, statePath: stateFolder } = machine
  let unfinished = 0
  for (let k = 1; ; k++) {
    await machine.bringBack(image)
    const life = await swapUntil(k)
    expectWhole(life.at)
    if (!life.crashed) break
    const finished = await finishSwap({ databasePath, stateFolder, platform: systemPlatform })
    if (finished) unfinished += 1
    const whole = oldDatabase()
    expect(rowsOf(whole), life.at).toEqual([ONE, TWO])
    // Only the last fsync comes after the intent has gone: then everything was done.
    const isDone = finished || !fs.existsSync(join(stateFolder, 'restore.tmp'))
    expect(whole === databasePath, life.at).toBe(!isDone)
    if (isDone) expect(machine.rows(), life.at).toEqual([ONE, TWO])
  }
  expect(unfinished).toBeGreaterThan(5)
})

test('a crash during the finishing of a crashed swap', async () => {
  const { databasePath, statePath: stateFolder } = machine
  for (let k = 1; ; k++) {
    await machine.bringBack(image)
    // The database is moved aside, its journal is not.
    const moved = new CrashingMachine(({ at }) => /^rename .*family\.db-journal →/.test(at))
    const newFile = join(stateFolder, 'restore.tmp')
    await expect(
      swapDatabase({ databasePath, stateFolder, newFile, platform: moved.platform }),
    ).rejects.toThrow()
    expect(fs.existsSync(databasePath)).toBe(false)
    const again = new CrashingMachine(k)
    await finishSwap({ databasePath, stateFolder, platform: again.platform }).catch(() => undefined)
    await finishSwap({ databasePath, stateFolder, platform: systemPlatform })
    expect(machine.rows(), again.at).toEqual([ONE, TWO])
    expect(rowsOf(oldDatabase()), again.at).toEqual([ONE, TWO])
    if (!again.crashed) break
  }
})

test('a new file that a power cut left under both names is not swapped in again, over newer commits', async () => {
  const { databasePath, statePath: stateFolder } = machine
  const newFile = join(stateFolder, 'restore.tmp')
  const aside = await swapDatabase({ databasePath, stateFolder, newFile, platform: systemPlatform })
  const app = machine.openApp()
  app.exec('PRAGMA journal_mode=WAL')
  add(app, THREE)
  const files = machine.saveFiles()
  machine.closeApp(app)
  machine.putBack(files)
  fs.linkSync(databasePath, newFile)
  fs.writeFileSync(join(stateFolder, 'restore-intent.json'), JSON.stringify({ newFile, aside }))
  expect(await finishSwap({ databasePath, stateFolder, platform: systemPlatform })).toBe(true)
  expect(fs.existsSync(newFile)).toBe(false)
  expect(machine.rows()).toEqual([ONE, TWO, THREE])
})

test('a torn intent was never carried out, and is forgotten', async () => {
  const { databasePath, statePath: stateFolder } = machine
  const intent = join(stateFolder, 'restore-intent.json')
  fs.writeFileSync(intent, '{"newFile":"/')
  expect(await finishSwap({ databasePath, stateFolder, platform: systemPlatform })).toBe(true)
  expect(fs.existsSync(intent)).toBe(false)
  expect(machine.rows()).toEqual([ONE, TWO])
})

test('a whole start over a hot journal, cut off before any change, ends in the newest version', async () => {
  const other = await machine.sibling()
  await other.live((app) => {
    app.prepare('INSERT INTO notes VALUES (?, ?)').run(THREE.id, THREE.text)
  })
  const { databasePath, statePath: stateFolder } = machine
  const moved = new CrashingMachine(({ at }) => /^rename .*family\.db-journal →/.test(at))
  const newFile = join(stateFolder, 'restore.tmp')
  await expect(
    swapDatabase({ databasePath, stateFolder, newFile, platform: moved.platform }),
  ).rejects.toThrow()
  await machine.live(() => undefined)
  expect(machine.rows()).toEqual([ONE, TWO, THREE])
})

/**
 * Goal: `kvar status` answers the question of a worried person in its first line, and never sets
 * anything going: no keeper, no restore, no folder that was not there.
 * Method: real keepers under `kvar run`, looked at while they start, run and have gone.
 */
import * as fs from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { jsonLines, KvarWorld, lastOf } from './kvar-world.ts'

let world: KvarWorld
beforeEach(() => {
  world = new KvarWorld()
})
afterEach(() => world.end())

test('while an app runs it tells what is stored where', async () => {
  await world.add('x')
  const app = world.run(['serve'])
  await app.until(/ready/)
  const { code, stdout, stderr } = await world.kvar(['status'])
  const [first, head, row, ...copies] = stdout.trim().split('\n')
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
  expect(first).toMatch(/^Safe: everything up to \d\d:\d\d:\d\d is stored on 1 of 1 targets/)
  expect(head).toMatch(/^ {2}target {2}version {2}behind {2}confirmed {2}note$/)
  expect(row).toMatch(/^ {2}folder {8}2 {5}0 s {2}\d\d:\d\d:\d\d {3}ledger$/)
  expect(copies.join('\n')).toMatch(/JSON copy app\.db\.json: version \d.*\n.*\.backup copy app\.db\.backup/)
  expect(stdout).not.toContain('\u001b')
  app.kill('SIGTERM')
  await app.ended
})

test('--json gives every documented field, with UTC times and numbers', async () => {
  const app = world.run(['serve'])
  await app.until(/ready/)
  await world.kvar(['backup'])
  const [status] = jsonLines((await world.kvar(['status', '--json'])).stdout)
  const document = fs.readFileSync(`${import.meta.dirname}/../../docs/STATUS.md`, 'utf8')
  const names = Object.keys(status ?? {})
  expect(names.filter((name) => !document.includes(`| \`${name}\``))).toEqual([])
  expect(status).toMatchObject({ schema: 1, running: true, safety: 'safe', state: 'protecting', version: 1 })
  expect(status?.confirmedAt).toMatch(/^\d{4}-\d\d-\d\dT.*Z$/)
  app.kill('SIGTERM')
  await app.ended
})

test('without a keeper it says so, and what the targets hold; nothing is touched', async () => {
  await world.add('x')
  const before = fs.readdirSync(world.targetFolder, { recursive: true })
  const { code, stdout } = await world.kvar(['status'])
  expect(code).toBe(0)
  expect(stdout).toMatch(
    /^Not running: no keeper protects app\.db now\. Version 1 of .* is stored on 1 of 1 targets\.\n/,
  )
  const [offline] = jsonLines((await world.kvar(['status', '--json'])).stdout)
  expect(offline).toMatchObject({
    running: false,
    databaseExists: true,
    noted: { version: 1 },
    problem: null,
  })
  expect(fs.readdirSync(world.targetFolder, { recursive: true })).toEqual(before)
  world.wipe()
  expect((await world.kvar(['status'])).stdout).toContain('app.db is missing: kvar restore brings it back')
  expect(fs.readdirSync(world.folder)).toEqual([])
})

test('an absent target folder is not made by looking', async () => {
  const { code, stdout } = await world.kvar(['status'])
  expect({ code, exists: fs.existsSync(world.targetFolder) }).toEqual({ code: 0, exists: false })
  expect(stdout).toContain(`There is no folder "${world.targetFolder}"`)
})

test('while the keeper still waits for its ledger it answers at once', async () => {
  fs.symlinkSync('nowhere', world.path('unmounted'))
  world.variables.KVAR_TARGETS = `folder:${world.path('unmounted')}`
  const app = world.run(['serve'])
  await app.until(/kvar: waiting: /)
  const { code, stdout } = await world.kvar(['status'])
  expect(code).toBe(0)
  expect(stdout).toMatch(/^Starting: /)
  app.kill('SIGTERM')
  await app.ended
}, 60_000)

test('--watch shows every change and ends with 130 on Ctrl-C', async () => {
  const app = world.run(['serve'])
  await app.until(/ready/)
  const watch = world.start(['status', '--watch', '--json'])
  await watch.until(/"durableVersion":1/)
  const writer = new DatabaseSync(world.database, { timeout: 5000 })
  writer.exec("INSERT INTO notes (text) VALUES ('y')")
  writer.close()
  await watch.until(/"durableVersion":2/)
  watch.kill('SIGINT')
  expect((await watch.ended).code).toBe(130)
  app.kill('SIGTERM')
  await app.ended
})

test('--watch starts no keeper in place of one that ended', async () => {
  const app = world.run(['serve'])
  await app.until(/ready/)
  const watch = world.start(['status', '--watch', '--json'])
  await watch.until(/"running":true/)
  const status = lastOf(watch.stdout)
  app.killGroup()
  process.kill((status.keeper as { processId: number }).processId, 'SIGKILL')
  const ended = await watch.ended
  expect(ended.code).toBe(5)
  expect(jsonLines(ended.stdout).at(-1)).toMatchObject({ event: 'error', code: 'KEEPER_GONE', exitCode: 5 })
  expect((await world.kvar(['status'])).stdout).toMatch(/^Not running/)
})

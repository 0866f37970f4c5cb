// Goal: docs/STATUS.md and a real status name the same fields, section by section, in both directions.
// Method: statuses of real keepers in many states are gathered; the names in them are held against the
// tables of the document, and the other way round.
import * as fs from 'node:fs'
import { join } from 'node:path'
import { afterEach, beforeEach, expect, it } from 'vitest'
import type { KeeperStatus } from '../../packages/kvar/src/index.ts'
import { jsonLines, KvarWorld } from '../cli/kvar-world.ts'
import { StatusWorld, Watched } from '../support/status-world.ts'

const DOCUMENT = fs.readFileSync(join(import.meta.dirname, '../../docs/STATUS.md'), 'utf8')

let world: StatusWorld
beforeEach(() => {
  world = new StatusWorld()
})
afterEach(() => world.end())

/** The names in the table of a section; the empty title is what stands before the first one. */
function documented(title: string): string[] {
  const parts = `## \n${DOCUMENT}`.split(/^## /m).slice(1)
  const part = parts.find((text) => text.startsWith(`${title}\n`)) ?? ''
  return [...part.matchAll(/^\| ((?:`\w+`(?:, )?)+) \|/gm)].flatMap((row) =>
    [...(row[1] ?? '').matchAll(/`(\w+)`/g)].map((name) => name[1] ?? ''),
  )
}

function namesIn(objects: unknown[]): string[] {
  const names = objects.flatMap((one) => (one === null || one === undefined ? [] : Object.keys(one)))
  return [...new Set(names)].sort()
}

it('documents every field, and every documented field is there', async () => {
  const path = world.path('app.db')
  const targets = ['ledger', 'follower'].map((name) => `folder:${world.place(name)}`)
  const limits = { scrubAfterMs: 200, drillAfterMs: 200, targetTries: 1, lateAfterMs: 100 }
  const persistence = await world.open(path, {
    targets,
    copies: ['json', 'backup'],
    interval: '50ms',
    limits,
  })
  const watched = new Watched(persistence)
  world.database(path).exec("PRAGMA journal_mode=WAL; CREATE TABLE note(body); INSERT INTO note VALUES ('x')")
  const isWhole = ({ drill, provedDrill, scrub, copies }: KeeperStatus) =>
    drill !== null &&
    provedDrill !== null &&
    scrub !== null &&
    copies.every((copy) => copy.writtenAt !== null)
  await watched.until('everything was done once', isWhole, 0)
  world.takeAway('ledger')
  world.database(path).exec("INSERT INTO note VALUES ('y')")
  await watched.until('something is wrong', ({ problem }) => problem !== null)
  world.bringBack('ledger')
  const { seen } = watched
  const onlyByCommand = ['kvar', 'running']
  expect(
    documented('')
      .filter((name) => !onlyByCommand.includes(name))
      .sort(),
  ).toEqual(namesIn(seen))
  expect(documented('One target').sort()).toEqual(namesIn(seen.flatMap((one) => one.targets)))
  expect(documented('One copy').sort()).toEqual(namesIn(seen.flatMap((one) => one.copies)))
  expect(documented('A drill').sort()).toEqual(namesIn(seen.flatMap((one) => [one.drill, one.provedDrill])))
  expect(documented('A scrub').sort()).toEqual(namesIn(seen.map((one) => one.scrub)))
  expect(documented('The start').sort()).toEqual(namesIn(seen.map((one) => one.start)))
  const problemRow = DOCUMENT.split('\n').find((line) => line.startsWith('| `problem` | what is wrong now'))
  for (const name of namesIn(seen.map((one) => one.problem))) expect(problemRow).toContain(`\`${name}\``)
  const keeperRow = DOCUMENT.split('\n').find((line) => line.startsWith('| `keeper`'))
  for (const name of namesIn(seen.map((one) => one.keeper))) expect(keeperRow).toContain(`\`${name}\``)
}, 120_000)

it('documents what the command line says without a keeper', async () => {
  const commands = new KvarWorld()
  try {
    await commands.add('x')
    const [offline] = jsonLines((await commands.kvar(['status', '--json'])).stdout)
    const inRows = documented('Without a keeper')
    expect(namesIn([offline]).filter((name) => !['schema', 'kvar'].includes(name))).toEqual(
      [...new Set(inRows)].sort(),
    )
    const part = DOCUMENT.slice(DOCUMENT.indexOf('## Without a keeper'))
    const { targets, copies, noted } = offline as { targets: object[]; copies: object[]; noted: object }
    for (const name of namesIn([...targets, ...copies, noted])) expect(part).toContain(`\`${name}\``)
  } finally {
    await commands.end()
  }
}, 120_000)

import { spawnSync } from 'node:child_process'
import * as fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { LoopOptions, LoopResult } from './proof-loop.ts'
import { SEEDED_BUGS, type SeededBug } from './seeded-bugs-list.ts'

/*
 * Seeded bugs (PROOF 21): each mistake is put into a copy of the sources, and the test that is named beside
 * it must fail there. One vitest runs all of them, each copy in a folder of its own; a test that does not
 * run counts as one that notices nothing.
 */

const ROOT = join(import.meta.dirname, '../..')
const COPIED = [
  'packages/kvar/src',
  'packages/kvar/package.json',
  'tests/fault',
  'tests/support',
  'tests/contract',
]
const TIMEOUT_MS = 600_000

/** @param options.only `fast`: those that fit a push · a part of a name · all when left out */
export async function seededBugsLoop(options: LoopOptions): Promise<LoopResult> {
  const begunMs = performance.now()
  const bugs = SEEDED_BUGS.filter((bug) => isWanted(bug, options.only))
  const folder = fs.mkdtempSync(join(tmpdir(), 'kvar-seeded-'))
  let missed: string[]
  try {
    for (const [index, bug] of bugs.entries()) plant(bug, join(folder, `bug-${index}`))
    fs.symlinkSync(join(ROOT, 'node_modules'), join(folder, 'node_modules'))
    const failed = failedTests(folder, bugs)
    missed = bugs.filter((bug, index) => !failed.has(idOf(index, bug))).map(({ name }) => name)
  } finally {
    fs.rmSync(folder, { recursive: true, force: true })
  }
  for (const name of missed) tell(`seeded-bugs: nobody noticed that ${name}`)
  const seconds = Math.round((performance.now() - begunMs) / 1000)
  const caught = bugs.length - missed.length
  const sentence = `seeded-bugs: seed ${options.seed}, ${bugs.length} bugs, ${caught} caught, ${missed.length} missed, ${seconds} s`
  tell(sentence)
  return { name: 'seeded-bugs', options, violations: missed.length, sentence }
}

function isWanted(bug: SeededBug, only: string | undefined): boolean {
  if (only === undefined) return true
  return only === 'fast' ? bug.isSlow !== true : bug.name.includes(only)
}

/** A copy of the sources with one mistake in it. */
function plant(bug: SeededBug, folder: string): void {
  for (const path of COPIED) fs.cpSync(join(ROOT, path), join(folder, path), { recursive: true })
  const path = join(folder, 'packages/kvar/src', bug.file)
  const text = fs.readFileSync(path, 'utf8')
  const found = text.split(bug.find).length - 1
  if (found !== 1) throw new Error(`${bug.file} holds ${found} times what "${bug.name}" replaces`)
  fs.writeFileSync(
    path,
    text.replace(bug.find, () => bug.replace),
  )
}

interface Report {
  testResults: Array<{ name: string; assertionResults: Array<{ title: string; status: string }> }>
}

/** The named tests that ran and failed, by copy. */
function failedTests(folder: string, bugs: readonly SeededBug[]): Set<string> {
  const { testResults } = runVitest(folder, bugs)
  const failed = new Set<string>()
  for (const { name: path, assertionResults } of testResults)
    for (const { title, status } of assertionResults)
      if (status === 'failed') failed.add(`${path.slice(folder.length + 1)} ${title}`)
  return failed
}

function idOf(index: number, { test }: SeededBug): string {
  return `bug-${index}/${test.file} ${test.name}`
}

function runVitest(folder: string, bugs: readonly SeededBug[]): Report {
  const include = bugs.map(({ test }, index) => `bug-${index}/${test.file}`)
  const limits = { testTimeout: TIMEOUT_MS, hookTimeout: 60_000, maxWorkers: 2, pool: 'forks' }
  fs.writeFileSync(
    join(folder, 'vitest.config.mjs'),
    `export default { test: ${JSON.stringify({ include, ...limits })} }`,
  )
  const names = [...new Set(bugs.map(({ test }) => test.name.replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&')))]
  const report = join(folder, 'report.json')
  const words = ['run', '--root', folder, '-t', names.join('|'), '--reporter=json', `--outputFile=${report}`]
  const vitest = join(ROOT, 'node_modules/vitest/vitest.mjs')
  const { stderr } = spawnSync(process.execPath, [vitest, ...words], {
    cwd: folder,
    encoding: 'utf8',
    timeout: TIMEOUT_MS,
    env: { ...process.env, VITEST: undefined, NODE_OPTIONS: undefined },
  })
  if (!fs.existsSync(report)) throw new Error(`vitest made no report: ${stderr}`)
  return JSON.parse(fs.readFileSync(report, 'utf8')) as Report
}

function tell(line: string): void {
  process.stdout.write(`${line}\n`)
}

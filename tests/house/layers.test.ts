// Goal: folders are layers. Imports point down, and nothing outside platform/ touches disk, clock,
// randomness, processes or network: the simulator can only replace what goes through one door.
// Method: every source file of the library is parsed and held against the rules; the rules
// themselves are tried on small sources that break each of them.
import { describe, expect, it } from 'vitest'
import { LAYERS, layerViolations } from './layer-rules.ts'
import { readText, repositoryFiles } from './repository.ts'
import { readSourceFacts } from './source-facts.ts'

const SOURCE = 'packages/kvar/src/'

/** Exceptions, each with its reason. One that no longer occurs fails the test, so the list cannot rot. */
const ALLOWED: Record<string, string> = {}

function violationsIn(file: string, source: string): string[] {
  return layerViolations(file, readSourceFacts(source))
}

describe('the library', () => {
  const files = repositoryFiles('packages/kvar/src').filter(
    (path) => /\.ts$/.test(path) && !/\.test\.ts$/.test(path),
  )
  const found = files.flatMap((path) => violationsIn(path.slice(SOURCE.length), readText(path)))

  it('keeps its layers and leaves the world outside to platform/', () => {
    expect(files.length).toBeGreaterThan(10)
    expect(found.filter((sentence) => !(sentence in ALLOWED))).toEqual([])
  })

  it('has no exception that is not needed any more', () => {
    expect(Object.keys(ALLOWED).filter((sentence) => !found.includes(sentence))).toEqual([])
  })

  it('has its layers named in ARCHITECTURE.md', () => {
    const text = readText('ARCHITECTURE.md')
    expect(LAYERS.flat().filter((name) => !text.includes(`\`${name}`))).toEqual([])
  })
})

describe('the rules', () => {
  const broken: Array<[why: string, file: string, source: string]> = [
    ['upwards', 'formats/wal.ts', "import { x } from '../targets/target.ts'"],
    ['upwards by re-export', 'platform/files.ts', "export * from '../formats/wal.ts'"],
    ['upwards when loaded late', 'log/restore.ts', "const x = await import('../keeper/keeper.ts')"],
    ['sideways between layers', 'capture/watch.ts', "import { x } from '../log/restore.ts'"],
    ['sideways between targets', 'targets/s3/s3-target.ts', "import { x } from '../folder/folder-target.ts'"],
    ['sideways between copies', 'copies/json-copy.ts', "import { x } from './backup-copy.ts'"],
    ['code from the words', 'log/restore.ts', "import { x } from '../keeper/status.ts'"],
    ['the disk', 'log/restore.ts', "import { readFile } from 'node:fs/promises'"],
    ['the disk without prefix', 'log/restore.ts', "import fs from 'fs'"],
    ['the clock', 'keeper/loop.ts', 'const now = Date.now()'],
    ['the clock by constructor', 'keeper/loop.ts', 'const now = new Date().toISOString()'],
    ['randomness', 'capture/x.ts', 'const jitter = Math.random()'],
    ['randomness by import', 'capture/x.ts', "import { randomBytes } from 'node:crypto'"],
    ['a timer', 'keeper/loop.ts', 'setTimeout(() => {}, 5)'],
    ['a timer handed on', 'keeper/loop.ts', 'await promisify(setTimeout)(5)'],
    ['the network', 'targets/s3/s3-target.ts', "const answer = await fetch('https://s3.example')"],
    ['the environment', 'settings/settings.ts', 'const path = process.env.KVAR_DB'],
  ]
  it.each(broken)('see %s', (_why, file, source) => {
    expect(violationsIn(file, source)).toHaveLength(1)
  })

  const fine: Array<[why: string, file: string, source: string]> = [
    ['downwards', 'keeper/loop.ts', "import { x } from '../log/restore.ts'"],
    ['within a layer', 'log/restore.ts', "import { x } from './restore-plan.ts'"],
    ['the contract of targets', 'targets/s3/s3-target.ts', "import { TargetError } from '../target.ts'"],
    ['what targets share', 'targets/s3/s3-target.ts', "import { x } from '../http/xml.ts'"],
    ['the words, as types', 'settings/settings.ts', "import type { X } from '../persistence-types.ts'"],
    ['hashing', 'formats/x.ts', "import { createHash } from 'node:crypto'"],
    ['converting a time', 'copies/json-copy.ts', 'const text = new Date(timeMs).toISOString()'],
    ['a comment', 'log/restore.ts', '// Date.now() would be wrong here: setTimeout(…)'],
    ['the environment at a door', 'cli/main.ts', 'run(process.env)'],
    ['everything in platform/', 'platform/clock.ts', 'export const now = () => Date.now()'],
  ]
  it.each(fine)('allow %s', (_why, file, source) => {
    expect(violationsIn(file, source)).toEqual([])
  })
})

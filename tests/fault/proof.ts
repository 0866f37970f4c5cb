/*
 * The proof at any size:
 *   node tests/fault/proof.ts NAME --rounds N --seed S [--only node|python|wal|delete|truncate]
 *                             [--on s3|postgres|pgbouncer|sftp|webdav]   (kill, wipe, deploy; else folders)
 * Without a name every loop runs. The exit code is 1 when anything was violated; the folders named in
 * the output then hold the evidence.
 */
import { parseArgs } from 'node:util'
import type { LoopOptions, LoopResult } from './proof-loop.ts'
import { compileProduct } from './proof-product.ts'

type Run = (options: LoopOptions) => Promise<LoopResult>

const LOOPS: Record<string, () => Promise<Run>> = {
  kill: async () => (await import('./kill-loop.ts')).killLoop,
  wipe: async () => (await import('./wipe-loop.ts')).wipeLoop,
  'io-fault': async () => (await import('./io-fault.ts')).ioFaultLoop,
  'power-loss': async () => (await import('./power-loss.ts')).powerLossLoop,
  sigterm: async () => (await import('./sigterm-deadline.ts')).sigtermLoop,
  'disk-full': async () => (await import('./disk-full.ts')).diskFullLoop,
  compound: async () => (await import('./compound.ts')).compoundLoop,
  model: async () => (await import('./model-loop.ts')).modelLoop,
  boundaries: async () => (await import('./boundaries-loop.ts')).boundariesLoop,
  'lock-page': async () => (await import('./boundaries-lock-page.ts')).lockPageLoop,
  'two-keepers': async () => (await import('./two-keepers-loop.ts')).twoKeepersLoop,
  clock: async () => (await import('./clock-loop.ts')).clockLoop,
  deploy: async () => (await import('./deploy-loop.ts')).deployLoop,
  damage: async () => (await import('./damage-loop.ts')).damageLoop,
  fuzz: async () => (await import('./fuzz-loop.ts')).fuzzLoop,
  'seeded-bugs': async () => (await import('./seeded-bugs-loop.ts')).seededBugsLoop,
  'family-year': async () => (await import('../simulation/family-year.ts')).run,
  simulation: async () => (await import('../simulation/simulation-loop.ts')).simulationLoop,
}
const DEFAULT_ROUNDS = 50

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    rounds: { type: 'string' },
    seed: { type: 'string' },
    only: { type: 'string' },
    on: { type: 'string', default: 'folder' },
  },
})
const names = positionals.length > 0 ? positionals : Object.keys(LOOPS)
const unknown = names.find((name) => LOOPS[name] === undefined)
const rounds = Number(values.rounds ?? DEFAULT_ROUNDS)
const seed = Number(values.seed ?? Math.floor(Math.random() * 1_000_000))
if (unknown !== undefined || !Number.isSafeInteger(rounds) || !Number.isSafeInteger(seed)) {
  process.stderr.write(`error: known are ${Object.keys(LOOPS).join(', ')}, with --rounds N --seed S\n`)
  process.exit(2)
}
const { on } = values
const { placesOn } = await import('./proof-places.ts')
const places = await placesOn(on).catch((thrown: Error) => {
  process.stderr.write(`error: ${thrown.message}\n`)
  process.exit(2)
})
// The modules of the product are read after it was compiled.
compileProduct()
let violations = 0
for (const name of names) {
  const run = await LOOPS[name]?.()
  const result = await run?.({ rounds, seed, only: values.only, place: places?.place })
  violations += result?.violations ?? 0
}
await places?.stop()
process.exitCode = violations === 0 ? 0 : 1

/*
 * The proof at any size:
 *   node tests/fault/proof.ts NAME --rounds N --seed S [--only node|python|wal|delete|truncate]
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
  'family-year': async () => (await import('../simulation/family-year.ts')).run,
  simulation: async () => (await import('../simulation/simulation-loop.ts')).simulationLoop,
}
const DEFAULT_ROUNDS = 50

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { rounds: { type: 'string' }, seed: { type: 'string' }, only: { type: 'string' } },
})
const names = positionals.length > 0 ? positionals : Object.keys(LOOPS)
const unknown = names.find((name) => LOOPS[name] === undefined)
const rounds = Number(values.rounds ?? DEFAULT_ROUNDS)
const seed = Number(values.seed ?? Math.floor(Math.random() * 1_000_000))
if (unknown !== undefined || !Number.isSafeInteger(rounds) || !Number.isSafeInteger(seed)) {
  process.stderr.write(`error: known are ${Object.keys(LOOPS).join(', ')}, with --rounds N --seed S\n`)
  process.exit(2)
}
// The modules of the product are read after it was compiled.
compileProduct()
let violations = 0
for (const name of names) {
  const run = await LOOPS[name]?.()
  const result = await run?.({ rounds, seed, only: values.only })
  violations += result?.violations ?? 0
}
process.exitCode = violations === 0 ? 0 : 1

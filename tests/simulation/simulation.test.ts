/*
 * Goal: whatever happens to machines, networks, disks and clocks, nothing acknowledged is lost, one
 * keeper at a time decides, what is restored was committed, and once faults stop all comes right and
 * rests (PROOF 8, R1–R4, R9, R10).
 * Method: the product's own keeper from start to close, in worlds without real time, randomness, disk
 * or network, each decided by one seed. An all-knowing observer checks every version in the moment it
 * comes to exist. That the rules have teeth is shown by mistakes put into the program on purpose.
 */
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { describe, expect, it } from 'vitest'
import type { Outcome } from './simulate.ts'

const PROGRAM = join(import.meta.dirname, 'simulation-process.ts')
const FIRST_SEED = 1
const WORLDS = 200
/** How many worlds a mistake may pass through unseen. */
const BUG_SEED_LIMIT = 25
const TIMEOUT_MS = 600_000

async function run<T>(...words: Array<string | number>): Promise<T[]> {
  const limits = { maxBuffer: 256 * 1024 * 1024, timeout: TIMEOUT_MS }
  const { stdout } = await promisify(execFile)(process.execPath, [PROGRAM, ...words.map(String)], limits)
  return stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as T)
}

function shown({ seed, tail, violation }: Outcome): string {
  return [...tail, `seed ${seed}: ${violation}`].join('\n')
}

describe('the simulated world', () => {
  it(`keeps every rule in ${WORLDS} worlds, and is the same world again for the same seed`, {
    timeout: TIMEOUT_MS,
  }, async () => {
    const half = WORLDS / 2
    const halves = [run<Outcome>('worlds', FIRST_SEED, half), run<Outcome>('worlds', FIRST_SEED + half, half)]
    const outcomes = (await Promise.all(halves)).flat()
    expect(outcomes.filter(({ violation }) => violation !== undefined).map(shown)).toEqual([])
    expect(outcomes).toHaveLength(WORLDS)
    expect(outcomes.reduce((sum, { acknowledgements }) => sum + acknowledgements, 0)).toBeGreaterThan(
      WORLDS * 10,
    )
    const again = await run<Outcome>('worlds', FIRST_SEED, 10)
    expect(again.map(({ digest }) => digest)).toEqual(outcomes.slice(0, 10).map(({ digest }) => digest))
  })

  it(`shows every seeded bug within ${BUG_SEED_LIMIT} worlds`, { timeout: TIMEOUT_MS }, async () => {
    const hunts = await run<{ bug: string; seed?: number }>('bugs', BUG_SEED_LIMIT)
    expect(hunts.length).toBeGreaterThanOrEqual(10)
    expect(hunts.filter(({ seed }) => seed === undefined)).toEqual([])
  })
})

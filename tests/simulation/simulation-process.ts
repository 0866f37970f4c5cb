/*
 * Simulated worlds in a process of their own: they hear of every promise that nobody caught, and they
 * change methods of the product for a while. One line of JSON for each world.
 *
 *   node tests/simulation/simulation-process.ts worlds FIRST_SEED COUNT
 *   node tests/simulation/simulation-process.ts trace SEED
 *   node tests/simulation/simulation-process.ts bugs SEED_LIMIT
 */
import { SEEDED_BUGS, type SeededBug } from './seeded-bugs.ts'
import { simulate } from './simulate.ts'

const [what, ...numbers] = process.argv.slice(2)
const [first = 1, count = 1] = numbers.map(Number)
if (what === 'worlds') await runWorlds(first, count)
else if (what === 'trace') tell(await simulate(first, (line) => process.stdout.write(`${line}\n`)))
else if (what === 'bugs') for (const bug of SEEDED_BUGS) tell(await hunt(bug, first))
else throw new Error('say worlds FIRST_SEED COUNT, trace SEED or bugs SEED_LIMIT')

async function runWorlds(from: number, howMany: number): Promise<void> {
  for (let seed = from; seed < from + howMany; seed++) tell(await simulate(seed))
}

/** The first seed whose world breaks a rule because of this bug. */
async function hunt(bug: SeededBug, seedLimit: number): Promise<object> {
  const undo = bug.make()
  try {
    for (let seed = 1; seed <= seedLimit; seed++) {
      const { violation } = await simulate(seed)
      if (violation !== undefined) return { bug: bug.name, seed, violation: violation.split('\n')[0] }
    }
    return { bug: bug.name }
  } finally {
    undo()
  }
}

function tell(result: object): void {
  process.stdout.write(`${JSON.stringify(result)}\n`)
}

import type { LoopOptions, LoopResult } from '../fault/proof-loop.ts'
import { simulate } from './simulate.ts'

/** A simulation that fails again and again says nothing new. */
const VIOLATION_LIMIT = 20

/** PROOF 8: as many worlds as there are rounds; the first one lives by the given seed, the next by the one after it. */
export async function simulationLoop(options: LoopOptions): Promise<LoopResult> {
  const begunMs = performance.now()
  const counts = { events: 0, versions: 0, acknowledgements: 0, violations: 0 }
  let worlds = 0
  for (; worlds < options.rounds && counts.violations < VIOLATION_LIMIT; worlds++) {
    const outcome = await simulate(options.seed + worlds)
    counts.events += outcome.events
    counts.versions += outcome.versions
    counts.acknowledgements += outcome.acknowledgements
    if (outcome.violation === undefined) continue
    counts.violations += 1
    tell(`${outcome.tail.join('\n')}\nsimulation: seed ${outcome.seed}: ${outcome.violation}`)
  }
  const words = Object.entries(counts).map(([name, count]) => `${count} ${name}`)
  const seconds = Math.round((performance.now() - begunMs) / 1000)
  const sentence = `simulation: ${worlds} worlds, seed ${options.seed}, ${words.join(', ')}, ${seconds} s`
  tell(sentence)
  return { name: 'simulation', options, violations: counts.violations, sentence }
}

function tell(line: string): void {
  process.stdout.write(`${line}\n`)
}

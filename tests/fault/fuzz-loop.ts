import { KvarError } from '../../packages/kvar/src/errors.ts'
import { JsonProblem } from '../../packages/kvar/src/formats/json-reader.ts'
import { PARSERS, type Parser } from './fuzz-parsers.ts'
import type { LoopOptions, LoopResult } from './proof-loop.ts'
import { Choices } from './proof-random.ts'

/*
 * The parser fuzz (PROOF 19): whatever comes in, each parser ends soon, keeps to a bounded memory, and
 * answers something sound or an error that a person can read. A TypeError is a bug of ours.
 */

/** One input may take so long on a busy machine; a parser that hangs takes for ever. */
const SLOWEST_MS = 10_000
/** How much more memory the process may ever have needed at the end of a parser's turn. */
const MEMORY_LIMIT_BYTES = 256 * 1024 * 1024
const VIOLATION_LIMIT = 5

/** @param options.rounds mutations for each parser; `only` names one of them */
export async function fuzzLoop(options: LoopOptions): Promise<LoopResult> {
  const begunMs = performance.now()
  const counts = { mutations: 0, accepted: 0, refused: 0, violations: 0 }
  for (const make of Object.values(PARSERS)) {
    const parser = await make()
    if (options.only === undefined || options.only === parser.name) await fuzz(parser, options, counts)
    await parser.end?.()
  }
  const words = Object.entries(counts).map(([what, count]) => `${count} ${what}`)
  const seconds = Math.round((performance.now() - begunMs) / 1000)
  const sentence = `fuzz: seed ${options.seed}, ${words.join(', ')}, ${seconds} s`
  tell(sentence)
  return { name: 'fuzz', options, violations: counts.violations, sentence }
}

type Counts = Record<'mutations' | 'accepted' | 'refused' | 'violations', number>

async function fuzz(parser: Parser, { rounds, seed }: LoopOptions, sums: Counts): Promise<void> {
  const counts = { mutations: 0, accepted: 0, refused: 0, violations: 0 }
  const [begunMs, before] = [performance.now(), peakBytes()]
  const wanted = Math.ceil(rounds / (parser.every ?? 1))
  for (; counts.mutations < wanted && counts.violations < VIOLATION_LIMIT; counts.mutations++) {
    const trouble = await tryOnce(parser, new Choices(seed, parser.name, counts.mutations), counts)
    if (trouble === undefined) continue
    counts.violations += 1
    tell(`fuzz: ${parser.name}, mutation ${counts.mutations}, seed ${seed}: ${trouble}`)
  }
  const grownBytes = peakBytes() - before
  if (grownBytes > MEMORY_LIMIT_BYTES) {
    counts.violations += 1
    tell(`fuzz: ${parser.name} needed ${grownBytes} bytes more`)
  }
  const seconds = ((performance.now() - begunMs) / 1000).toFixed(1)
  const { mutations, accepted, refused } = counts
  tell(`fuzz: ${parser.name}: ${mutations} mutations, ${accepted} accepted, ${refused} refused, ${seconds} s`)
  for (const key of Object.keys(sums) as Array<keyof Counts>) sums[key] += counts[key]
}

/** What is wrong, if anything is. */
async function tryOnce(parser: Parser, choices: Choices, counts: Counts): Promise<string | undefined> {
  const begunMs = performance.now()
  try {
    const isAccepted = await parser.run(choices)
    counts[isAccepted ? 'accepted' : 'refused'] += 1
  } catch (thrown) {
    if (!isTyped(thrown)) return thrown instanceof Error ? thrown.stack : String(thrown)
    counts.refused += 1
  }
  const tookMs = performance.now() - begunMs
  return tookMs > SLOWEST_MS ? `it took ${Math.round(tookMs)} ms` : undefined
}

function isTyped(thrown: unknown): boolean {
  if (thrown instanceof JsonProblem) return true
  return thrown instanceof KvarError && thrown.code !== 'ASSERTION' && thrown.message.length < 4000
}

/** The most memory that this process ever took. */
function peakBytes(): number {
  return process.resourceUsage().maxRSS * 1024
}

function tell(line: string): void {
  process.stdout.write(`${line}\n`)
}

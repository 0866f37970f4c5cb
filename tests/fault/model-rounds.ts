import type { LoopOptions, LoopResult } from './proof-loop.ts'
import { Choices } from './proof-random.ts'

/** A loop without sites: each round stands alone, and what it throws is a violation. */
export interface Rounds {
  name: string
  counts: Record<string, number>
  /** Done once before the first round; its failure is a violation too. */
  before?(choices: Choices): Promise<void>
  round(choices: Choices, round: number): Promise<void>
}

/** A loop that fails again and again says nothing new. */
const VIOLATION_LIMIT = 5

/** Runs the rounds one after the other; each one's choices depend on seed and number alone. */
export async function runRounds(rounds: Rounds, options: LoopOptions): Promise<LoopResult> {
  const begunMs = performance.now()
  const { name, counts } = rounds
  let [violations, done] = [0, 0]
  const attempt = async (what: string, work: () => Promise<void>) => {
    try {
      await work()
    } catch (thrown) {
      violations += 1
      tell(`${name}: ${what}, seed ${options.seed}: ${thrown instanceof Error ? thrown.stack : thrown}`)
    }
  }
  await attempt('before the first round', async () =>
    rounds.before?.(new Choices(options.seed, name, 'before')),
  )
  for (; done < options.rounds && violations < VIOLATION_LIMIT; done++) {
    const round = done
    await attempt(`round ${round}`, () => rounds.round(new Choices(options.seed, name, round), round))
  }
  const words = Object.entries({ ...counts, violations }).map(([what, count]) => `${count} ${what}`)
  const seconds = Math.round((performance.now() - begunMs) / 1000)
  const sentence = `${name}: ${done} rounds, seed ${options.seed}, ${words.join(', ')}, ${seconds} s`
  tell(sentence)
  return { name, options, violations, sentence }
}

function tell(line: string): void {
  process.stdout.write(`${line}\n`)
}

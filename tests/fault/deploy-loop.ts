import * as fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { deployRound } from './deploy-round.ts'
import type { LoopOptions, LoopResult } from './proof-loop.ts'
import { Choices } from './proof-random.ts'

const OVERLAP_MS = 30_000

/*
 * The deploy loop (PROOF 14): old and new instance write for 30 s at the same time, or the new one is rolled
 * back. Every third round is a roll-back.
 */
export async function deployLoop({ rounds, seed, ...options }: LoopOptions): Promise<LoopResult> {
  const counts = { acknowledged: 0, branches: 0, 'rolled back': 0 }
  let violations = 0
  for (let round = 0; round < rounds; round++) {
    const choices = new Choices(seed, 'deploy', round)
    const rolledBack = round % 3 === 2
    const overlapMs = rolledBack ? choices.between(200, 3000) : OVERLAP_MS
    const folder = fs.mkdtempSync(join(tmpdir(), 'kvar-deploy-'))
    const place = options.place?.() ?? { url: `folder:${folder}`, secrets: {} }
    try {
      const { acknowledged, branches } = await deployRound({
        place,
        overlapMs,
        rolledBack,
        startsAgain: true,
      })
      counts.acknowledged += acknowledged.old + acknowledged.new
      counts.branches += branches
      if (rolledBack) counts['rolled back'] += 1
    } catch (thrown) {
      violations += 1
      process.stdout.write(`deploy: round ${round}, seed ${seed}, ${place.url}: ${String(thrown)}\n`)
    }
    fs.rmSync(folder, { recursive: true })
  }
  const words = Object.entries({ ...counts, violations }).map(([name, count]) => `${count} ${name}`)
  const sentence = `deploy: ${rounds} rounds, seed ${seed}, ${words.join(', ')}`
  process.stdout.write(`${sentence}\n`)
  return { name: 'deploy', options: { rounds, seed }, violations, sentence }
}

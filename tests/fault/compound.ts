import type { CaseResult } from './io-fault-cases.ts'
import { cutLoop, type PowerPlan } from './power-loss.ts'
import type { LoopOptions } from './proof-loop.ts'

/*
 * Faults upon faults (PROOF 18): a crash or a power cut during the recovery from a crash or a power cut,
 * up to four times in a row, mostly within the first changes of a start. What has to hold in between
 * and at last is that of the power-loss loop. A full disk while copies are written and while the log is
 * tidied is part of the disk-full loop.
 */
const LATEST_CHANGE_OF_START = 60

const COMPOUND: PowerPlan = {
  name: 'compound',
  cuts: (choices) => choices.between(2, 4),
  at: (choices) => choices.between(1, choices.chance(0.8) ? LATEST_CHANGE_OF_START : 200),
  killChance: 0.4,
}

export function compoundLoop(options: LoopOptions): Promise<CaseResult> {
  return cutLoop(COMPOUND, options)
}

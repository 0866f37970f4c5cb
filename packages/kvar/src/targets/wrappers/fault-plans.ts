import type { Random } from '../../platform/random.ts'
import type { TargetFailure } from '../target.ts'
import type { TargetVerb } from './metering-target.ts'

/** One way in which a target lets us down. Faults that do not fit a verb leave the call as it is. */
export type Fault =
  /** Nothing was done, and an error says so. */
  | { kind: 'fail-before'; failure?: TargetFailure; retryAfterMs?: number }
  /** It was done, and an error denies it. */
  | { kind: 'fail-after'; failure?: TargetFailure; retryAfterMs?: number }
  | { kind: 'delay'; delayMs: number }
  /** No answer until `release()` or the caller's abort; then as usual. */
  | { kind: 'hang' }
  /** A read that ends early without an error. */
  | { kind: 'truncate'; keepBytes: number }
  /** A read that breaks off with a temporary error. */
  | { kind: 'break-off'; keepBytes: number }
  /** A read with one wrong bit; counted from the first byte, taken modulo the first chunk. */
  | { kind: 'flip-bit'; bit: number }
  /** A listing that does not know the last objects yet. */
  | { kind: 'late-listing'; missing: number }
  /** A listing that names every object twice. */
  | { kind: 'repeated-listing' }

export interface FaultCall {
  /** 1 for the first call of this target. */
  number: number
  verb: TargetVerb
  /** The key or prefix; for a remove the first key. */
  key: string
}

/** Decides for each call; undefined for a call that goes well. */
export type FaultPlan = (call: FaultCall) => Fault | undefined

export const NO_FAULTS: FaultPlan = () => undefined

/** Only the call with this number fails: the "once" half of an Nth-operation loop. */
export function faultOnce(number: number, fault: Fault): FaultPlan {
  return (call) => (call.number === number ? fault : undefined)
}

/** The call with this number and all later ones fail: the "for ever" half. */
export function faultFrom(number: number, fault: Fault): FaultPlan {
  return (call) => (call.number >= number ? fault : undefined)
}

const VERBS_OF: Record<Fault['kind'], readonly TargetVerb[]> = {
  'fail-before': ['create', 'replace', 'read', 'list', 'remove'],
  'fail-after': ['create', 'replace', 'read', 'list', 'remove'],
  delay: ['create', 'replace', 'read', 'list', 'remove'],
  hang: ['create', 'replace', 'read', 'list', 'remove'],
  truncate: ['read'],
  'break-off': ['read'],
  'flip-bit': ['read'],
  'late-listing': ['list'],
  'repeated-listing': ['list'],
}

/** Largest values that `randomFaults` draws. */
const LIMITS = { delayMs: 5000, keepBytes: 65_536, bit: 2 ** 20, missing: 3 }

/**
 * Faults at the given rates (0 to 1 each), the same ones for the same random numbers.
 *
 * @example
 * const faulty = withFaults(target, { clock, plan: randomFaults(random, { 'fail-after': 0.05, delay: 0.2 }) })
 */
export function randomFaults(
  random: Pick<Random, 'fraction'>,
  rates: Partial<Record<Fault['kind'], number>>,
): FaultPlan {
  const draw = (limit: number) => Math.floor(random.fraction() * limit)
  return ({ verb }) => {
    for (const [kind, rate] of Object.entries(rates) as Array<[Fault['kind'], number]>) {
      if (VERBS_OF[kind].includes(verb) && random.fraction() < rate) return makeFault(kind, draw)
    }
    return undefined
  }
}

function makeFault(kind: Fault['kind'], draw: (limit: number) => number): Fault {
  switch (kind) {
    case 'delay':
      return { kind, delayMs: draw(LIMITS.delayMs) }
    case 'truncate':
    case 'break-off':
      return { kind, keepBytes: draw(LIMITS.keepBytes) }
    case 'flip-bit':
      return { kind, bit: draw(LIMITS.bit) }
    case 'late-listing':
      return { kind, missing: 1 + draw(LIMITS.missing) }
    default:
      return { kind }
  }
}

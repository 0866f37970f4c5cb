import type { Platform } from '../platform/platform.ts'
import { readAll, type Target } from './target.ts'

/**
 * What a target does with a second create of one key: `refuses` it, as a ledger must; `overwrites`, as
 * several that speak like S3 do although they take the header; `races`: refuses one that comes later,
 * but tells several that come at once that each of them created the object.
 */
export type FenceProof = 'refuses' | 'overwrites' | 'races'

type Outcome = 'created' | 'exists'

const RACES = 3
const RACERS = 8
const BODY_BYTES = 64

/**
 * Tries out what `capabilities.createIfAbsent` claims, because providers' promises were found untrue.
 * Meant for the moment when a target is adopted as the ledger. It costs about 35 small requests away from
 * this machine, 5 on it, and leaves nothing behind. `refuses` is no proof for all times, the other two
 * answers are proofs.
 *
 * @param prefix where the keys of the proof lie, with a slash at its end, such as `kvar/proof/`
 * @throws TargetError when the target cannot be reached or denies us
 * @example
 * if ((await probeFence(target, { platform, prefix: 'kvar/proof/' })) !== 'refuses') followOnly(target)
 */
export async function probeFence(
  target: Target,
  options: { platform: Pick<Platform, 'clock' | 'random'>; prefix: string; signal?: AbortSignal },
): Promise<FenceProof> {
  const { random } = options.platform
  const name = options.prefix + Buffer.from(random.bytes(16)).toString('hex')
  const keys = Array.from({ length: racesFor(target) }, (_, race) => `${name}-${race}`)
  try {
    if (!(await refusesTheSecond(target, name, options))) return 'overwrites'
    for (const key of keys) if (!(await hasOneWinner(target, key, options))) return 'races'
    return 'refuses'
  } finally {
    await target.remove([name, ...keys], passing(options.signal))
  }
}

type ProbeOptions = Parameters<typeof probeFence>[1]

/**
 * A race on this machine is decided by its own kernel and proves nothing about writers elsewhere; a target
 * that only looks says itself that it loses races.
 */
function racesFor({ capabilities }: Target): number {
  return capabilities.deviceId === undefined && capabilities.createIfAbsent === 'atomic' ? RACES : 0
}

async function refusesTheSecond(target: Target, key: string, options: ProbeOptions): Promise<boolean> {
  const [first, second] = await createAll(target, key, 2, options, async (creates) => {
    const outcomes: Outcome[] = []
    for (const create of creates) outcomes.push(await create())
    return outcomes
  })
  return (
    first?.outcome === 'created' && second?.outcome === 'exists' && (await holds(target, key, first, options))
  )
}

async function hasOneWinner(target: Target, key: string, options: ProbeOptions): Promise<boolean> {
  const failures: unknown[] = []
  const racers = await createAll(target, key, RACERS, options, (creates) =>
    Promise.all(creates.map((create) => create().catch((thrown: unknown) => noted(failures, thrown)))),
  )
  const winners = racers.filter(({ outcome }) => outcome === 'created')
  const [winner] = winners
  // Some providers send most of a crowd at one key away: that is no proof of anything, and one answer is enough.
  if (winner === undefined && failures.length > 0) throw failures[0]
  return winners.length === 1 && winner !== undefined && (await holds(target, key, winner, options))
}

function noted(failures: unknown[], thrown: unknown): undefined {
  failures.push(thrown)
}

interface Racer {
  body: Uint8Array
  outcome: Outcome | undefined
}

/** Creates one key several times, each time with other bytes; `run` says in which order. */
async function createAll(
  target: Target,
  key: string,
  count: number,
  { platform, signal }: ProbeOptions,
  run: (creates: Array<() => Promise<Outcome>>) => Promise<Array<Outcome | undefined>>,
): Promise<Racer[]> {
  const bodies = Array.from({ length: count }, () => platform.random.bytes(BODY_BYTES))
  const settings = { modifiedAtMs: platform.clock.nowMs(), ...passing(signal) }
  const outcomes = await run(bodies.map((body) => () => target.create(key, body, settings)))
  return bodies.map((body, index) => ({ body, outcome: outcomes[index] }))
}

/** Whether the winner's bytes are what is there in the end. */
async function holds(
  target: Target,
  key: string,
  { body }: Racer,
  { signal }: ProbeOptions,
): Promise<boolean> {
  const kept = await readAll(target, key, { ...passing(signal), limitBytes: BODY_BYTES * 2 })
  return kept !== undefined && Buffer.compare(kept, body) === 0
}

function passing(signal: AbortSignal | undefined): { signal?: AbortSignal } {
  return signal === undefined ? {} : { signal }
}

import { badTimes } from './scenario.ts'
import { goodTimes } from './good-times.ts'
import { World } from './world.ts'

/** What one seed gave. */
export interface Outcome {
  seed: number
  /** The hash of everything that happened, in order. */
  digest: string
  events: number
  acknowledgements: number
  versions: number
  /** Which rule was broken, if one was. */
  violation: string | undefined
  /** The last events before it. */
  tail: string[]
}

/** Lets one world live from its beginning to its audit. Nothing but the seed decides what happens. */
export async function simulate(seed: number, listener?: (line: string) => void): Promise<Outcome> {
  const world = new World(seed)
  world.timeline.listener = listener
  const rejected = Promise.withResolvers<never>()
  const onRejection = (thrown: unknown) => rejected.reject(thrown)
  rejected.promise.catch(() => undefined)
  process.on('unhandledRejection', onRejection)
  let violation: string | undefined
  try {
    await Promise.race([live(world), rejected.promise])
  } catch (thrown) {
    violation = thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown)
  } finally {
    process.off('unhandledRejection', onRejection)
  }
  const { timeline, truth } = world
  const tail = violation === undefined ? [] : timeline.tail()
  const { acknowledgements, head: versions } = truth
  return { seed, digest: timeline.digest(), events: timeline.count, acknowledgements, versions, violation, tail }
}

async function live(world: World): Promise<void> {
  await badTimes(world)
  await goodTimes(world)
}

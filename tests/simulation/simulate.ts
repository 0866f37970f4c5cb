import { goodTimes } from './good-times.ts'
import { badTimes } from './scenario.ts'
import { settled } from './timeline.ts'
import { World } from './world.ts'

/** Taking down where each of a world's thousands of refused calls came from would take most of its time. */
Error.stackTraceLimit = 4

/** What one seed gave. */
export interface Outcome {
  seed: number
  /** The hash of everything that happened, in order. */
  digest: string
  events: number
  acknowledgements: number
  versions: number
  takeBacks: number
  /** Which rule was broken, if one was. */
  violation: string | undefined
  /** The last events before it. */
  tail: string[]
}

/** Lets one world live from its beginning to its audit. Nothing but the seed decides what happens. */
export async function simulate(seed: number, listener?: (line: string) => void): Promise<Outcome> {
  const world = new World(seed)
  world.timeline.listener = listener
  const onRejection = (thrown: unknown) => world.timeline.fail(thrown)
  process.on('unhandledRejection', onRejection)
  let violation: string | undefined
  try {
    await live(world)
  } catch (thrown) {
    violation = thrown instanceof Error ? (thrown.stack ?? thrown.message) : String(thrown)
  } finally {
    // What a broken world still rejects belongs to it, not to the next one.
    await settled()
    process.off('unhandledRejection', onRejection)
    world.timeline.end()
  }
  const { timeline, truth } = world
  const tail = violation === undefined ? [] : timeline.tail()
  const { acknowledgements, takeBacks, head: versions } = truth
  return {
    seed,
    digest: timeline.digest(),
    events: timeline.count,
    acknowledgements,
    versions,
    takeBacks,
    violation,
    tail,
  }
}

async function live(world: World): Promise<void> {
  await badTimes(world)
  await goodTimes(world)
}

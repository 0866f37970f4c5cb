import { newestReachable, newestVersion } from '../../packages/kvar/src/log/restore-plan.ts'
import type { SimMachine } from './sim-machine.ts'
import type { SimStore } from './sim-store.ts'
import { FAIR_WEATHER, type NetworkWeather } from './sim-target.ts'
import { logFile } from './truth.ts'
import type { World } from './world.ts'

/** How long the bad times last, in the world's time. */
const SHORTEST_MS = 20_000
const LONGEST_MS = 90_000
const PAUSE_MS = 4000

const FOUL_WEATHER: NetworkWeather = {
  lostRequests: 0.03,
  lostAnswers: 0.04,
  failBefore: 0.05,
  failAfter: 0.05,
  repeatedListings: 0.1,
  brokenReads: 0.03,
  usualMs: 60,
  // Longer than a keeper waits: what it has given up may still arrive.
  longestMs: 8000,
}

/** The bad times, and in one story the worst of all in their middle. */
export async function badTimes(world: World): Promise<void> {
  await disturbedTimes(world)
  if (world.story !== 'ledger lost') return
  await loseLedger(world)
  await disturbedTimes(world)
}

/** Nobody writes at that moment, and nothing is on its way. */
async function loseLedger(world: World): Promise<void> {
  for (const machine of world.machines) machine.crash()
  await world.timeline.run(FOUL_WEATHER.longestMs * 2)
  // A follower whose filling was cut off tells every reader so until a keeper goes on with it: together
  // with a lost ledger that needs a person.
  if (!world.followers.every(isReadable)) return
  world.timeline.note('the ledger is lost')
  world.truth.ledgerLost(world.followers)
}

function isReadable(store: SimStore): boolean {
  const files = [...store.objects.keys()].flatMap((key) => logFile(key) ?? [])
  return files.length === 0 || newestReachable(files, newestVersion(files)) === newestVersion(files)
}

/** The bad times: machines come and go, networks fail, clocks jump. */
async function disturbedTimes(world: World): Promise<void> {
  const { timeline, dice } = world
  const endMs = timeline.nowMs + dice.between(SHORTEST_MS, LONGEST_MS)
  world.machines[0]?.boot()
  while (timeline.nowMs < endMs) {
    await timeline.run(dice.between(1, PAUSE_MS))
    disturb(world)
    keepUp(world)
  }
}

type Disturbance = (world: World, machine: SimMachine) => void

const ANYWHERE: Array<[weight: number, Disturbance]> = [
  [4, (_world, machine) => machine.killKeeper()],
  [4, (_world, machine) => machine.crash()],
  [2, (_world, machine) => machine.powerCut()],
  [1, (_world, machine) => machine.wipe('disk')],
  [1, (_world, machine) => machine.wipe('database')],
  [1, (_world, machine) => machine.wipe('state')],
  [3, (_world, machine) => machine.stop()],
  [3, changeWeather],
  [3, changeRoute],
  [2, changeStore],
  [1, (world, machine) => machine.jumpClock(world.dice.pick([-600_000, -1000, 30, 600_000, 7_200_000]))],
  [12, () => undefined],
]

/** What belongs to the story: another machine comes, while the first one is there or just after. */
const STORY: Record<World['story'], Array<[weight: number, Disturbance]>> = {
  'one machine': [],
  deploys: [[10, deploy]],
  'two at once': [[14, (world) => world.dice.pick(world.machines).boot()]],
  'rolled back': [[10, deployAndRollBack]],
  'ledger lost': [],
}

function disturb(world: World): void {
  const choices = [...ANYWHERE, ...STORY[world.story]]
  const total = choices.reduce((sum, [weight]) => sum + weight, 0)
  let left = world.dice.fraction() * total
  for (const [weight, chosen] of choices) {
    left -= weight
    if (left >= 0) continue
    chosen(world, world.dice.pick(world.machines))
    return
  }
}

/** The host starts what should run: somebody always does. */
function keepUp(world: World): void {
  if (world.machines.some(({ state }) => state !== 'off')) return
  world.dice.pick(world.machines).boot()
}

/** The next instance starts beside the running one, which leaves soon after. */
function deploy(world: World): void {
  const { dice, timeline } = world
  const next = dice.pick(world.machines)
  const former = world.machines.filter((machine) => machine !== next && machine.state === 'running')
  next.boot()
  timeline.at(dice.between(0, 6000), undefined, 'the former instance leaves', () => {
    if (world.isHealed) return
    for (const machine of former) dice.chance(0.7) ? machine.stop() : machine.crash()
  })
}

/** The next instance claims the log and is taken away again. */
function deployAndRollBack(world: World): void {
  const { dice, timeline } = world
  const next = world.machines.find(({ state }) => state === 'off')
  next?.boot()
  timeline.at(dice.between(100, 4000), undefined, 'the deploy is rolled back', () => {
    if (!world.isHealed) next?.crash()
  })
}

function changeWeather(world: World, machine: SimMachine): void {
  const { dice } = world
  for (const route of machine.options.routes.values())
    route.weather = dice.chance(0.6) ? FOUL_WEATHER : FAIR_WEATHER
}

function changeRoute(world: World, machine: SimMachine): void {
  const { dice } = world
  for (const route of machine.options.routes.values())
    route.cut = dice.chance(0.5) ? 'no' : dice.pick(['refused', 'silent'])
}

function changeStore(world: World): void {
  const store = world.dice.pick(world.stores)
  store.isDown = !store.isDown
}

/** Faults stop: every way is open and every store is there. */
export function heal(world: World): void {
  world.isHealed = true
  for (const store of world.stores) store.isDown = false
  for (const route of world.routes) {
    route.weather = FAIR_WEATHER
    route.cut = 'no'
  }
  world.timeline.note('faults stop')
}

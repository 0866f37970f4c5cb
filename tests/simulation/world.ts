import {
  DEFAULT_KEEP,
  DEFAULT_LIMITS,
  type KeeperSettings,
} from '../../packages/kvar/src/settings/keeper-settings.ts'
import { Dice } from './dice.ts'
import { DATABASE_PATH, SimMachine } from './sim-machine.ts'
import { SimStore } from './sim-store.ts'
import { FAIR_WEATHER, type Route } from './sim-target.ts'
import { Timeline } from './timeline.ts'
import { Truth } from './truth.ts'

/** What happens in a world, beside its ordinary life. */
export type Story = 'one machine' | 'deploys' | 'two at once' | 'rolled back' | 'ledger lost'

const STORIES: readonly Story[] = ['one machine', 'deploys', 'two at once', 'rolled back', 'ledger lost']

/** Everything that one seed decides: machines, stores, the ways between them, and their settings. */
export class World {
  readonly dice: Dice
  readonly timeline = new Timeline()
  readonly truth = new Truth()
  readonly story: Story
  readonly stores: SimStore[]
  readonly machines: SimMachine[]
  readonly routes: Route[] = []
  readonly settings: KeeperSettings
  /** Faults have stopped. */
  isHealed = false

  constructor(seed: number) {
    this.dice = new Dice(seed, 'world')
    this.story = this.dice.pick(STORIES)
    this.stores = this.#makeStores()
    this.truth.ledger = this.stores[0]
    this.settings = this.#makeSettings()
    const count = this.story === 'one machine' ? 1 : this.dice.between(2, 3)
    this.machines = Array.from({ length: count }, (_, index) => this.#makeMachine(index))
    this.timeline.note(`seed ${seed}: ${this.story}, ${count} machines, ${this.stores.length} stores`)
  }

  get followers(): SimStore[] {
    return this.stores.slice(1)
  }

  #makeStores(): SimStore[] {
    const count = this.story === 'ledger lost' ? 3 : this.dice.pick([1, 2, 2, 3])
    return Array.from({ length: count }, (_, index) => {
      const name = index === 0 ? 'ledger' : `follower${index}`
      const lags = this.dice.chance(0.2)
      const store = new SimStore(name, this.truth, {
        listConsistency: lags ? 'eventual' : 'strong',
        rangeRead: this.dice.chance(0.8),
        createIfAbsent: index > 0 && this.dice.chance(0.3) ? 'checked' : 'atomic',
      })
      if (lags) store.listLagMs = this.dice.between(50, 1500)
      return store
    })
  }

  #makeSettings(): KeeperSettings {
    const { dice } = this
    return {
      databasePath: DATABASE_PATH,
      targets: this.stores.map(({ url }) => ({ url, scheme: 'sim', parameters: {}, secrets: {} })),
      ledger: 'sim:/ledger',
      // Where the ledger itself may be lost, only what all targets hold is safe.
      durable: this.story === 'ledger lost' || dice.chance(0.25) ? 'all' : 'ledger',
      copies: dice.chance(0.5) ? ['backup'] : [],
      intervalMs: dice.pick([20, 300, 1000]),
      startTimeoutMs: 10_000,
      onUnreachable: dice.chance(0.15) ? 'stale' : 'fail',
      keep: DEFAULT_KEEP,
      limits: {
        ...DEFAULT_LIMITS,
        pendingBytes: dice.pick([1500, 64 * 1024 * 1024]),
        outboxBytes: dice.pick([2000, 256 * 1024 * 1024]),
        catchUpVersions: dice.pick([4, 20, 1000]),
        targetTries: dice.pick([1, 3, 6]),
        targetTimeoutMs: dice.pick([1500, 5000]),
        takeBackMs: dice.pick([3000, 8000]),
      },
    }
  }

  #makeMachine(index: number): SimMachine {
    const { dice, timeline, truth, settings, stores } = this
    const name = 'ABC'.charAt(index)
    const routes = new Map(
      stores.map((store) => [store, { weather: { ...FAIR_WEATHER }, cut: 'no' } as Route]),
    )
    this.routes.push(...routes.values())
    const habits = { watchable: dice.chance(0.85), locksVisible: dice.chance(0.9) }
    const own = dice.fork(name)
    return new SimMachine({
      name,
      number: index + 1,
      timeline,
      truth,
      dice: own,
      habits,
      settings,
      stores,
      routes,
    })
  }
}

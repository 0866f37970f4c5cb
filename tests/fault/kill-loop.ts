import { setTimeout as pause } from 'node:timers/promises'
import { FollowerSwitch } from './proof-follower.ts'
import { type Loop, type LoopOptions, type LoopResult, runLoop } from './proof-loop.ts'
import { killKeepers } from './proof-processes.ts'
import type { Choices } from './proof-random.ts'
import type { Site } from './proof-site.ts'

/*
 * The kill loop (PROOF 3): an app under load, its keeper and both are killed with SIGKILL at random
 * moments. Afterwards, in the database and in a restore of the ledger: everything acknowledged is
 * there, nothing is that was not asked, every transaction is whole. As no disk is wiped here, the
 * database also keeps everything that was committed.
 */

const ROUNDS_PER_SITE = 10
const WAYS = ['keeper', 'keeper', 'keeper', 'app', 'both', 'both', 'start'] as const

export function killLoop(options: LoopOptions): Promise<LoopResult> {
  return runLoop(new KillLoop(), options)
}

class KillLoop implements Loop {
  readonly name = 'kill'
  readonly roundsPerSite = ROUNDS_PER_SITE
  readonly counts = { 'keeper kills': 0, 'app kills': 0 }
  readonly #followers = new WeakMap<Site, FollowerSwitch>()

  async round(site: Site, choices: Choices): Promise<void> {
    if (site.app === undefined) await this.#start(site, choices, true)
    this.#follower(site).maybeTurn(choices)
    await site.load(choices)
    const way = choices.pick(WAYS)
    site.note(`way: ${way}`)
    if (way === 'keeper') return this.#killKeeper(site, choices)
    if (way === 'app') await this.#killApp(site)
    else await this.#killBoth(site, choices)
    if (choices.chance(0.5)) await site.checkLog()
    if (way === 'start') await this.#killStart(site, choices)
    if (way === 'app') await pause(choices.between(0, 600))
    await this.#start(site, choices, way !== 'app')
  }

  /** The app goes on, and its next flush succeeds. */
  async #killKeeper(site: Site, choices: Choices): Promise<void> {
    for (let times = choices.between(1, 2); times > 0; times--) {
      this.counts['keeper kills'] += site.killKeeper()
      await pause(choices.between(0, 400))
    }
    await site.flush()
    await site.pause()
    site.checkLocal('committed')
    await site.checkLog()
    site.go()
  }

  async #killApp(site: Site): Promise<void> {
    await site.killApp()
    this.counts['app kills'] += 1
  }

  async #killBoth(site: Site, choices: Choices): Promise<void> {
    const keeperFirst = choices.chance(0.5)
    const betweenMs = choices.between(0, 30)
    if (keeperFirst) this.counts['keeper kills'] += site.killKeeper()
    if (keeperFirst) await pause(betweenMs)
    await this.#killApp(site)
    if (!keeperFirst) await pause(betweenMs)
    if (!keeperFirst) this.counts['keeper kills'] += site.killKeeper()
    await killKeepers(site.databasePath)
  }

  /** Killed again while it starts. */
  async #killStart(site: Site, choices: Choices): Promise<void> {
    site.launch()
    await pause(choices.between(50, 500))
    await this.#killBoth(site, choices)
    await site.checkLog()
  }

  /** @param newKeeper no keeper was left that could have met the app */
  async #start(site: Site, choices: Choices, newKeeper: boolean): Promise<void> {
    await site.start()
    site.history.goOnFrom(site.checkLocal('committed'))
    // The start of a keeper ends with everything stored that it found.
    if (newKeeper) site.history.allIsStored()
    if (choices.chance(0.5)) await site.checkLog()
    site.go()
  }

  async finish(site: Site): Promise<void> {
    this.#follower(site).comeBack()
    await site.finish()
  }

  #follower(site: Site): FollowerSwitch {
    const known = this.#followers.get(site) ?? new FollowerSwitch(site)
    this.#followers.set(site, known)
    return known
  }
}

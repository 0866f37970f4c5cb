import { setTimeout as pause } from 'node:timers/promises'
import { type Loop, type LoopOptions, type LoopResult, runLoop } from './proof-loop.ts'
import { Violation } from './proof-model.ts'
import type { Choices } from './proof-random.ts'
import { branchContents, readContent } from './proof-restore.ts'
import type { Site } from './proof-site.ts'
import { type Image, saveImage, tokensOf } from './wipe-images.ts'
import { emptyDisk, halfWiped, otherMachine, staleImage, type Wiped } from './wipe-kinds.ts'

/*
 * The wipe loop (PROOF 4): everything is killed, then the disk is emptied, half emptied, replaced by an
 * older image, or left behind for another machine. After the next start the database holds everything
 * that was acknowledged, nothing that was not asked, and what local content the log does not hold is a
 * branch.
 */

const ROUNDS_PER_SITE = 8
const KINDS = ['empty', 'half', 'stale', 'machine'] as const

export function wipeLoop(options: LoopOptions): Promise<LoopResult> {
  return runLoop(new WipeLoop(), options)
}

class WipeLoop implements Loop {
  readonly name = 'wipe'
  readonly roundsPerSite = ROUNDS_PER_SITE
  readonly counts = { empty: 0, half: 0, stale: 0, machine: 0, 'kept as branches': 0 }
  readonly #images = new WeakMap<Site, Image[]>()

  async round(site: Site, choices: Choices, round: number): Promise<void> {
    if (site.app === undefined) {
      await site.start()
      site.go()
      await this.#storeSomething(site)
    }
    await site.load(choices)
    if (choices.chance(0.3)) await site.flush()
    await site.killAll()
    const older = this.#images.get(site) ?? []
    const image = await saveImage(site, round)
    const wiped = this.#wipe(site, choices, older, KINDS[round % KINDS.length] ?? 'empty', round)
    this.#images.set(site, [...older, image].slice(-2))
    site.note(`${wiped.kind}: ${wiped.what}`)
    this.counts[wiped.kind] += 1
    const before = wiped.isDamaged ? [] : tokensOf(site)
    await site.start()
    const count = site.checkLocal('stored')
    await this.#assertKept(site, before)
    site.history.goOnFrom(count)
    site.history.allIsStored()
    if (choices.chance(0.5)) await site.checkLog()
    site.go()
  }

  /** Before that a stale image would rightly be the beginning of the log. */
  async #storeSomething(site: Site): Promise<void> {
    while (site.history.counts.acknowledged === 0) {
      await pause(10)
      await site.flush()
    }
  }

  #wipe(site: Site, choices: Choices, older: Image[], kind: (typeof KINDS)[number], round: number): Wiped {
    if (kind === 'half') return halfWiped(site, choices)
    if (kind === 'stale' && older.length > 0)
      return staleImage(site, choices, choices.pick(older), -1 - round)
    if (kind === 'machine') return otherMachine(site, choices)
    return emptyDisk(site)
  }

  /** What lay on this disk is in the database, or was set aside on the ledger. */
  async #assertKept(site: Site, before: number[]): Promise<void> {
    const now = new Set(readContent(site.databasePath).tokens)
    if (before.every((token) => now.has(token))) return
    for (const { tokens } of await branchContents(site.ledgerUrl, site.folder)) {
      const kept = new Set(tokens)
      if (before.every((token) => kept.has(token))) {
        this.counts['kept as branches'] += 1
        return
      }
    }
    const missing = before.filter((token) => !now.has(token))
    throw new Violation(
      'lost',
      `local content with ${missing.slice(0, 5)} is neither in the log nor a branch`,
    )
  }

  finish(site: Site): Promise<void> {
    return site.finish()
  }
}

import * as fs from 'node:fs'
import type { Choices } from './proof-random.ts'
import type { Site } from './proof-site.ts'

/** Takes a follower's folder away for some rounds, like a disk that is unplugged, and puts it back. */
export class FollowerSwitch {
  readonly #site: Site
  #away = false

  constructor(site: Site) {
    this.#site = site
  }

  maybeTurn(choices: Choices): void {
    if (!choices.chance(this.#away ? 0.5 : 0.25)) return
    if (this.#away) this.comeBack()
    else this.#goAway()
  }

  #goAway(): void {
    const folder = this.#site.followerFolder
    // Waiting for all targets would wait for this one.
    if (folder === undefined || this.#site.order.settings.durable === 'all' || !fs.existsSync(folder)) return
    fs.renameSync(folder, `${folder}.away`)
    this.#away = true
    this.#site.note('the follower goes away')
  }

  comeBack(): void {
    const folder = this.#site.followerFolder
    if (!this.#away || folder === undefined) return
    // A keeper that started meanwhile found no folder and made one: then that is the new disk.
    if (fs.existsSync(folder)) fs.rmSync(`${folder}.away`, { recursive: true })
    else fs.renameSync(`${folder}.away`, folder)
    this.#away = false
    this.#site.note('the follower is back')
  }
}

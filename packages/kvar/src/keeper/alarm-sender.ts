import { toKvarError } from '../errors.ts'
import { sleep } from '../platform/clock.ts'
import type { Platform } from '../platform/platform.ts'
import type { AlarmSetting } from '../settings/alarm-url.ts'
import type { AlarmMessage } from './alarm-message.ts'

/** Between two tries of one message; the last one is used for all that follow. */
const PAUSES_MS = [5000, 30_000, 120_000, 900_000]
/** About a day. Then only the note in the status is left. */
const TRIES_LIMIT = 100

export interface AlarmSenderOptions {
  alarm: AlarmSetting
  platform: Platform
  deliver: (alarm: AlarmSetting, message: AlarmMessage) => Promise<void>
  /** A try ended; undefined: it was delivered. */
  tried: (message: AlarmMessage, failure: string | undefined) => void
}

/** Sees to it that one alarm gets the newest message, however long it takes. Nobody waits for it. */
export class AlarmSender {
  readonly #options: AlarmSenderOptions
  #newer = new AbortController()
  #failure: string | undefined

  constructor(options: AlarmSenderOptions) {
    this.#options = options
  }

  /** Resolves after the first try; further ones follow by themselves. A newer message takes an older one's place. */
  async send(message: AlarmMessage): Promise<void> {
    this.#newer.abort()
    const newer = new AbortController()
    this.#newer = newer
    if (await this.#try(message)) return
    void this.#again(message, newer.signal)
  }

  notes(): string[] {
    return this.#failure === undefined
      ? []
      : [`An alarm did not reach ${this.#options.alarm.label}: ${this.#failure}.`]
  }

  stop(): void {
    this.#newer.abort()
  }

  async #again(message: AlarmMessage, signal: AbortSignal): Promise<void> {
    for (let tries = 1; tries < TRIES_LIMIT; tries++) {
      await sleep(this.#options.platform.clock, PAUSES_MS[tries - 1] ?? (PAUSES_MS.at(-1) as number), signal)
      if (signal.aborted || (await this.#try(message))) return
    }
  }

  async #try(message: AlarmMessage): Promise<boolean> {
    const { alarm, deliver, tried } = this.#options
    try {
      await deliver(alarm, message)
      this.#failure = undefined
    } catch (thrown) {
      this.#failure = toKvarError(thrown).message
    }
    tried(message, this.#failure)
    return this.#failure === undefined
  }
}

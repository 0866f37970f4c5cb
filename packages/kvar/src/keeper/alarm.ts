import { join } from 'node:path'
import { beforeDeadline, type Timer } from '../platform/clock.ts'
import { writeFileAtomically } from '../platform/files.ts'
import type { Platform } from '../platform/platform.ts'
import { hostName } from '../platform/processes.ts'
import type { AlarmSetting } from '../settings/alarm-url.ts'
import { AlarmJudge } from './alarm-judge.ts'
import { type AlarmMessage, alarmMessage, deliverAlarm } from './alarm-message.ts'
import { AlarmSender } from './alarm-sender.ts'
import type { LogLine } from './logging.ts'
import type { KeeperStatus } from './status.ts'

/** In `.NAME-kvar/`: what was told last. Without it a keeper that starts anew would tell the same again. */
const NAME = 'alarm.json'
/** How long a keeper that leaves waits for its last words to be taken. */
const LAST_WORDS_MS = 1500

export interface AlarmOptions {
  alarms: AlarmSetting[]
  afterMs: number
  platform: Platform
  /** `.NAME-kvar/`. */
  folder: string
  status: () => KeeperStatus
  log: (line: LogLine) => void
  /** A note came or went. */
  changed: () => void
}

/** Tells somebody when the database is not safe, and when it is again. It never stands in the way of anything. */
export class Alarm {
  readonly #options: AlarmOptions
  readonly #senders: AlarmSender[]
  #judge: AlarmJudge | undefined
  #timer: Timer | undefined
  #closed = false

  constructor(options: AlarmOptions) {
    this.#options = options
    const { alarms, platform } = options
    this.#senders = alarms.map(
      (alarm) =>
        new AlarmSender({
          alarm,
          platform,
          deliver: (to, message) => deliverAlarm(to, message, platform),
          tried: (message, failure) => this.#noteTry(alarm, message, failure),
        }),
    )
  }

  async open(): Promise<void> {
    if (this.#options.alarms.length === 0) return
    this.#judge = new AlarmJudge(this.#options.afterMs, await this.#readTold())
    this.look()
  }

  /** The status has changed, or time has passed. */
  look(): void {
    if (this.#judge === undefined || this.#closed) return
    const { status, platform } = this.#options
    const now = status()
    if (now.state === 'closing') return
    const { tell, lookAgainMs } = this.#judge.judge(now, platform.clock.monotonicMs())
    if (tell !== undefined) void this.#tell(tell, now)
    this.#timer?.cancel()
    if (lookAgainMs === undefined) return
    const waitMs = Math.max(1, lookAgainMs - platform.clock.monotonicMs())
    this.#timer = platform.clock.startTimer(waitMs, () => this.look())
  }

  /**
   * The keeper has to leave with something that a person should know: no time is left to see whether it
   * passes. Waits a moment for the message to be taken.
   */
  async lastWords(status: KeeperStatus): Promise<void> {
    if (this.#judge?.tellNow('bad') !== true) return
    await beforeDeadline(this.#options.platform.clock, LAST_WORDS_MS, this.#tell('bad', status))
  }

  notes(): string[] {
    return this.#senders.flatMap((sender) => sender.notes())
  }

  close(): void {
    this.#closed = true
    this.#timer?.cancel()
    for (const sender of this.#senders) sender.stop()
  }

  async #tell(event: 'bad' | 'good', status: KeeperStatus): Promise<void> {
    const nowMs = this.#options.platform.clock.nowMs()
    const message = alarmMessage(event, status, { host: hostName(), nowMs })
    await Promise.all([this.#remember(event), ...this.#senders.map((sender) => sender.send(message))])
  }

  #noteTry(alarm: AlarmSetting, message: AlarmMessage, failure: string | undefined): void {
    const facts = { alarm: alarm.label, about: message.event, ...(failure === undefined ? {} : { failure }) }
    this.#options.log({
      level: failure === undefined ? 'info' : 'warn',
      event: failure === undefined ? 'alarm-sent' : 'alarm-failed',
      facts,
    })
    this.#options.changed()
  }

  /** A cache like all of that folder: losing it costs a message too many. */
  async #remember(told: 'bad' | 'good'): Promise<void> {
    const { platform, folder } = this.#options
    const text = JSON.stringify({ told })
    await writeFileAtomically(platform.files, join(folder, NAME), text, { durable: false }).catch(
      () => undefined,
    )
  }

  async #readTold(): Promise<'bad' | 'good'> {
    const bytes = await this.#options.platform.files
      .readFile(join(this.#options.folder, NAME))
      .catch(() => undefined)
    return bytes !== undefined && new TextDecoder().decode(bytes).includes('"bad"') ? 'bad' : 'good'
  }
}

import type { RestoreProgress } from '../log/restore.ts'
import type { Clock } from '../platform/clock.ts'
import type { Output } from './output.ts'
import { bytesText, durationText } from './words.ts'

/** A terminal line is drawn anew this often. */
const TERMINAL_PAUSE_MS = 100
/** Elsewhere ten lines a minute: a log is read by people too. */
const LINE_PAUSE_MS = 6000
const JSON_PAUSE_MS = 1000

/** How far long work has come, with rate and time left. Work that is done at once prints nothing. */
export class Progress {
  readonly #out: Output
  readonly #clock: Clock
  readonly #verb: string
  readonly #begunMs: number
  readonly #pauseMs: number
  #nextMs: number
  #drawn = false

  /** @param verb what is being done, such as `Restoring` */
  constructor(out: Output, clock: Clock, verb: string) {
    this.#out = out
    this.#clock = clock
    this.#verb = verb
    this.#begunMs = clock.monotonicMs()
    const isTerminal = out.stderr.isTTY === true
    this.#pauseMs = out.json ? JSON_PAUSE_MS : isTerminal ? TERMINAL_PAUSE_MS : LINE_PAUSE_MS
    this.#nextMs = this.#begunMs + this.#pauseMs
  }

  update = (progress: RestoreProgress): void => {
    const nowMs = this.#clock.monotonicMs()
    if (nowMs < this.#nextMs) return
    this.#nextMs = nowMs + this.#pauseMs
    const facts = rateOf(progress, nowMs - this.#begunMs)
    if (this.#out.json) this.#out.document({ event: 'progress', ...progress, ...facts })
    else if (!this.#out.quiet) this.#draw(sentence(this.#verb, progress, facts))
  }

  /** Wipes the line, so that the next words begin on a clean one. */
  end(): void {
    if (this.#drawn) this.#out.stderr.write('\r\u001b[K')
    this.#drawn = false
  }

  #draw(text: string): void {
    this.#drawn = this.#out.stderr.isTTY === true
    this.#out.stderr.write(this.#drawn ? `\r${text}\u001b[K` : `${text}\n`)
  }
}

interface Rate {
  bytesPerSecond: number
  leftMs: number | null
}

function rateOf({ bytesDone, bytesTotal }: RestoreProgress, spentMs: number): Rate {
  const bytesPerSecond = spentMs === 0 ? 0 : Math.round((bytesDone * 1000) / spentMs)
  const leftMs = bytesPerSecond === 0 ? null : Math.round(((bytesTotal - bytesDone) * 1000) / bytesPerSecond)
  return { bytesPerSecond, leftMs }
}

function sentence(
  verb: string,
  { bytesDone, bytesTotal }: RestoreProgress,
  { bytesPerSecond, leftMs }: Rate,
) {
  const left = leftMs === null ? '' : `, ${durationText(leftMs)} left`
  return `${verb}: ${bytesText(bytesDone)} of ${bytesText(bytesTotal)}, ${bytesText(bytesPerSecond)}/s${left}`
}

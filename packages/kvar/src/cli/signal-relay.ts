import { isForegroundOfTerminal, type RunningCommand } from '../platform/processes.ts'

const SIGNALS = ['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGQUIT', 'SIGUSR1', 'SIGUSR2'] as const
type Relayed = (typeof SIGNALS)[number]

/** A terminal sends these to the whole group: the command has them already. */
const OF_TERMINAL = new Set<Relayed>(['SIGINT', 'SIGQUIT'])
/** These would end an app that has no handler for them, and so they end us while there is no app yet. */
const ENDING = new Set<Relayed>(['SIGTERM', 'SIGINT', 'SIGHUP', 'SIGQUIT'])

/**
 * Passes signals on to the command we stand in for, so that it may end (or reload) in its own way; we
 * leave after it. Before it runs, a signal to end is answered by `askedToEnd`.
 */
export class SignalRelay {
  readonly askedToEnd: Promise<Relayed>
  readonly #handlers = new Map<Relayed, () => void>()
  #command: RunningCommand | undefined
  #waiting: Relayed[] = []

  constructor() {
    let asked: (name: Relayed) => void = () => undefined
    this.askedToEnd = new Promise((resolve) => {
      asked = resolve
    })
    for (const name of SIGNALS) {
      const handler = () => this.#on(name, asked)
      this.#handlers.set(name, handler)
      process.on(name, handler)
    }
  }

  /** From here on signals go to the command, those that came a moment too early as well. */
  to(command: RunningCommand): void {
    this.#command = command
    for (const name of this.#waiting) command.signal(name)
    this.#waiting = []
  }

  stop(): void {
    for (const [name, handler] of this.#handlers) process.off(name, handler)
  }

  #on(name: Relayed, asked: (name: Relayed) => void): void {
    if (this.#command === undefined) {
      this.#waiting.push(name)
      if (ENDING.has(name)) asked(name)
    } else if (!OF_TERMINAL.has(name) || !isForegroundOfTerminal()) this.#command.signal(name)
  }
}

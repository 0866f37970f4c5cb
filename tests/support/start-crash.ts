import type { Files, OpenFile } from '../../packages/kvar/src/platform/files.ts'
import type { Platform } from '../../packages/kvar/src/platform/platform.ts'
import { systemPlatform } from '../../packages/kvar/src/platform/system.ts'

/** What every operation throws after the crash. It bears no system code, so nothing takes it for a full disk. */
export class CrashError extends Error {}

/** A change that is about to be made: its number from 1, its verb, and the verb with its paths. */
export interface Change {
  number: number
  name: string
  at: string
}

/** Verbs that leave something behind; all others only look. */
const CHANGING = new Set([
  'writeFile',
  'makeFolder',
  'rename',
  'link',
  'remove',
  'removeTree',
  'copyFile',
  'setModifiedAt',
  'syncFolder',
  'writeSync',
  'truncateSync',
  'sync',
  'syncSync',
])

/** Descriptors are closed by a kill too, and a watch that is gone harms nobody. */
const ENDINGS = new Set(['closeSync', 'close'])

/**
 * The real machine, until the N-th operation that changes a disk: that one and everything after it is
 * not done and throws, as if the process had been killed just before. It covers the database's own
 * disk and, because folder targets work through the same platform, the targets.
 *
 * @example
 * const machine = new CrashingMachine(7)
 * await startDatabase({ ...context, platform: machine.platform }) // throws CrashError at the 7th change
 */
export class CrashingMachine {
  /** Changes asked for so far, and the one that does not happen any more. */
  changes = 0
  crashed = false
  /** The operation that was not done, for the message of a failing test. */
  at = ''
  readonly platform: Platform
  readonly happened: Promise<'crashed'>
  readonly #crashAt: (change: Change) => boolean
  #tell: (word: 'crashed') => void = () => undefined

  /** @param crashAt the number of the change that does not happen, or a look at each change */
  constructor(crashAt: number | ((change: Change) => boolean) = Number.POSITIVE_INFINITY) {
    this.#crashAt = typeof crashAt === 'function' ? crashAt : (change) => change.number === crashAt
    this.happened = new Promise((resolve) => {
      this.#tell = resolve
    })
    this.platform = { ...systemPlatform, files: this.#wrap(systemPlatform.files) as Files }
  }

  /** Ends the machine's life now. */
  crashNow(): void {
    this.crashed = true
    this.#tell('crashed')
  }

  #wrap(verbs: object): unknown {
    return new Proxy(verbs, {
      get: (target, name) => {
        const verb: unknown = Reflect.get(target, name)
        if (typeof verb !== 'function') return verb
        return (...given: unknown[]) => this.#call(String(name), verb.bind(target), given)
      },
    })
  }

  #call(name: string, verb: (...given: unknown[]) => unknown, given: unknown[]): unknown {
    const opens = name === 'openSync'
    const changes = CHANGING.has(name) || (opens && given[1] !== 'read' && given[1] !== 'write')
    if (changes && !this.crashed) {
      this.changes += 1
      this.at = `${name} ${given.filter((part) => typeof part === 'string').join(' → ')}`
      if (this.#crashAt({ number: this.changes, name, at: this.at })) this.crashNow()
    }
    if (this.crashed && !ENDINGS.has(name)) return fail(name)
    const result = verb(...given)
    return opens ? (this.#wrap(result as OpenFile) as OpenFile) : result
  }
}

function fail(name: string): unknown {
  const error = new CrashError(`crashed before ${name}`)
  if (name.endsWith('Sync') || name === 'watch') throw error
  return Promise.reject(error)
}

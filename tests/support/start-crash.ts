import type { Files, OpenFile } from '../../packages/kvar/src/platform/files.ts'
import type { Platform } from '../../packages/kvar/src/platform/platform.ts'
import { systemPlatform } from '../../packages/kvar/src/platform/system.ts'
import type { Target } from '../../packages/kvar/src/targets/target.ts'

/** What every operation throws after the crash. It bears no system code, so nothing takes it for a full disk. */
export class CrashError extends Error {}

/** A change that is about to be made: its number from 1, its verb, and the verb with its paths or key. */
export interface Change {
  number: number
  name: string
  at: string
}

/** Verbs of files that leave something behind; all others only look. */
const FILE_CHANGES = new Set([
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
const TARGET_CHANGES = new Set(['create', 'replace', 'remove'])
/** No work of a disk or a place: descriptors are closed by a kill too, and names are only names. */
const HARMLESS = new Set(['closeSync', 'close', 'levelFolder'])
/** These throw at once; all other verbs reject. */
const isImmediate = (name: string) => name.endsWith('Sync') || name === 'watch' || name === 'list'

/**
 * The real machine, until the N-th change of a disk or a target: that one and everything after it is
 * not done and throws, as if the process had been killed just before. A change of a target counts
 * twice: before it is done, and done with its answer lost.
 *
 * @example
 * const life = new CrashingMachine(7)
 * await startDatabase({ ...context, platform: life.platform }) // throws CrashError at the 7th change
 */
export class CrashingMachine {
  changes = 0
  crashed = false
  /** The change that was not made, for the message of a failing test. */
  at = ''
  readonly platform: Platform
  readonly happened: Promise<'crashed'>
  readonly #crashAt: (change: Change) => boolean
  #spared = false
  #tell: (word: 'crashed') => void = () => undefined

  /** @param crashAt the number of the change that does not happen, or a look at each change */
  constructor(crashAt: number | ((change: Change) => boolean) = Number.POSITIVE_INFINITY) {
    this.#crashAt = typeof crashAt === 'function' ? crashAt : (change) => change.number === crashAt
    this.happened = new Promise((resolve) => {
      this.#tell = resolve
    })
    this.platform = { ...systemPlatform, files: this.#files(systemPlatform.files) }
  }

  /** Ends the machine's life now. */
  crashNow(): void {
    this.crashed = true
    this.#tell('crashed')
  }

  /** Nothing crashes any more, unless it has already. */
  spare(): void {
    this.#spared = true
  }

  target(target: Target): Target {
    return intercept(target, (name, verb, given) => {
      if (TARGET_CHANGES.has(name)) return this.#changeTarget(name, verb, given)
      return this.crashed && !HARMLESS.has(name) ? fail(name) : verb(...given)
    })
  }

  async #changeTarget(name: string, verb: Verb, given: unknown[]): Promise<unknown> {
    const at = `${name} ${String(given[0])}`
    if (this.#isCrash(name, at)) return fail(name)
    const answer = await verb(...given)
    return this.#isCrash(`answer of ${name}`, `answer of ${at}`) ? fail(name) : answer
  }

  #files<T extends Files | OpenFile>(files: T): T {
    return intercept(files, (name, verb, given) => {
      const opens = name === 'openSync'
      const changes = opens ? /create/.test(String(given[1])) : FILE_CHANGES.has(name)
      const at = `${name} ${given.filter((part) => typeof part === 'string').join(' → ')}`
      const gone = changes ? this.#isCrash(name, at) : this.crashed
      if (gone && !HARMLESS.has(name)) return fail(name)
      const result = verb(...given)
      return opens ? this.#files(result as OpenFile) : result
    })
  }

  #isCrash(name: string, at: string): boolean {
    if (this.crashed || this.#spared) return this.crashed
    this.changes += 1
    this.at = at
    if (this.#crashAt({ number: this.changes, name, at }) && !this.#spared) this.crashNow()
    return this.crashed
  }
}

type Verb = (...given: unknown[]) => unknown

/** The same object, with every call going through `call`. */
function intercept<T extends object>(
  object: T,
  call: (name: string, verb: Verb, given: unknown[]) => unknown,
): T {
  return new Proxy(object, {
    get(target, name) {
      const verb: unknown = Reflect.get(target, name)
      if (typeof verb !== 'function') return verb
      return (...given: unknown[]) => call(String(name), verb.bind(target) as Verb, given)
    },
  })
}

function fail(name: string): Promise<never> {
  const error = new CrashError(`crashed before ${name}`)
  if (isImmediate(name)) throw error
  return Promise.reject(error)
}

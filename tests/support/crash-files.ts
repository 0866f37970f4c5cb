import type { Files, OpenFile } from '../../packages/kvar/src/platform/files.ts'

/** One call of the file system, as a tap sees it. */
export interface FileCall {
  verb: string
  path: string
  /** Where a rename, a link or a copy leads. */
  to: string | undefined
  /** It leaves something behind, or is to make it durable; all others only look. */
  changes: boolean
  given: readonly unknown[]
  /** Makes the first half of a write, for one that breaks off. */
  half?: () => void
}

export interface FileTap {
  /** Before the call: what it throws is what the caller hears, and the call is not made. */
  before?(call: FileCall): void
  /** The call was made. */
  after?(call: FileCall, answer: unknown): void
}

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
const TWO_PATHS = new Set(['rename', 'link', 'copyFile'])

/** What of a tapped file system is under way. */
export class FileTraffic {
  /** Calls that wait for the disk. */
  underWay = 0
  readonly openPaths: string[] = []
}

/**
 * A file system whose every call, also those of open files, passes a tap. A descriptor is always
 * closed, even when the tap has the call fail: so does the kernel.
 */
export function tapFiles(files: Files, tap: FileTap, traffic = new FileTraffic()): Files {
  return intercept(files, (verb, work, given) => {
    if (verb === 'watch') return work()
    const opens = verb === 'openSync'
    const changes = opens ? /create/.test(String(given[1])) : CHANGING.has(verb)
    const to = TWO_PATHS.has(verb) ? String(given[1]) : undefined
    const call = { verb, path: String(given[0]), to, changes, given }
    if (verb.endsWith('Sync')) {
      tap.before?.(call)
      const answer = work()
      tap.after?.(call, answer)
      if (!opens) return answer
      traffic.openPaths.push(call.path)
      return tapFile(answer as OpenFile, call, tap, traffic)
    }
    return counted(traffic, async () => {
      tap.before?.(call)
      const answer = await work()
      tap.after?.(call, answer)
      return answer
    })
  })
}

function tapFile(file: OpenFile, opened: FileCall, tap: FileTap, traffic: FileTraffic): OpenFile {
  const { path } = opened
  return intercept(file, (verb, work, given) => {
    const call: FileCall = { verb, path, to: undefined, changes: CHANGING.has(verb), given }
    if (verb === 'writeSync') call.half = () => writeHalf(file, given as [Uint8Array, number])
    if (verb === 'closeSync') {
      traffic.openPaths.splice(traffic.openPaths.indexOf(path), 1)
      work()
      // No file system has trouble with the end of a file that was only read.
      if (opened.given[1] !== 'read') tap.before?.(call)
      return undefined
    }
    if (verb !== 'sync') {
      tap.before?.(call)
      const answer = work()
      tap.after?.(call, answer)
      return answer
    }
    return counted(traffic, async () => {
      tap.before?.(call)
      await work()
      tap.after?.(call, undefined)
    })
  })
}

function writeHalf(file: OpenFile, [bytes, offset]: [Uint8Array, number]): void {
  file.writeSync(bytes.subarray(0, bytes.length >> 1), offset)
}

async function counted<T>(traffic: FileTraffic, work: () => Promise<T>): Promise<T> {
  traffic.underWay += 1
  try {
    return await work()
  } finally {
    traffic.underWay -= 1
  }
}

/** The same object, with every call going through `call`. */
export function intercept<T extends object>(
  object: T,
  call: (verb: string, work: () => unknown, given: unknown[]) => unknown,
): T {
  return new Proxy(object, {
    get(target, name) {
      const verb: unknown = Reflect.get(target, name)
      if (typeof verb !== 'function') return verb
      return (...given: unknown[]) => call(String(name), () => verb.apply(target, given), given)
    },
  })
}

const SYSTEM_CALLS: Record<string, string> = {
  sync: 'fsync',
  syncSync: 'fsync',
  syncFolder: 'fsync',
  factsSync: 'fstat',
  truncateSync: 'ftruncate',
  setModifiedAt: 'utime',
  list: 'scandir',
  makeFolder: 'mkdir',
  remove: 'unlink',
}

/** An error as Node reports it. */
export function systemError(code: 'EIO' | 'ENOSPC', call: Pick<FileCall, 'verb' | 'path'>): Error {
  const words = { EIO: 'i/o error', ENOSPC: 'no space left on device' }[code]
  const errno = { EIO: -5, ENOSPC: -28 }[code]
  const syscall = SYSTEM_CALLS[call.verb] ?? call.verb.replace(/(Sync|File)$/, '')
  const path = call.path === '' ? {} : { path: call.path }
  const where = call.path === '' ? '' : ` '${call.path}'`
  return Object.assign(new Error(`${code}: ${words}, ${syscall}${where}`), {
    code,
    errno,
    syscall,
    ...path,
  })
}

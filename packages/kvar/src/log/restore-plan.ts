import { KvarError } from '../errors.ts'
import { type LogFile, SNAPSHOT_LEVEL, VERSION_LEVEL } from './log-layout.ts'

/** What a restore is to reach. `before` means the newest version strictly before the moment, in milliseconds. */
export type RestoreWant =
  | { kind: 'latest' }
  | { kind: 'version'; version: number }
  | { kind: 'before'; timeMs: number }

/** The files that make up one version, in the order in which they are applied. */
export interface RestorePlan {
  want: RestoreWant
  version: number
  files: LogFile[]
  totalBytes: number
}

/**
 * Chooses the files that make up the wanted version: the newest fitting snapshot, then again and
 * again the file that reaches furthest, as Litestream does. The newest version is the newest file at
 * level 0: nothing that reaches beyond it is ever used, and where it would be wanted it is an error,
 * because then versions must have been lost.
 *
 * @param where names the log in sentences
 * @throws KvarError `NO_BACKUP` for an empty log, `NOT_FOUND` for a version that never was, is not
 * yet or is no longer kept, `LOG_BROKEN` for a gap, with the nearest good version in `data`
 *
 * @example
 * const plan = planRestore(await log.listFiles(), { kind: 'version', version: 7 })
 */
export function planRestore(files: LogFile[], want: RestoreWant, where = 'this target'): RestorePlan {
  if (files.length === 0) {
    throw new KvarError('NO_BACKUP', `There is no version on ${where}`, {
      hint: 'check the target’s URL: a log may lie under another folder or prefix',
    })
  }
  const head = newestVersion(files)
  if (head === 0 || files.some((file) => file.maxVersion > head && isWanted(file, want, head)))
    assertNothingBeyond(files, head, where)
  const confirmed = files.filter((file) => file.maxVersion <= head)
  const version = wantedVersion(confirmed, want, head, where)
  const chain = chainTo(confirmed, version)
  if (reached(chain) !== version) throw cannotReach(confirmed, version, reached(chain), where)
  return { want, version, files: chain, totalBytes: chain.reduce((sum, file) => sum + file.sizeBytes, 0) }
}

/** The newest version at level 0; 0 when there is none. */
export function newestVersion(files: LogFile[]): number {
  return files.reduce((max, file) => (file.level === VERSION_LEVEL ? Math.max(max, file.maxVersion) : max), 0)
}

/** The newest version that can be put together from these files without going beyond `limit`; 0 for none. */
export function newestReachable(files: LogFile[], limit: number): number {
  return reached(chainTo(files, limit))
}

/** Whether a file beyond the newest version tells that what is wanted was there, and is lost. */
function isWanted(file: LogFile, want: RestoreWant, head: number): boolean {
  switch (want.kind) {
    case 'latest':
      return true
    case 'version':
      return want.version > head && want.version <= file.maxVersion
    case 'before':
      return file.modifiedAtMs < want.timeMs
  }
}

function wantedVersion(files: LogFile[], want: RestoreWant, head: number, where: string): number {
  switch (want.kind) {
    case 'latest':
      return head
    case 'version':
      if (want.version >= 1 && want.version <= head && Number.isSafeInteger(want.version)) return want.version
      throw new KvarError('NOT_FOUND', `There is no version ${want.version} on ${where}`, {
        hint: `the newest is ${head}`,
        data: { version: want.version, newest: head },
      })
    case 'before':
      return versionBefore(files, want.timeMs, where)
  }
}

function versionBefore(files: LogFile[], timeMs: number, where: string): number {
  const version = files.reduce(
    (max, file) => (file.modifiedAtMs < timeMs ? Math.max(max, file.maxVersion) : max),
    0,
  )
  if (version > 0) return version
  const oldest = files.reduce((min, file) => Math.min(min, file.maxVersion), Number.POSITIVE_INFINITY)
  throw new KvarError('NOT_FOUND', `No version on ${where} is older than ${new Date(timeMs).toISOString()}`, {
    hint: `the oldest is ${oldest}`,
    data: { oldest },
  })
}

/** Greedy: whatever can follow a shorter chain can follow a longer one, so the furthest step is never wrong. */
function chainTo(files: LogFile[], version: number): LogFile[] {
  const within = files
    .filter((file) => file.maxVersion <= version)
    .sort((a, b) => a.minVersion - b.minVersion || b.sizeBytes - a.sizeBytes)
  const chain: LogFile[] = []
  const snapshot = within
    .filter((file) => file.level === SNAPSHOT_LEVEL && file.minVersion === 1)
    .reduce<LogFile | undefined>(
      (a, b) => (a === undefined || b.maxVersion > a.maxVersion ? b : a),
      undefined,
    )
  if (snapshot !== undefined) chain.push(snapshot)
  let best: LogFile | undefined
  for (const file of within) {
    if (best !== undefined && file.minVersion > reached(chain) + 1) {
      extend(chain, best)
      best = undefined
    }
    if (file.minVersion > reached(chain) + 1) break
    // Of two that reach equally far the later and smaller one repeats less.
    if (file.maxVersion > reached(chain) && file.maxVersion >= (best?.maxVersion ?? 0)) best = file
  }
  if (best !== undefined) extend(chain, best)
  return chain
}

/** A file that begins with version 1 holds all pages: what came before it need not be read. */
function extend(chain: LogFile[], file: LogFile): void {
  if (file.minVersion === 1) chain.length = 0
  chain.push(file)
}

function reached(chain: LogFile[]): number {
  return chain.at(-1)?.maxVersion ?? 0
}

function cannotReach(files: LogFile[], version: number, nearest: number, where: string): KvarError {
  const data = { version, nearestVersion: nearest }
  const hint =
    nearest === 0 ? 'try another target' : `version ${nearest} is the nearest that can be restored here`
  const covered = files.some((file) => file.minVersion <= nearest + 1 && file.maxVersion > version)
  if (covered) {
    return new KvarError('NOT_FOUND', `Version ${version} is no longer kept on ${where}`, { hint, data })
  }
  const later = (file: LogFile) => file.minVersion > nearest + 1 && file.minVersion <= version
  const missingTo = files.reduce(
    (min, file) => (later(file) ? Math.min(min, file.minVersion - 1) : min),
    version,
  )
  return new KvarError(
    'LOG_BROKEN',
    `The log on ${where} has a gap: ${span(nearest + 1, missingTo)} missing`,
    {
      hint,
      data: { ...data, missingFrom: nearest + 1, missingTo },
    },
  )
}

function assertNothingBeyond(files: LogFile[], head: number, where: string): void {
  const beyond = files.find((file) => file.maxVersion > head)
  if (beyond === undefined) return
  throw new KvarError(
    'LOG_BROKEN',
    `"${beyond.key}" on ${where} reaches version ${beyond.maxVersion}, but ${span(head + 1, beyond.maxVersion)} missing`,
    {
      hint: head === 0 ? 'try another target' : `version ${head} is the nearest that can be restored here`,
      data: { key: beyond.key, missingFrom: head + 1, missingTo: beyond.maxVersion, nearestVersion: head },
    },
  )
}

function span(from: number, to: number): string {
  return from === to ? `version ${from} is` : `versions ${from} to ${to} are`
}

import { readAll } from '../targets/target.ts'
import type { LogFile } from './log-layout.ts'
import { passing } from './passing.ts'
import type { VersionLog } from './version-log.ts'

/** At most this many small files are fetched at once … */
const FILES_AHEAD = 8
/** … each no larger than this: so a restore holds at most 8 MiB of files. Larger ones are streamed. */
const SMALL_BYTES = 1024 * 1024

export interface OpenedFile {
  file: LogFile
  /** Undefined when the file is not there any more. */
  bytes: AsyncIterable<Uint8Array> | Iterable<Uint8Array> | undefined
}

/**
 * The files in order, small ones fetched side by side: a thousand deltas on a distant target take
 * seconds instead of a minute. Stops fetching when the caller stops asking.
 */
export async function* readAhead(
  log: VersionLog,
  files: LogFile[],
  signal?: AbortSignal,
): AsyncGenerator<OpenedFile> {
  const stop = new AbortController()
  const either = signal === undefined ? stop.signal : AbortSignal.any([signal, stop.signal])
  const fetched: Array<Promise<OpenedFile>> = []
  let next = 0
  try {
    for (const file of files) {
      for (; next < files.length && fetched.length < FILES_AHEAD; next++) {
        const candidate = files[next] as LogFile
        if (candidate.sizeBytes > SMALL_BYTES) break
        fetched.push(fetchSmall(log, candidate, either))
      }
      const small = fetched.shift()
      if (small !== undefined) yield await small
      else {
        next++
        yield { file, bytes: await log.target.read(file.key, passing(signal)) }
      }
    }
  } finally {
    stop.abort()
  }
}

function fetchSmall(log: VersionLog, file: LogFile, signal: AbortSignal): Promise<OpenedFile> {
  const fetching = readAll(log.target, file.key, { signal }).then((bytes) => ({
    file,
    bytes: bytes === undefined ? undefined : [bytes],
  }))
  // The failure is seen when the file's turn comes; until then it must not count as unhandled.
  fetching.catch(() => {})
  return fetching
}

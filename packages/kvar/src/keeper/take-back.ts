import { areOnlyClaims } from '../log/claim.ts'
import type { Ledger } from '../log/ledger.ts'
import type { VersionInfo } from '../log/version-log.ts'
import { sleep } from '../platform/clock.ts'
import type { Platform } from '../platform/platform.ts'
import type { Appender } from './appender.ts'
import type { CaptureLoop } from './capture-loop.ts'
import type { KeeperMemory } from './state-store.ts'

/**
 * After being fenced: waits until the log may be taken back, and makes everything that was prepared
 * and not stored part of the next version, since the numbers it bore are taken.
 *
 * @returns false when the other keeper owns the log for good
 */
export async function takeBack(options: {
  appender: Appender
  loop: CaptureLoop
  memory: KeeperMemory
  platform: Platform
  takeBackMs: number
  isOver: () => boolean
  /** Forgets that the prepared versions were cut. */
  rewind: () => void
}): Promise<boolean> {
  const { appender, loop, rewind } = options
  if (!(await waitForTakeBack({ ...options, ledger: appender.ledger }))) return false
  await loop.exclusively(() => {
    for (const version of appender.queue) {
      for (const [pageNumber] of version.changed) loop.capture.pending.mark(pageNumber)
    }
    rewind()
    appender.resume()
  })
  return true
}

/** How often the ledger is asked while we wait; a shorter wait is asked more often. */
const LOOK_MS = 5000

/**
 * An owner that was fenced waits: if for `takeBackMs` there is nothing above its own head but claims,
 * the deploy that made them was rolled back, and the former owner may append after them (R4).
 * Content of somebody else ends the wait at once.
 *
 * @returns true when the ledger has accepted us behind the newest claim
 */
async function waitForTakeBack(options: {
  ledger: Ledger
  memory: KeeperMemory
  platform: Platform
  takeBackMs: number
  /** The keeper is closing: nothing is waited for any more. */
  isOver: () => boolean
}): Promise<boolean> {
  const { ledger, memory, takeBackMs, isOver } = options
  const { clock } = options.platform
  const untilMs = clock.monotonicMs() + takeBackMs
  for (;;) {
    const tail = await readTail(ledger)
    if (isOver() || (tail !== undefined && !onlyClaims(memory, tail))) return false
    const leftMs = untilMs - clock.monotonicMs()
    const newest = tail?.at(-1)
    if (leftMs <= 0 && newest !== undefined) {
      ledger.accept(newest)
      return true
    }
    await sleep(clock, Math.max(1, Math.min(LOOK_MS, takeBackMs / 4, leftMs > 0 ? leftMs : LOOK_MS)))
  }
}

/** Undefined while the ledger does not answer: then nothing is decided. */
async function readTail(ledger: Ledger): Promise<VersionInfo[] | undefined> {
  try {
    return await ledger.readTail()
  } catch {
    return undefined
  }
}

function onlyClaims(memory: KeeperMemory, tail: VersionInfo[]): boolean {
  const [first] = tail
  if (first === undefined) return true
  const { version } = memory
  // Retention may have taken the lower end away: what lies there is not known.
  if (first.version !== version + 1) return false
  return areOnlyClaims({ ...first, version, databaseChecksum: BigInt(memory.databaseChecksum) }, tail)
}

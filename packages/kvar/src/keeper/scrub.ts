import { KvarError } from '../errors.ts'
import { sleep } from '../platform/clock.ts'
import type { Platform } from '../platform/platform.ts'
import { throwIfCancelled } from '../targets/target.ts'
import type { CaptureLoop } from './capture-loop.ts'

/** Read and hashed in one go: a few milliseconds in which nothing else looks at the database. */
const SLICE_BYTES = 1024 * 1024
/** A scrub takes at most this share of a core, whatever the journal mode. */
const SCRUB_SHARE = 0.1
const BUSY_FIRST_MS = 20
const BUSY_LONGEST_MS = 1000
/** An app that never leaves a moment's peace to one slice: the scrub is tried again later. */
const BUSY_LIMIT_MS = 120_000

/** What one reading of the whole database found. */
export interface Scrubbed {
  pages: number
  /** Pages that differed from the page table although nothing was committed. */
  drifted: number
  /** False when the sum of the table itself was wrong. */
  sumWasRight: boolean
  durationMs: number
}

/**
 * Recomputes the page table from the database (R6), slice by slice, each one at a moment at which
 * everything committed is captured. No lock is taken that could make an app fail; between two slices
 * looks, cuts and appends go on. What has drifted is taken in, so that the next version corrects it.
 *
 * @returns undefined when there is no database
 * @throws KvarError `HELD` when a writer never gives a moment's peace, `CANCELLED` by the signal
 */
export async function scrubDatabase(options: {
  loop: CaptureLoop
  platform: Platform
  signal: AbortSignal
}): Promise<Scrubbed | undefined> {
  const { loop, platform, signal } = options
  const { clock } = platform
  const begunMs = clock.monotonicMs()
  const found = { pages: 0, drifted: 0 }
  for (let next = 1; next > 0; ) {
    const sliceMs = clock.monotonicMs()
    const slice = await checkSlice(options, next)
    if (slice.kind === 'missing') return undefined
    found.pages += slice.pages
    found.drifted += slice.drifted
    next = slice.next
    await sleep(clock, (clock.monotonicMs() - sliceMs) * (1 / SCRUB_SHARE - 1), signal)
    throwIfCancelled(signal)
  }
  const sumWasRight = await loop.exclusively(() => loop.capture.recount())
  return { ...found, sumWasRight, durationMs: Math.round(clock.monotonicMs() - begunMs) }
}

/** The same slice again until no writer was in the way. */
async function checkSlice({ loop, platform, signal }: Parameters<typeof scrubDatabase>[0], first: number) {
  const untilMs = platform.clock.monotonicMs() + BUSY_LIMIT_MS
  for (let pauseMs = BUSY_FIRST_MS; ; pauseMs = Math.min(pauseMs * 2, BUSY_LONGEST_MS)) {
    const outcome = await loop.checkPages(first, SLICE_BYTES)
    if (outcome.kind !== 'unsure') return outcome
    if (platform.clock.monotonicMs() > untilMs) {
      throw new KvarError('HELD', `The database could not be checked: ${outcome.why}`, {
        hint: 'it is tried again later',
      })
    }
    await sleep(platform.clock, pauseMs, signal)
    throwIfCancelled(signal)
  }
}

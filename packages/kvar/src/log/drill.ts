import { KvarError, toKvarError } from '../errors.ts'
import { systemErrorCode } from '../platform/files.ts'
import type { Platform } from '../platform/platform.ts'
import { throwIfCancelled } from '../targets/target.ts'
import type { LogFile } from './log-layout.ts'
import { passing } from './passing.ts'
import { type RestoredImage, type RestoreProgress, restoreToFile } from './restore.ts'
import { planRestore, type RestorePlan, type RestoreWant } from './restore-plan.ts'
import type { VersionLog } from './version-log.ts'

/** Left free beside a restored file: the app must not run out of room because of a rehearsal. */
const SPARE_BYTES = 64 * 1024 * 1024
/** Older versions tried when retention takes one away under our hands. */
const OLDER_TRIES = 5

export interface DrillOptions {
  log: VersionLog
  platform: Platform
  /** A file that does not exist yet and that is gone again afterwards, on a disk that others use too. */
  scratchPath: string
  /** The database checksum noted when a version was captured, from anywhere but this log. */
  recorded: (version: number) => Promise<bigint | undefined>
  onProgress?: (progress: RestoreProgress) => void
  signal?: AbortSignal
}

/** One version that was restored to a temporary place and found to be what was captured. */
export interface Rehearsed {
  version: number
  sizeBytes: number
  durationMs: number
  bytesRead: number
  objectsRead: number
  /** Who else said what the version has to be, besides the log itself: the notes made at capture. */
  comparedWithCapture: boolean
  /** Damaged objects that could be done without. */
  damagedKeys: string[]
}

/**
 * Rehearses a restore (PROOF 22): the newest version and one random older one, each to a temporary
 * file, with every checksum on the way, SQLite's own integrity check, and the database checksum
 * compared with the one noted at capture.
 *
 * @returns newest first; one entry where the log holds a single version
 * @throws KvarError `DAMAGED` or `LOG_BROKEN`: the restore would fail · `NO_BACKUP` · `TARGET_FULL` when this
 * machine lacks the room · what the target throws
 *
 * @example
 * const [newest] = await rehearseRestore({ log, platform, scratchPath, recorded: async () => undefined })
 */
export async function rehearseRestore(options: DrillOptions): Promise<Rehearsed[]> {
  const newest = await rehearseVersion(options, () => ({ kind: 'latest' }))
  const older = await rehearseOlder(options, newest.version)
  return older === undefined ? [newest] : [newest, older]
}

async function rehearseOlder(options: DrillOptions, newest: number): Promise<Rehearsed | undefined> {
  const tried = new Set<number>()
  for (let tries = 0; tries < OLDER_TRIES; tries++) {
    try {
      return await rehearseVersion(options, (files) => ({
        kind: 'version',
        version: randomOlder(files, newest, tried, options.platform),
      }))
    } catch (thrown) {
      // Retention gave it up: no fault of the log.
      if (!(thrown instanceof KvarError) || thrown.code !== 'NOT_FOUND') throw thrown
      if (thrown.data.nothingOlder === true) return undefined
    }
  }
  return undefined
}

function randomOlder(files: LogFile[], newest: number, tried: Set<number>, platform: Platform): number {
  const versions = new Set(files.map((file) => file.maxVersion))
  const older = [...versions].filter((version) => version < newest && !tried.has(version))
  const chosen = older[Math.floor(platform.random.fraction() * older.length)]
  if (chosen === undefined)
    throw new KvarError('NOT_FOUND', 'There is no older version', { data: { nothingOlder: true } })
  tried.add(chosen)
  return chosen
}

async function rehearseVersion(
  options: DrillOptions,
  choose: (files: LogFile[]) => RestoreWant,
): Promise<Rehearsed> {
  const { log, platform, scratchPath, signal } = options
  const { clock, files } = platform
  const listed = await log.listFiles(passing(signal))
  const begunMs = clock.monotonicMs()
  const plan = planRestore(listed, choose(listed), log.name)
  await assertRoom(options, plan)
  await files.remove(scratchPath)
  try {
    const image = await restoreScratch(options, plan)
    const comparedWithCapture = await assertIdentical(options, image)
    await assertSound(options, image)
    return {
      version: image.version,
      sizeBytes: image.pageCount * image.pageSize,
      durationMs: Math.round(clock.monotonicMs() - begunMs),
      bytesRead: image.bytesRead,
      objectsRead: image.objectsRead,
      comparedWithCapture,
      damagedKeys: image.damagedKeys,
    }
  } finally {
    await files.remove(scratchPath)
  }
}

/** Trouble of this machine's disk says nothing of the log: it is told apart from a restore that fails. */
async function restoreScratch(options: DrillOptions, plan: RestorePlan): Promise<RestoredImage> {
  const { log, platform, scratchPath, onProgress, signal } = options
  const hooks = { ...(onProgress === undefined ? {} : { onProgress }), ...passing(signal) }
  try {
    return await restoreToFile({ log, plan, path: scratchPath, platform, ...hooks })
  } catch (thrown) {
    if (thrown instanceof KvarError || systemErrorCode(thrown) === undefined) throw thrown
    throw noRoom(`"${scratchPath}" cannot be written: ${toKvarError(thrown).message}`, thrown)
  }
}

async function assertRoom({ log, platform, scratchPath, signal }: DrillOptions, plan: RestorePlan) {
  const free = await platform.freeBytes?.(scratchPath)
  const last = plan.files.at(-1)
  if (free === undefined || last === undefined) return
  const header = await log.readHeader(last.key, passing(signal))
  const needed = header === undefined ? 0 : header.pageCount * header.pageSize
  if (needed + Math.min(SPARE_BYTES, needed) <= free) return
  throw noRoom(`it needs ${needed} bytes of the ${free} that are free beside "${scratchPath}"`)
}

function noRoom(why: string, cause?: unknown): KvarError {
  return new KvarError('TARGET_FULL', `No restore could be rehearsed: ${why}`, {
    hint: 'make room on this machine’s disk',
    ...(cause === undefined ? {} : { cause }),
  })
}

async function assertIdentical({ log, recorded }: DrillOptions, image: RestoredImage): Promise<boolean> {
  const expected = await recorded(image.version)
  if (expected === undefined) return false
  if (expected === image.databaseChecksum) return true
  throw new KvarError('DAMAGED', `Version ${image.version} on ${log.name} is not what was captured`, {
    hint: `look with: kvar verify --data --target ${log.target.url}`,
    data: { version: image.version, target: log.target.url },
  })
}

async function assertSound({ log, platform, scratchPath, signal }: DrillOptions, image: RestoredImage) {
  const answer = await platform.checkIntegrity?.(scratchPath, image.pageCount * image.pageSize, signal)
  throwIfCancelled(signal)
  if (answer === undefined || answer === 'ok') return
  // The log is right, byte for byte: it is the content that SQLite finds broken.
  throw new KvarError(
    'DAMAGED',
    `Version ${image.version} on ${log.name} is what was captured, but SQLite finds the database itself broken: ${answer.slice(0, 200)}`,
    {
      hint: 'find the newest sound version with: kvar restore --version N --to FILE',
      data: { version: image.version, target: log.target.url, integrity: answer.slice(0, 2000) },
    },
  )
}

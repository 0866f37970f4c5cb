import { basename, dirname, join } from 'node:path'
import { KvarError } from '../../errors.ts'
import { writeFileAtomically } from '../../platform/files.ts'
import type { Platform } from '../../platform/platform.ts'
import { processesHolding } from '../../platform/processes.ts'
import { beforeRestoreFolder } from '../../settings/names.ts'

/**
 * Puts a restored file in the database's place (R5), so that a crash between any two steps leaves
 * something the next start can finish:
 *
 *  1. the intent is noted and synced
 *  2. the database is moved aside *first*, then `-journal`, `-wal`, `-shm`. The other way round a crash
 *     would leave a database without its hot journal, which is corrupt.
 *  3. the new file is renamed in, the folder is synced, the intent is removed
 *
 * Only for start-up before the app: a process that has the old file open would go on writing into it.
 */
export async function swapDatabase(options: SwapOptions): Promise<string | undefined> {
  const { databasePath, platform } = options
  assertNobodyHolds(databasePath)
  const aside = beforeRestoreFolder(databasePath, platform.clock.nowMs())
  const intent: SwapIntent = { newFile: options.newFile, aside }
  const intentPath = join(options.stateFolder, INTENT_NAME)
  await writeFileAtomically(platform.files, intentPath, JSON.stringify(intent), { durable: true })
  return carryOut(databasePath, intent, intentPath, platform)
}

/** Finishes a swap that a crash interrupted. Answers true if there was one. */
export async function finishSwap(options: Omit<SwapOptions, 'newFile'>): Promise<boolean> {
  const { databasePath, platform } = options
  const intentPath = join(options.stateFolder, INTENT_NAME)
  const bytes = await platform.files.readFile(intentPath)
  if (bytes === undefined) return false
  const intent = parseIntent(bytes)
  if (intent !== undefined) await carryOut(databasePath, intent, intentPath, platform)
  else await platform.files.remove(intentPath)
  return true
}

/** Moves files that lie beside the database, and belong to another one, to where nothing replays them. */
export async function moveAside(
  databasePath: string,
  suffixes: string[],
  platform: Platform,
): Promise<string> {
  assertNobodyHolds(databasePath)
  const aside = beforeRestoreFolder(databasePath, platform.clock.nowMs())
  await moveFiles(databasePath, suffixes, aside, platform)
  await platform.files.syncFolder(dirname(databasePath))
  return aside
}

/** Whoever has the file open would go on writing into the one that is moved away, and lose it all silently. */
function assertNobodyHolds(databasePath: string): void {
  const [holder] = processesHolding(databasePath)
  if (holder === undefined) return
  throw new KvarError('HELD', `Cannot restore "${databasePath}": process ${holder} has it open`, {
    hint: 'stop that process, or let the app open the database only after Kvar has started',
    data: { processId: holder },
  })
}

export const SIDE_FILES = ['-journal', '-wal', '-shm']
const INTENT_NAME = 'restore-intent.json'

interface SwapOptions {
  databasePath: string
  stateFolder: string
  /** A complete, synced file on the database's file system. */
  newFile: string
  platform: Platform
}

interface SwapIntent {
  newFile: string
  aside: string
}

async function carryOut(
  databasePath: string,
  intent: SwapIntent,
  intentPath: string,
  platform: Platform,
): Promise<string | undefined> {
  const { files } = platform
  const folder = dirname(databasePath)
  // Without the new file the rename was already done, and everything moved before it. A power cut on a file
  // system without a journal may leave the new file under both names.
  const made = files.statSync(intent.newFile)
  const hasBothNames = made !== undefined && files.statSync(databasePath)?.inode === made.inode
  let moved = false
  if (hasBothNames) await files.remove(intent.newFile)
  else if (made !== undefined) {
    moved = await moveFiles(databasePath, ['', ...SIDE_FILES], intent.aside, platform)
    await files.syncFolder(folder)
    await files.rename(intent.newFile, databasePath)
  }
  await files.syncFolder(folder)
  await files.remove(intentPath)
  // If both the intent and the new file's former name came back after a power cut, the next start would
  // make the swap again, over what the app has committed since.
  await files.syncFolder(dirname(intentPath))
  return moved ? intent.aside : undefined
}

/** Moves what exists, in the given order; a name that is taken aside gets a number. */
async function moveFiles(
  databasePath: string,
  suffixes: string[],
  aside: string,
  platform: Platform,
): Promise<boolean> {
  const { files } = platform
  let moved = false
  for (const suffix of suffixes) {
    const path = databasePath + suffix
    if (files.statSync(path) === undefined) continue
    await files.makeFolder(aside, 0o700)
    await files.rename(path, freeName(join(aside, basename(path)), platform))
    moved = true
  }
  if (moved) await files.syncFolder(aside)
  return moved
}

function freeName(path: string, platform: Platform): string {
  let free = path
  for (let number = 2; platform.files.statSync(free) !== undefined; number++) free = `${path}.${number}`
  return free
}

/** An unreadable intent was never synced, so nothing was moved for it. */
function parseIntent(bytes: Uint8Array): SwapIntent | undefined {
  try {
    const value = JSON.parse(new TextDecoder().decode(bytes)) as Partial<SwapIntent>
    return typeof value.newFile === 'string' && typeof value.aside === 'string'
      ? (value as SwapIntent)
      : undefined
  } catch {
    return undefined
  }
}

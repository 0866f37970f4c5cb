import { basename, dirname } from 'node:path'
import { KvarError } from '../errors.ts'
import { DATABASE_HEADER_BYTES, parseDatabaseHeader } from '../formats/database-header.ts'
import { StateStore } from '../keeper/state-store.ts'
import { machineFacts } from '../platform/environment.ts'
import type { Platform } from '../platform/platform.ts'
import type { KeeperSettings } from '../settings/keeper-settings.ts'
import { stateFolder } from '../settings/names.ts'
import { checkPlatform, hasWalResetBug } from '../settings/platform-support.ts'
import { VERSION } from '../settings/version.ts'
import { bad, type Check, care, good } from './doctor.ts'
import { explainError } from './explain-error.ts'
import { bytesText, countText, timeText } from './words.ts'

const MIB = 1024 * 1024
/** Beside a database this much room is asked for, on top of a whole second copy of it. */
const SPARE_BYTES = 64 * MIB
/** Below this an app may fail any moment. */
const LEAST_BYTES = 16 * MIB
/** SQLite writes its own version here with each change of the header (fileformat2.html §1.3). */
const WRITER_OFFSET = 96

export function* checkMachine(_settings: KeeperSettings, _platform: Platform): Generator<Check> {
  const facts = machineFacts()
  const refusal = checkPlatform(facts)
  const { platform, arch, nodeVersion, sqliteVersion } = facts
  yield refusal === undefined
    ? good('machine', `Kvar ${VERSION} on ${platform} ${arch}, Node ${nodeVersion}, SQLite ${sqliteVersion}.`)
    : bad('machine', refusal)
}

/** By its first bytes alone: the app may be at work. */
export function* checkDatabase({ databasePath }: KeeperSettings, platform: Platform): Generator<Check> {
  const name = basename(databasePath)
  const facts = platform.files.statSync(databasePath)
  if (facts === undefined) {
    return yield care(
      'database',
      `There is no file "${databasePath}" yet.`,
      'it is restored, or protected from its first commit on, when the app starts',
    )
  }
  if (facts.isFolder)
    return yield bad(
      'database',
      new KvarError('USAGE', `"${databasePath}" is a folder`, { hint: 'name the SQLite file' }),
    )
  if (facts.sizeBytes === 0) return yield care('database', `"${name}" is empty: it counts as missing.`)
  const bytes = firstBytes(databasePath, platform)
  const header = parseDatabaseHeader(bytes)
  if (header === undefined) {
    return yield bad(
      'database',
      new KvarError('DATABASE_UNREADABLE', `"${name}" is no SQLite database`, {
        hint: 'see kvar restore --to FILE for what is stored',
      }),
    )
  }
  const mode = header.journalMode === 'wal' ? 'WAL mode' : 'rollback-journal mode'
  const pages = countText(Math.floor(facts.sizeBytes / header.pageSize), 'page')
  yield good(
    'database',
    `"${name}": ${bytesText(facts.sizeBytes)}, ${pages} of ${header.pageSize} bytes, ${mode}, last change ${timeText(facts.modifiedAtMs)}.`,
  )
  yield* checkWriter(bytes, header.journalMode, name)
  if (header.journalMode === 'rollback') {
    yield care(
      'database',
      'Without WAL each change is found by reading the whole file.',
      `quicker for the app and for Kvar: sqlite3 ${name} "PRAGMA journal_mode=WAL"`,
    )
  }
}

/** The app's own SQLite cannot be asked, but the last one that wrote left its version in the header. */
function* checkWriter(bytes: Uint8Array, journalMode: 'wal' | 'rollback', name: string): Generator<Check> {
  const number = new DataView(bytes.buffer, bytes.byteOffset).getUint32(WRITER_OFFSET)
  if (number === 0) return
  const version = `${Math.floor(number / 1_000_000)}.${Math.floor(number / 1000) % 1000}.${number % 1000}`
  if (journalMode === 'wal' && hasWalResetBug(version)) {
    return yield care(
      'database',
      `"${name}" was last written by SQLite ${version}, which has a bug that can corrupt a WAL database when two connections checkpoint and commit at once.`,
      'update the app’s SQLite to 3.51.3 or newer when you can (sqlite.org/wal.html, “The WAL-Reset Bug”)',
    )
  }
  yield good('database', `"${name}" was last written by SQLite ${version}.`)
}

function firstBytes(path: string, platform: Platform): Uint8Array {
  const bytes = new Uint8Array(DATABASE_HEADER_BYTES)
  // This process holds no SQLite connection to it, so that closing drops no lock.
  const file = platform.files.openSync(path, 'read')
  try {
    file.readSync(bytes, 0)
    return bytes
  } finally {
    file.closeSync()
  }
}

export async function* checkDisk(
  { databasePath }: KeeperSettings,
  platform: Platform,
): AsyncGenerator<Check> {
  const free = await platform.freeBytes?.(dirname(databasePath))
  if (free === undefined) return
  const sizeBytes = platform.files.statSync(databasePath)?.sizeBytes ?? 0
  const room = `${bytesText(free)} are free on the database’s disk`
  if (free < LEAST_BYTES) {
    yield bad(
      'disk',
      new KvarError('TARGET_FULL', room, { hint: 'make room: the app itself may fail any moment' }),
    )
  } else if (free < sizeBytes + SPARE_BYTES) {
    yield care(
      'disk',
      `${room}: too little to rehearse a restore, or to write the copies.`,
      'make room for at least one more copy of the database',
    )
  } else yield good('disk', `${room}.`)
}

export async function* checkState(
  { databasePath }: KeeperSettings,
  platform: Platform,
): AsyncGenerator<Check> {
  const folder = stateFolder(databasePath)
  if (platform.files.statSync(folder) === undefined) {
    return yield good('state', `No keeper has worked here yet: there is no "${basename(folder)}".`)
  }
  const probe = `${folder}/doctor.tmp`
  try {
    await platform.files.writeFile(probe, 'kvar doctor')
    await platform.files.remove(probe)
    const saved = await new StateStore(folder, platform).load()
    const noted =
      saved === undefined ? 'it remembers nothing' : `it remembers version ${saved.memory.version}`
    yield good('state', `The keeper’s folder "${basename(folder)}" can be written; ${noted}.`)
  } catch (thrown) {
    yield bad('state', explainError(thrown))
  }
}

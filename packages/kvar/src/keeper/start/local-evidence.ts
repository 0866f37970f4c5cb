import { PageTable } from '../../capture/page-table.ts'
import { type DatabaseHeader, parseDatabaseHeader } from '../../formats/database-header.ts'
import { scanWal, type WalScan } from '../../formats/wal.ts'
import { startPageCrew } from '../../log/page-crew.ts'
import { checksumImage } from '../../log/page-source.ts'
import type { Platform } from '../../platform/platform.ts'
import { type KeeperMemory, saltsOf } from '../state-store.ts'

/** More new beginnings of a WAL since our last note are not believed: salts of another WAL are random. */
const RESTARTS_LIMIT = 65_536

/** What tools that keep a file's time lose of it. */
const TIME_LOSS_NS = 2000n

/** The bare files as they lie on the disk, before SQLite opens anything. */
export interface BareFiles {
  header: DatabaseHeader
  sizeBytes: number
  modifiedAtMs: number
  modifiedAtNs: bigint
  /** The pages of the database file alone, without its WAL. */
  table: PageTable
  wal: WalScan | undefined
  walModifiedAtMs: number
  hasJournal: boolean
}

/** Undefined when there is no database file, or nothing in it that SQLite would call one. */
export async function readBareFiles(path: string, platform: Platform): Promise<BareFiles | undefined> {
  const { files } = platform
  const facts = files.statSync(path)
  if (facts === undefined || facts.isFolder || facts.sizeBytes === 0) return undefined
  const file = files.openSync(path, 'read')
  try {
    const start = new Uint8Array(100)
    file.readSync(start, 0)
    const header = parseDatabaseHeader(start)
    if (header === undefined) return undefined
    const pageCount = header.pageCountValid ? header.pageCount : Math.ceil(facts.sizeBytes / header.pageSize)
    return {
      header,
      sizeBytes: facts.sizeBytes,
      modifiedAtMs: facts.modifiedAtMs,
      modifiedAtNs: facts.modifiedAtNs,
      table: await tableOfFile(path, header.pageSize, pageCount, platform),
      wal: scanFile(`${path}-wal`, platform),
      walModifiedAtMs: files.statSync(`${path}-wal`)?.modifiedAtMs ?? 0,
      hasJournal: (files.statSync(`${path}-journal`)?.sizeBytes ?? 0) > 0,
    }
  } finally {
    file.closeSync()
  }
}

/** By many threads if the file is large. No SQLite connection of ours is open yet, so closing drops no lock. */
async function tableOfFile(path: string, pageSize: number, pageCount: number, platform: Platform) {
  const crew = startPageCrew(platform, pageCount * pageSize)
  try {
    const { pageChecksums } = await checksumImage({ platform, path, pageSize, pageCount }, undefined, crew)
    return PageTable.of(pageSize, pageChecksums)
  } finally {
    await crew?.close()
  }
}

function scanFile(path: string, platform: Platform): WalScan | undefined {
  if (platform.files.statSync(path) === undefined) return undefined
  const file = platform.files.openSync(path, 'read')
  try {
    return scanWal((buffer, offset) => file.readSync(buffer, offset))
  } finally {
    file.closeSync()
  }
}

/**
 * Whether somebody copied the `.backup` over the database. Equal bytes alone do not say so: a database
 * into which nothing was moved since its copy was made has them too, and the commits since then are in
 * its WAL, or were in a WAL that is lost. A copy is newer than the WAL beside it, or without one than
 * our last note; or it bears the very time of the `.backup` (`cp -p`).
 */
export function backupWasCopied(
  bare: BareFiles,
  backup: BareFiles | undefined,
  memory: KeeperMemory | undefined,
): boolean {
  if (backup === undefined || bare.table.databaseChecksum !== backup.table.databaseChecksum) return false
  // `cp -p` keeps the copy's own time, to the microsecond; SQLite's writes have the kernel's.
  const apartNs = bare.modifiedAtNs - backup.modifiedAtNs
  if (apartNs >= -TIME_LOSS_NS && apartNs <= TIME_LOSS_NS) return true
  if (bare.wal !== undefined && bare.wal.commits > 0) {
    // A power cut can take database and WAL back to where the copy was made; a hand leaves the WAL whole.
    if (memory !== undefined && walFellShort(bare.wal, memory)) return false
    return bare.modifiedAtMs > bare.walModifiedAtMs
  }
  return memory === undefined || bare.modifiedAtMs > memory.notedAtMs
}

/**
 * Whether `-wal` or `-journal` belong to another file than the one that now bears the name: somebody
 * copied a `.backup` or an older version over the database. SQLite would replay them into the copy.
 *
 * @param isBackupCopy `backupWasCopied`
 */
export function sideFilesAreStale(
  bare: BareFiles,
  memory: KeeperMemory | undefined,
  isBackupCopy: boolean,
): boolean {
  const known =
    memory?.history.filter((entry) => BigInt(entry.databaseChecksum) === bare.table.databaseChecksum) ?? []
  if (known.length === 0 && !isBackupCopy) return false
  // A committed state needs no journal: at worst the transaction it belongs to never touched the file.
  if (bare.hasJournal) return true
  if (bare.wal === undefined || bare.wal.commits === 0) return false
  if (memory === undefined || known.length === 0) return true
  return known.every((entry) => lacksWhatWasCheckpointed(entry, bare.wal as WalScan, memory))
}

/**
 * A file that shows an older state than the one known to have been moved back into the database was
 * put there by somebody. A file that lacks only frames which may not have been moved yet is the
 * database itself, and its WAL holds commits that must not be lost.
 */
function lacksWhatWasCheckpointed(
  entry: KeeperMemory['history'][number],
  wal: WalScan,
  memory: KeeperMemory,
): boolean {
  const salts = `${wal.header.salt1}-${wal.header.salt2}`
  const newest = memory.history.at(-1)
  if (entry.salts === salts) {
    const moved = memory.checkpointed
    return moved !== undefined && moved.salts === salts && moved.frameCount > entry.frameCount
  }
  // The WAL was begun anew after this version: everything before it was moved back first, so a file
  // that still shows an earlier version than the last one before is not that database.
  const lastBefore = memory.history.findLast((other) => other.salts !== salts)
  const oldest = lastBefore?.version ?? newest?.version ?? 0
  return entry.version < oldest
}

/**
 * Whether the disk went back behind what was captured (a power cut with synchronous=NORMAL, a volume
 * snapshot). Only positive evidence counts; content that merely differs is news.
 */
export function diskWentBack(bare: BareFiles, memory: KeeperMemory): boolean {
  const recorded = memory.position.wal
  const salts = saltsOf(memory.position)
  if (bare.header.changeCounter < memory.position.changeCounter) return true
  if (recorded === undefined || salts === null) return false
  if (bare.wal === undefined || bare.wal.position.frameCount === 0) {
    // A clean close moves everything back and removes the WAL, and so writes the database after our
    // last note. A WAL that was lost leaves the database as it was.
    const moved = memory.checkpointed
    const wasMoved = moved !== undefined && moved.salts === salts && moved.frameCount >= recorded.frameCount
    return !wasMoved && bare.modifiedAtMs <= memory.notedAtMs
  }
  return walFellShort(bare.wal, memory)
}

/** Whether a WAL ends before what we captured from it, or is of a generation before that. */
function walFellShort(wal: WalScan, memory: KeeperMemory): boolean {
  const present = `${wal.header.salt1}-${wal.header.salt2}`
  if (present === saltsOf(memory.position))
    return wal.position.frameCount < (memory.position.wal?.frameCount ?? 0)
  // An earlier generation in front again: the newer header never reached the disk.
  return memory.history.some((entry) => entry.salts === present)
}

/**
 * Whether the WAL goes on behind what was captured: then the database holds commits of its own, even
 * if its content is that of an earlier version, because a change was taken back.
 */
export function walWentOn(bare: BareFiles, memory: KeeperMemory): boolean {
  const recorded = memory.position.wal
  if (recorded === undefined || bare.wal === undefined || bare.wal.commits === 0) return false
  const { header, position } = bare.wal
  if (header.salt1 === recorded.salt1 && header.salt2 === recorded.salt2)
    return position.frameCount > recorded.frameCount
  // Each new beginning adds one to the first salt (walRestartHdr).
  const restarts = (header.salt1 - recorded.salt1) >>> 0
  return restarts > 0 && restarts <= RESTARTS_LIMIT
}

/**
 * What SQLite says of the database: opens it, so it rolls back a hot journal and recovers the WAL.
 * Called only before the app.
 */
export function inspectContent(
  path: string,
  platform: Platform,
): 'no-tables' | 'no-rows' | 'rows' | 'invalid' {
  try {
    const database = platform.openSqlite(path, { mode: 'readWrite', timeoutMs: 5000 })
    try {
      const check = database.prepare('PRAGMA quick_check(1)').get() as { quick_check: string }
      if (check.quick_check !== 'ok') return 'invalid'
      const tables = database
        .prepare(
          `SELECT name, sql FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\'`,
        )
        .all() as Array<{ name: string; sql: string | null }>
      const plain = tables.filter((table) => !/^\s*CREATE\s+VIRTUAL/i.test(table.sql ?? ''))
      if (tables.length === 0) return 'no-tables'
      const hasRow = (name: string) =>
        database.prepare(`SELECT 1 FROM "${name.replaceAll('"', '""')}" LIMIT 1`).get() !== undefined
      return plain.some((table) => hasRow(table.name)) ? 'rows' : 'no-rows'
    } finally {
      database.close()
    }
  } catch {
    return 'invalid'
  }
}

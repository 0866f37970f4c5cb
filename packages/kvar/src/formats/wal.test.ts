/*
 * Goal: we see exactly the commits SQLite sees: never a frame more, never one less, whatever state the
 * WAL is in.
 * Method: real SQLite writes the WALs. The judge is SQLite too: laying the pages we found over the
 * database file must give, byte for byte, the file that SQLite's own checkpoint makes of it; and of
 * damaged copies SQLite must read the same number of rows as we find.
 */
import * as fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import fc from 'fast-check'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { parseWalHeader, scanFormerGeneration, scanWal, type WalScan, walFrameOffset } from './wal.ts'
import { WalChecksum } from './wal-checksum.ts'

let folder: string
let path: string
let database: DatabaseSync
beforeEach(() => {
  folder = fs.mkdtempSync(join(tmpdir(), 'kvar-wal-'))
  path = join(folder, 'app.db')
})
afterEach(() => {
  database.close()
  fs.rmSync(folder, { recursive: true, force: true })
})

function openDatabase(pageSize = 4096): void {
  database = new DatabaseSync(path)
  database.exec(`PRAGMA page_size = ${pageSize}; PRAGMA journal_mode = WAL; PRAGMA wal_autocheckpoint = 0;
    CREATE TABLE note (id INTEGER PRIMARY KEY, body)`)
}

function commit(count: number, bodyBytes = 900): void {
  database.exec('BEGIN')
  const insert = database.prepare('INSERT INTO note (body) VALUES (?)')
  for (let i = 0; i < count; i++) insert.run(`dentist ${i} `.padEnd(bodyBytes, 'x'))
  database.exec('COMMIT')
}

const wal = () => fs.readFileSync(`${path}-wal`)

function reader(bytes: Uint8Array) {
  return (buffer: Uint8Array, offset: number) => {
    const piece = bytes.subarray(offset, offset + buffer.length)
    buffer.set(piece)
    return piece.length
  }
}

function scan(bytes: Uint8Array, from?: WalScan['position']): WalScan {
  const found = scanWal(reader(bytes), from)
  if (found === undefined) throw new Error('the WAL has no valid header')
  return found
}

/** The database as it is after the commits of a scan. */
function overlay(base: Buffer, walBytes: Buffer, found: WalScan): Buffer {
  const { pageSize } = found.header
  const result = Buffer.alloc(found.pageCount * pageSize)
  base.copy(result)
  for (const [pageNumber, offset] of found.pages) {
    if (pageNumber > found.pageCount) continue
    walBytes.copy(result, (pageNumber - 1) * pageSize, offset, offset + pageSize)
  }
  return result
}

/** How many notes SQLite itself finds in a copy of the database with this WAL. */
function notesSeenBySqlite(walBytes: Buffer): number {
  const copy = join(folder, 'copy.db')
  fs.copyFileSync(path, copy)
  fs.writeFileSync(`${copy}-wal`, walBytes)
  fs.rmSync(`${copy}-shm`, { force: true })
  const opened = new DatabaseSync(copy)
  try {
    const hasTable = opened.prepare("SELECT 1 FROM sqlite_schema WHERE name = 'note'").get() !== undefined
    if (!hasTable) return 0
    return Number(opened.prepare('SELECT count(*) AS n FROM note').get()?.n)
  } finally {
    opened.close()
  }
}

/** The same, from the pages we find. */
function notesSeenByUs(walBytes: Buffer): number {
  const found = scanWal(reader(walBytes))
  if (found === undefined || found.commits === 0) return notesSeenBySqlite(Buffer.alloc(0))
  const copy = join(folder, 'ours.db')
  fs.writeFileSync(copy, overlay(fs.readFileSync(path), walBytes, found))
  const opened = new DatabaseSync(copy)
  try {
    expect(opened.prepare('PRAGMA integrity_check').get()).toEqual({ integrity_check: 'ok' })
    const hasTable = opened.prepare("SELECT 1 FROM sqlite_schema WHERE name = 'note'").get() !== undefined
    return hasTable ? Number(opened.prepare('SELECT count(*) AS n FROM note').get()?.n) : 0
  } finally {
    opened.close()
  }
}

describe('scanWal', () => {
  for (const pageSize of [512, 1024, 4096, 16384, 65536]) {
    it(`finds what a checkpoint would bring, with pages of ${pageSize} bytes`, () => {
      openDatabase(pageSize)
      for (const count of [1, 40, 3, 300]) commit(count)
      database.exec('DELETE FROM note WHERE id % 3 = 0')
      const [base, walBytes] = [fs.readFileSync(path), wal()]
      const found = scan(walBytes)
      expect(found).toMatchObject({ continued: false, header: { pageSize, bigEndianChecksum: false } })
      expect(found.commits).toBeGreaterThanOrEqual(6)
      database.exec('PRAGMA wal_checkpoint(TRUNCATE)')
      expect(overlay(base, walBytes, found).equals(fs.readFileSync(path))).toBe(true)
    })
  }

  it('goes on from an earlier position, and the pieces make the whole', () => {
    openDatabase()
    const pages = new Map<number, number>()
    let found = scan(wal())
    for (const count of [1, 200, 2, 90]) {
      for (const [pageNumber, offset] of found.pages) pages.set(pageNumber, offset)
      commit(count)
      found = scan(wal(), found.position)
      expect(found).toMatchObject({ continued: true, commits: 1 })
    }
    for (const [pageNumber, offset] of found.pages) pages.set(pageNumber, offset)
    const whole = scan(wal())
    expect(whole.position).toEqual(found.position)
    expect(pages).toEqual(whole.pages)
  })

  it('finds nothing after the last position', () => {
    openDatabase()
    commit(5)
    const { position } = scan(wal())
    expect(scan(wal(), position)).toMatchObject({ continued: true, commits: 0, pageCount: 0, position })
  })

  it('tells the size after VACUUM, and still knows the frames of the pages it cut off', () => {
    openDatabase()
    commit(300)
    database.exec('DELETE FROM note WHERE id > 3')
    database.exec('VACUUM')
    const [base, walBytes] = [fs.readFileSync(path), wal()]
    const found = scan(walBytes)
    expect(found.pageCount).toBeLessThan(5)
    expect(Math.max(...found.pages.keys())).toBeGreaterThan(50)
    database.exec('PRAGMA wal_checkpoint(TRUNCATE)')
    expect(overlay(base, walBytes, found).equals(fs.readFileSync(path))).toBe(true)
  })

  it('keeps the old frame of a page that was cut off and came back without one, as a checkpoint does', () => {
    openDatabase(512)
    database.exec('PRAGMA wal_checkpoint(TRUNCATE)')
    const base = fs.readFileSync(path)
    const pageCount = base.length / 512
    const first = base.subarray(0, 512)
    const extra = Buffer.alloc(512, 'free page')
    const walBytes = syntheticWal([
      { pageNumber: 1, pageCount: 0, page: withPageCount(first, pageCount + 1) },
      { pageNumber: pageCount + 1, pageCount: pageCount + 1, page: extra },
      { pageNumber: 1, pageCount, page: first },
      { pageNumber: 1, pageCount: pageCount + 1, page: withPageCount(first, pageCount + 1) },
    ])
    const found = scan(walBytes)
    expect(found.pages.get(pageCount + 1)).toBe(walFrameOffset(512, 1) + 24)
    const copy = join(folder, 'copy.db')
    fs.writeFileSync(copy, base)
    fs.writeFileSync(`${copy}-wal`, walBytes)
    const judge = new DatabaseSync(copy)
    judge.exec('PRAGMA wal_checkpoint(TRUNCATE)')
    judge.close()
    expect(overlay(base, walBytes, found).equals(fs.readFileSync(copy))).toBe(true)
  })

  it('reads the end of a generation whose header the next one has overwritten', () => {
    openDatabase()
    commit(5)
    const before = scan(wal())
    commit(60)
    const whole = scan(wal())
    database.exec('PRAGMA wal_checkpoint(PASSIVE)')
    commit(1)
    expect(scan(wal(), before.position)).toMatchObject({ continued: false, commits: 1 })
    const tail = scanFormerGeneration(reader(wal()), before.header, before.position)
    expect(tail).toMatchObject({ continued: true, commits: 1, position: whole.position })
  })

  it('begins at the front when the WAL was restarted, and ignores the frames of before', () => {
    openDatabase()
    commit(100)
    const before = scan(wal())
    database.exec('PRAGMA wal_checkpoint(PASSIVE)')
    commit(1)
    const [base, walBytes] = [fs.readFileSync(path), wal()]
    const found = scan(walBytes, before.position)
    expect(found).toMatchObject({ continued: false, commits: 1 })
    expect(walBytes.length).toBeGreaterThan(walFrameOffset(4096, found.position.frameCount))
    database.exec('PRAGMA wal_checkpoint(TRUNCATE)')
    expect(overlay(base, walBytes, found).equals(fs.readFileSync(path))).toBe(true)
  })

  it('answers undefined for a WAL that is missing, empty, short or torn in its header', () => {
    openDatabase()
    const bytes = wal()
    expect(scanWal(() => 0)).toBeUndefined()
    expect(scanWal(reader(bytes.subarray(0, 31)))).toBeUndefined()
    for (let index = 0; index < 32; index++) {
      const torn = Buffer.from(bytes)
      torn.writeUInt8(torn.readUInt8(index) ^ 0x10, index)
      expect(scanWal(reader(torn)), `byte ${index}`).toBeUndefined()
    }
    expect(scan(bytes.subarray(0, 32))).toMatchObject({ commits: 0, position: { frameCount: 0 } })
  })

  it('leaves out a transaction that spilled into the WAL without a commit, and takes it once committed', () => {
    openDatabase()
    commit(10)
    const before = scan(wal())
    database.exec('PRAGMA cache_size = 2; BEGIN')
    const insert = database.prepare('INSERT INTO note (body) VALUES (?)')
    for (let i = 0; i < 200; i++) insert.run('swimming'.padEnd(2000, '!'))
    expect(wal().length).toBeGreaterThan(walFrameOffset(4096, before.position.frameCount + 20))
    expect(scan(wal(), before.position)).toMatchObject({
      continued: true,
      commits: 0,
      position: before.position,
    })
    database.exec('ROLLBACK')
    commit(1)
    expect(scan(wal(), before.position)).toMatchObject({ continued: true, commits: 1 })
    expect(notesSeenByUs(wal())).toBe(11)
  })

  it('sees of a WAL cut off anywhere what SQLite sees', () => {
    openDatabase(512)
    for (const count of [1, 4, 2, 6]) commit(count, 300)
    const bytes = wal()
    const cut = fc.integer({ min: 0, max: bytes.length })
    fc.assert(
      fc.property(cut, (length) => {
        const shorter = bytes.subarray(0, length)
        expect(notesSeenByUs(shorter)).toBe(notesSeenBySqlite(shorter))
      }),
      { numRuns: 60, examples: [[32], [bytes.length - 1], [walFrameOffset(512, 3)]] },
    )
  })

  it('sees of a WAL with a wrong bit anywhere what SQLite sees', () => {
    openDatabase(512)
    for (const count of [1, 4, 2, 6]) commit(count, 300)
    const bytes = wal()
    fc.assert(
      fc.property(fc.nat(bytes.length - 1), fc.nat(7), (index, bit) => {
        const wrong = Buffer.from(bytes)
        wrong.writeUInt8(wrong.readUInt8(index) ^ (1 << bit), index)
        expect(notesSeenByUs(wrong)).toBe(notesSeenBySqlite(wrong))
      }),
      { numRuns: 60 },
    )
  })

  it('reads checksums in big-endian words, as another processor would write them', () => {
    openDatabase(1024)
    for (const count of [3, 50, 2]) commit(count)
    const bigEndian = withBigEndianChecksums(wal())
    expect(notesSeenBySqlite(bigEndian)).toBe(55)
    const [ours, usual] = [scan(bigEndian), scan(wal())]
    expect(ours.header.bigEndianChecksum).toBe(true)
    expect(ours.pages).toEqual(usual.pages)
    expect(ours.commits).toBe(usual.commits)
    expect(scan(bigEndian, ours.position)).toMatchObject({ continued: true, commits: 0 })
  })

  it('notices that the disk went back: same salts, but the frames of the position are gone', () => {
    openDatabase()
    commit(5)
    const earlier = wal()
    commit(5)
    const { position } = scan(wal())
    const found = scan(earlier, position)
    expect(found.continued).toBe(false)
    expect(found.position.salt1).toBe(position.salt1)
    expect(found.position.frameCount).toBeLessThan(position.frameCount)
  })

  it('notices that other frames stand where its position was', () => {
    openDatabase()
    commit(5)
    const earlier = wal()
    commit(5)
    const { position } = scan(wal())
    const other = Buffer.from(wal())
    earlier.copy(other)
    other.fill(1, earlier.length)
    expect(scan(other, position).continued).toBe(false)
  })

  it('answers random and mutated bytes without an error', () => {
    openDatabase(512)
    for (const count of [1, 4, 2]) commit(count, 300)
    const bytes = wal()
    const { position } = scan(bytes)
    const mutation = fc.tuple(fc.nat(bytes.length - 1), fc.nat(255))
    fc.assert(
      fc.property(
        fc.array(mutation, { maxLength: 5, size: 'max' }),
        fc.nat(bytes.length),
        fc.boolean(),
        (list, cut, isFar) => {
          const mutated = Buffer.from(bytes.subarray(0, bytes.length - (cut % 600)))
          for (const [index, byte] of list) if (index < mutated.length) mutated[index] = byte
          const from = isFar ? { ...position, frameCount: position.frameCount + cut * 1e9 } : position
          const found = scanWal(reader(mutated), from)
          if (found === undefined) return
          for (const offset of found.pages.values()) expect(offset + 512).toBeLessThanOrEqual(mutated.length)
        },
      ),
      { numRuns: 3000 },
    )
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 2000, size: 'max' }),
        (random) => scanWal(reader(random)) === undefined,
      ),
    )
  })
})

describe('parseWalHeader', () => {
  it('reads what SQLite wrote', () => {
    openDatabase(8192)
    const header = parseWalHeader(wal())
    expect(header).toMatchObject({ pageSize: 8192, checkpointSequence: 0, salt1: wal().readUInt32BE(16) })
  })
})

/** The same WAL with every checksum computed over big-endian words. */
function withBigEndianChecksums(bytes: Buffer): Buffer {
  const result = Buffer.from(bytes)
  const frameBytes = 24 + result.readUInt32BE(8)
  result.writeUInt32BE(0x377f0683, 0)
  const sum = new WalChecksum(true, 0, 0).update(result, 0, 24)
  const write = (offset: number) => result.writeUInt32BE(sum.second, result.writeUInt32BE(sum.first, offset))
  write(24)
  for (let start = 32; start + frameBytes <= result.length; start += frameBytes) {
    sum.update(result, start, 8).update(result, start + 24, frameBytes - 24)
    write(start + 16)
  }
  return result
}

interface SyntheticFrame {
  pageNumber: number
  pageCount: number
  page: Buffer
}

/** A WAL with exactly these frames: for sequences SQLite writes too rarely to wait for. */
function syntheticWal(frames: SyntheticFrame[]): Buffer {
  const result = Buffer.alloc(walFrameOffset(512, frames.length))
  const sum = new WalChecksum(false, 0, 0)
  const write = (start: number, fields: number[]) => {
    for (const [index, value] of fields.entries()) result.writeUInt32BE(value, start + index * 4)
  }
  write(0, [0x377f0682, 3007000, 512, 0, 11, 12])
  sum.update(result, 0, 24)
  write(24, [sum.first, sum.second])
  for (const [index, { pageNumber, pageCount, page }] of frames.entries()) {
    const start = walFrameOffset(512, index)
    write(start, [pageNumber, pageCount, 11, 12])
    page.copy(result, start + 24)
    sum.update(result, start, 8).update(result, start + 24, 512)
    write(start + 16, [sum.first, sum.second])
  }
  return result
}

/** A first page that says the database has this many pages. */
function withPageCount(first: Buffer, pageCount: number): Buffer {
  const page = Buffer.from(first)
  page.writeUInt32BE(pageCount, 28)
  return page
}

import * as fs from 'node:fs'
import { DatabaseSync } from 'node:sqlite'
import { encodeLtx } from '../../packages/kvar/src/formats/ltx-encoder.ts'
import { addChecksum, pageChecksum, subtractChecksum } from '../../packages/kvar/src/formats/page-checksum.ts'

const PAGE_SIZE = 4096
const TITLES = [
  'Dentist',
  'Football practice',
  'Piano lesson',
  'Dinner with the neighbours',
  'School trip',
  'Book club',
]
const PEOPLE = ['Alma', 'Birk', 'Cleo', 'Dag']

/** A family's calendar in a real SQLite file: each change is one small transaction. */
export class FamilyCalendar {
  readonly #path: string
  readonly #database: DatabaseSync
  readonly #random: () => number
  #content = Buffer.alloc(0)
  databaseChecksum = 0n
  #nextId = 1

  constructor(path: string, random: () => number) {
    this.#path = path
    this.#random = random
    this.#database = new DatabaseSync(path)
    this.#database.exec('PRAGMA journal_mode = MEMORY; PRAGMA synchronous = OFF')
    this.#database.exec(`CREATE TABLE events (
      id INTEGER PRIMARY KEY AUTOINCREMENT, user TEXT, date TEXT, time TEXT, duration INTEGER,
      title TEXT, description TEXT, created_at TEXT);
      CREATE INDEX events_by_date ON events (date)`)
  }

  /** The database file as the newest version has it. */
  get content(): Uint8Array {
    return this.#content
  }

  get sizeBytes(): number {
    return this.#content.length
  }

  /** Changes something, and answers the version file of it. */
  change(version: number, atMs: number, timestampMs: number, lineage: bigint): Uint8Array {
    this.#write(atMs)
    const before = this.#content
    this.#content = fs.readFileSync(this.#path)
    const changed: Array<[number, Uint8Array]> = []
    const pageCount = this.#content.length / PAGE_SIZE
    for (let n = 1; n <= Math.max(pageCount, before.length / PAGE_SIZE); n++) {
      const [old, now] = [pageOf(before, n), pageOf(this.#content, n)]
      if (old.equals(now)) continue
      if (old.length > 0)
        this.databaseChecksum = subtractChecksum(this.databaseChecksum, pageChecksum(n, old))
      if (now.length === 0) continue
      this.databaseChecksum = addChecksum(this.databaseChecksum, pageChecksum(n, now))
      changed.push([n, now])
    }
    const { databaseChecksum } = this
    const versions = { minVersion: version, maxVersion: version, pageCount }
    return encodeLtx(
      { ...versions, pageSize: PAGE_SIZE, timestampMs, nodeId: 9n, databaseChecksum, lineage },
      changed,
    )
  }

  #write(atMs: number): void {
    const kind = this.#random()
    const recent = Math.max(1, this.#nextId - this.#below(40))
    const date = new Date(atMs + this.#below(60) * 24 * 3_600_000).toISOString().slice(0, 10)
    if (kind < 0.6 || this.#nextId < 10) {
      const title = TITLES[this.#below(TITLES.length)] as string
      const words = `${title} – bring what was agreed upon. `.repeat(this.#below(4))
      this.#database
        .prepare(
          'INSERT INTO events (user, date, time, duration, title, description, created_at) VALUES (?,?,?,?,?,?,?)',
        )
        .run(PEOPLE[this.#below(4)] as string, date, '17:30', 45, title, words, new Date(atMs).toISOString())
      this.#nextId++
    } else if (kind < 0.9) this.#database.prepare('UPDATE events SET date = ? WHERE id = ?').run(date, recent)
    else this.#database.prepare('DELETE FROM events WHERE id = ?').run(recent)
  }

  #below(limit: number): number {
    return Math.floor(this.#random() * limit)
  }

  close(): void {
    this.#database.close()
  }
}

function pageOf(content: Buffer, n: number): Buffer {
  return content.subarray((n - 1) * PAGE_SIZE, n * PAGE_SIZE)
}

import { DatabaseSync } from 'node:sqlite'
import { imageOf } from './model-image.ts'
import type { Choices } from './proof-random.ts'

export interface ModelAppOptions {
  path: string
  journalMode: string
  pageSize: number
  autoVacuum: string
}

/**
 * An app that does to its database whatever SQLite allows, and remembers the pages after every commit. It
 * lives in this process and works synchronously, so each image is that of exactly one committed state.
 */
export class ModelApp {
  readonly images: Buffer[] = []
  readonly #path: string
  readonly #database: DatabaseSync
  #tables = 0

  constructor({ path, journalMode, pageSize, autoVacuum }: ModelAppOptions) {
    this.#path = path
    // Waiting would be for the keeper, which cannot go on meanwhile in the same process.
    this.#database = new DatabaseSync(path, { timeout: 0 })
    this.#database.exec(`PRAGMA page_size=${pageSize}; PRAGMA auto_vacuum=${autoVacuum}`)
    this.#database.exec(`PRAGMA journal_mode=${journalMode}; PRAGMA synchronous=OFF; PRAGMA cache_size=8`)
    this.#database.exec('CREATE TABLE IF NOT EXISTS kept(id INTEGER PRIMARY KEY, body)')
    this.#tables = Number(this.#database.prepare('SELECT count(*) AS n FROM sqlite_schema').get()?.n)
    this.look()
  }

  /** Notes the pages as they are; the number of the noted state. */
  look(): number {
    const image = imageOf(this.#path)
    if (this.images.at(-1)?.equals(image) !== true) this.images.push(image)
    return this.images.length - 1
  }

  /** Does one thing that commits, or takes one back. */
  act(choices: Choices): void {
    const work = choices.pick(WORKS)
    for (const sql of work(choices, () => ++this.#tables)) this.#database.exec(sql)
    this.look()
  }

  close(): void {
    this.#database.close()
  }
}

type Work = (choices: Choices, next: () => number) => string[]

const insert: Work = (choices) => {
  const [count, bytes] = [choices.between(1, 12), choices.pick([10, 300, 900, 5000])]
  return [
    `WITH n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ${count})
     INSERT INTO kept(body) SELECT ${body(choices, bytes)} FROM n`,
  ]
}
const update: Work = (choices) => [
  `UPDATE kept SET body = ${body(choices, choices.pick([5, 400]))} WHERE id % ${choices.between(2, 9)} = 1`,
]
const remove: Work = (choices) => [`DELETE FROM kept WHERE id % ${choices.between(2, 4)} = 0`]
const empty: Work = () => ['DELETE FROM kept']
const rollBack: Work = (choices, next) => [
  'BEGIN',
  ...insert(choices, next),
  ...remove(choices, next),
  'ROLLBACK',
]
const together: Work = (choices, next) => [
  'BEGIN',
  ...insert(choices, next),
  ...update(choices, next),
  'COMMIT',
]
const addTable: Work = (_choices, next) => {
  const name = `t${next()}`
  return ['BEGIN', `CREATE TABLE ${name}(a)`, `CREATE INDEX i_${name} ON ${name}(a)`, 'COMMIT']
}
const vacuum: Work = () => ['VACUUM']
const shrinkABit: Work = (choices) => [`PRAGMA incremental_vacuum(${choices.between(1, 5)})`]
const mark: Work = (choices) => [`PRAGMA user_version=${choices.between(1, 1_000_000)}`]
const checkpoint: Work = (choices) => [
  `PRAGMA wal_checkpoint(${choices.pick(['PASSIVE', 'FULL', 'RESTART', 'TRUNCATE'])})`,
]

/** The usual ones stand more often. */
const WORKS: readonly Work[] = [
  ...[insert, insert, insert, insert, together, together, update, update, remove, remove],
  ...[empty, rollBack, addTable, vacuum, shrinkABit, mark, checkpoint, checkpoint],
]

/** Text that the seed decides, half of it hard to compress. */
function body(choices: Choices, bytes: number): string {
  const word = choices.between(0, 2 ** 30).toString(36)
  return choices.chance(0.5)
    ? `'${word.repeat(Math.ceil(bytes / word.length)).slice(0, bytes)}'`
    : `hex(zeroblob(${Math.ceil(bytes / 2)})) || '${word}'`
}

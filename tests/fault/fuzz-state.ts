import * as fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { StateStore } from '../../packages/kvar/src/keeper/state-store.ts'
import { systemPlatform } from '../../packages/kvar/src/platform/system.ts'
import { MemoryTarget } from '../support/memory-target.ts'
import { mutated, mutatedText } from './fuzz-mutate.ts'
import type { Parser } from './fuzz-parsers.ts'
import { modelKeeper } from './model-keeper.ts'
import type { Choices } from './proof-random.ts'

const NAMES = ['state.json', 'notes.bin', 'pages.bin'] as const
type Files = Record<(typeof NAMES)[number], Uint8Array>

/** The files of a keeper's memory: what cannot be believed counts as lost, never as an error. */
export async function stateParser(): Promise<Parser> {
  const { files, end } = await lifeOfAKeeper()
  return {
    name: 'state',
    async run(choices) {
      const loaded = await new StateStore('/state', platformOver(mutatedFiles(files, choices))).load()
      if (loaded === undefined) return false
      const { memory, table } = loaded
      for (const { databaseChecksum } of [memory, ...memory.history]) BigInt(databaseChecksum)
      if (memory.intent !== undefined) BigInt(memory.intent.databaseChecksum)
      if (!Number.isSafeInteger(memory.version) || !/^[0-9a-f]{16}$/.test(memory.lineage))
        throw new Error('a memory was accepted that cannot be used')
      if (table !== undefined && table.databaseChecksum !== BigInt(memory.databaseChecksum))
        throw new Error('a table of another version was accepted')
      return true
    },
    end,
  }
}

/** A whole start over such files: the database is there afterwards, with every row. */
export async function startParser(): Promise<Parser> {
  const { folder, files, target, end } = await lifeOfAKeeper()
  const databasePath = join(folder, 'app.db')
  const database = fs.readFileSync(databasePath)
  return {
    name: 'start',
    every: 1000,
    async run(choices) {
      const own = join(folder, 'again')
      fs.rmSync(own, { recursive: true, force: true })
      fs.mkdirSync(join(own, '.app.db-kvar'), { recursive: true })
      fs.writeFileSync(join(own, 'app.db'), database)
      for (const [name, bytes] of Object.entries(mutatedFiles(files, choices)))
        fs.writeFileSync(join(own, '.app.db-kvar', name), bytes)
      const keeper = modelKeeper({ databasePath: join(own, 'app.db'), targets: [target.clone('ledger')] })
      try {
        await keeper.start(false)
        await keeper.flush()
      } finally {
        await keeper.close(10_000)
      }
      if (rowsOf(join(own, 'app.db')) !== ROWS) throw new Error('rows are missing after the start')
      return true
    },
    end,
  }
}

const ROWS = 12

async function lifeOfAKeeper() {
  const folder = fs.mkdtempSync(join(tmpdir(), 'kvar-fuzz-'))
  const databasePath = join(folder, 'app.db')
  const target = new MemoryTarget('ledger')
  const keeper = modelKeeper({ databasePath, targets: [target], settings: { copies: ['json', 'backup'] } })
  await keeper.start(false)
  const database = new DatabaseSync(databasePath)
  database.exec('PRAGMA journal_mode=WAL; CREATE TABLE t(a)')
  for (let row = 0; row < ROWS; row++) {
    database.exec('INSERT INTO t VALUES (hex(randomblob(300)))')
    await keeper.flush()
  }
  await keeper.backupDatabase()
  database.close()
  await keeper.close(60_000)
  const read = (name: string) => new Uint8Array(fs.readFileSync(join(folder, '.app.db-kvar', name)))
  const files: Files = {
    'state.json': read(NAMES[0]),
    'notes.bin': read(NAMES[1]),
    'pages.bin': read(NAMES[2]),
  }
  return { folder, files, target, end: () => fs.rmSync(folder, { recursive: true, force: true }) }
}

function mutatedFiles(files: Files, choices: Choices): Files {
  const changed = { ...files }
  const name = choices.pick<keyof Files>(['state.json', 'state.json', ...NAMES])
  const isText = name === 'state.json' && choices.chance(0.8)
  changed[name] = isText
    ? Buffer.from(mutatedText(Buffer.from(files[name]).toString(), choices))
    : mutated(files[name], choices)
  return changed
}

/** Only what loading needs, and only from memory. */
function platformOver(files: Files) {
  const bytesOf = (path: string) => files[path.slice('/state/'.length) as keyof Files]
  return {
    ...systemPlatform,
    files: {
      ...systemPlatform.files,
      readFile: async (path: string) => bytesOf(path),
      statSync: (path: string) => ({
        ...{ sizeBytes: bytesOf(path).length, modifiedAtMs: 0, modifiedAtNs: 0n },
        ...{ deviceId: 1, inode: 1n, isFolder: false },
      }),
      openSync: (path: string) => ({
        readSync(buffer: Uint8Array, offset: number) {
          const part = bytesOf(path).subarray(offset, offset + buffer.length)
          buffer.set(part)
          return part.length
        },
        closeSync: () => undefined,
      }),
    },
  } as unknown as typeof systemPlatform
}

function rowsOf(path: string): number {
  const database = new DatabaseSync(path, { readOnly: true })
  try {
    return Number(database.prepare('SELECT count(*) AS n FROM t').get()?.n)
  } finally {
    database.close()
  }
}

import * as fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { restoreToFile } from '../../packages/kvar/src/log/restore.ts'
import { VersionLog } from '../../packages/kvar/src/log/version-log.ts'
import type { Platform } from '../../packages/kvar/src/platform/platform.ts'
import { MemoryTarget } from '../support/memory-target.ts'
import { makeSparse } from './boundaries-sparse.ts'
import { modelKeeper, unsynced, wipe } from './model-keeper.ts'
import { runRounds } from './model-rounds.ts'
import type { LoopOptions, LoopResult } from './proof-loop.ts'

/*
 * A database beyond 1 GiB, where SQLite never uses the page with the lock byte (PROOF 12): a sparse file
 * with rows on both sides of it goes through keeper, log and restore, and comes back the same. Round 0 has
 * pages of 64 KiB; the next ones the other sizes, which take longer.
 */

const PAGE_SIZES = [65536, 4096, 16384, 32768, 8192, 2048]
const CHUNK_BYTES = 4 * 1024 * 1024

export async function lockPageLoop(options: LoopOptions): Promise<LoopResult> {
  const counts = { versions: 0, 'log bytes': 0 }
  return runRounds(
    {
      name: 'lock-page',
      counts,
      async round(_choices, round) {
        const folder = fs.mkdtempSync(join(tmpdir(), 'kvar-lock-page-'))
        try {
          const target = await throughTheKeeper(folder, PAGE_SIZES[round % PAGE_SIZES.length] as number)
          counts.versions += target.keys('ltx/0/').length
          for (const { bytes } of target.objects.values()) counts['log bytes'] += bytes.length
        } finally {
          fs.rmSync(folder, { recursive: true, force: true })
        }
      },
    },
    options,
  )
}

async function throughTheKeeper(folder: string, pageSize: number): Promise<MemoryTarget> {
  const path = join(folder, 'machine', 'app.db')
  wipe(path)
  const target = new MemoryTarget('ledger')
  const settings = { intervalMs: 3_600_000 }
  const keeper = modelKeeper({ databasePath: path, targets: [target], settings, platform: sparse })
  await keeper.start(false)
  makeSparse(join(folder, 'sparse.db'), pageSize)
  fs.renameSync(join(folder, 'sparse.db'), path)
  const database = new DatabaseSync(path, { timeout: 0 })
  try {
    // In WAL mode the keeper need not read a gigabyte for each of the next versions.
    database.exec('PRAGMA journal_mode=WAL')
    await keeper.flush()
    // The next pages that SQLite takes lie beyond the lock page.
    database.exec(`INSERT INTO t VALUES (randomblob(${pageSize * 3}))`)
    await keeper.flush()
    database.exec(`UPDATE t SET a = randomblob(${pageSize * 2}) WHERE rowid = 1`)
    await keeper.flush()
    const check = database.prepare('PRAGMA integrity_check').get()?.integrity_check
    if (check !== 'ok') throw new Error(`the sparse database: ${check}`)
  } finally {
    database.close()
    await keeper.close(60_000)
  }
  await assertRestored(target, path, join(folder, 'restored.db'))
  return target
}

async function assertRestored(target: MemoryTarget, original: string, path: string): Promise<void> {
  const log = new VersionLog(target)
  await restoreToFile({ log, plan: await log.plan({ kind: 'latest' }), path, platform: sparse })
  const [wanted, found] = [fs.openSync(original, 'r'), fs.openSync(path, 'r')]
  try {
    const sizeBytes = fs.fstatSync(wanted).size
    if (fs.fstatSync(found).size !== sizeBytes) throw new Error('the restored file has another size')
    const [a, b] = [Buffer.alloc(CHUNK_BYTES), Buffer.alloc(CHUNK_BYTES)]
    for (let offset = 0; offset < sizeBytes; offset += CHUNK_BYTES) {
      const count = fs.readSync(wanted, a, 0, CHUNK_BYTES, offset)
      fs.readSync(found, b, 0, CHUNK_BYTES, offset)
      if (a.compare(b, 0, count, 0, count) !== 0) throw new Error(`they differ after byte ${offset}`)
    }
  } finally {
    fs.closeSync(wanted)
    fs.closeSync(found)
  }
}

/** Pages of zeros at the end of a file become holes: a gigabyte need not be written. One thread does it all. */
const sparse: Platform = {
  ...unsynced,
  crews: undefined,
  files: {
    ...unsynced.files,
    openSync(path, mode) {
      const file = unsynced.files.openSync(path, mode)
      return {
        ...file,
        writeSync(buffer, offset) {
          const end = offset + buffer.length
          if (file.factsSync().sizeBytes <= offset && isZero(buffer)) file.truncateSync(end)
          else file.writeSync(buffer, offset)
        },
      }
    },
  },
}

const ZEROS = Buffer.alloc(CHUNK_BYTES)

function isZero(bytes: Uint8Array): boolean {
  return bytes.length <= ZEROS.length && ZEROS.compare(bytes, 0, bytes.length, 0, bytes.length) === 0
}

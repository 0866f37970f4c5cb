import * as fs from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { branchLog, listBranches } from '../../packages/kvar/src/log/branches.ts'
import { restoreToFile } from '../../packages/kvar/src/log/restore.ts'
import { VersionLog } from '../../packages/kvar/src/log/version-log.ts'
import type { MemoryTarget } from '../support/memory-target.ts'
import { unsynced } from './model-keeper.ts'
import type { Truth } from './two-keepers-machine.ts'

/** Holds the logs against what was asked and heard; throws what does not agree. */
export async function auditLogs(
  stores: MemoryTarget[],
  truth: Truth,
  folder: string,
): Promise<{ versions: number; branches: number }> {
  const [ledger, follower] = stores as [MemoryTarget, MemoryTarget]
  const log = new VersionLog(ledger)
  const head = (await log.findHead())?.version ?? 0
  const newest = await auditVersions(log, head, folder)
  const foreign = [...newest].find((token) => !truth.committed.has(token))
  if (foreign !== undefined) throw new Error(`${foreign} was never asked`)
  const lost = [...truth.acknowledged].find((token) => !newest.has(token))
  if (lost !== undefined) throw new Error(`${lost} was acknowledged and is not in version ${head}`)
  await auditFollower(ledger, follower)
  return { versions: head, branches: await auditBranches(stores, newest, truth, folder) }
}

/** Every version holds all of the one before, and is later. Answers what the newest holds. */
async function auditVersions(log: VersionLog, head: number, folder: string): Promise<Set<number>> {
  let [before, beforeMs] = [new Set<number>(), 0]
  for (let version = 1; version <= head; version++) {
    const tokens = await tokensOf(log, version, folder)
    const missing = [...before].find((token) => !tokens.has(token))
    if (missing !== undefined) throw new Error(`${missing} is in version ${version - 1}, not in ${version}`)
    const timeMs = (await log.readVersionInfo(version))?.timestampMs ?? 0
    if (timeMs <= beforeMs) throw new Error(`version ${version} is not later than the one before`)
    before = tokens
    beforeMs = timeMs
  }
  return before
}

async function auditFollower(ledger: MemoryTarget, follower: MemoryTarget): Promise<void> {
  const keys = ledger.keys('ltx/0/')
  const other = follower.keys('ltx/0/')
  if (keys.at(-1) !== other.at(-1))
    throw new Error(`the follower ends with ${other.at(-1)}, not ${keys.at(-1)}`)
  const differs = other.find(
    (key) => ledger.objects.has(key) && Buffer.compare(ledger.bytesOf(key), follower.bytesOf(key)) !== 0,
  )
  if (differs !== undefined) throw new Error(`${differs} on the follower is not the ledger's`)
}

/** What was committed and is not on the log was set aside. */
async function auditBranches(
  stores: MemoryTarget[],
  newest: Set<number>,
  truth: Truth,
  folder: string,
): Promise<number> {
  const kept = new Set(newest)
  let count = 0
  for (const store of stores) {
    for (const { id, headVersion } of await listBranches(store)) {
      count += 1
      for (const token of await tokensOf(branchLog(store, id), headVersion, folder)) kept.add(token)
    }
  }
  const gone = [...truth.committed].find((token) => !kept.has(token))
  if (gone !== undefined) throw new Error(`${gone} was committed and is neither on the log nor a branch`)
  return count
}

async function tokensOf(log: VersionLog, version: number, folder: string): Promise<Set<number>> {
  const path = join(folder, 'audit.db')
  fs.rmSync(path, { force: true })
  await restoreToFile({ log, plan: await log.plan({ kind: 'version', version }), path, platform: unsynced })
  const database = new DatabaseSync(path)
  try {
    const check = database.prepare('PRAGMA integrity_check').get()?.integrity_check
    if (check !== 'ok') throw new Error(`version ${version}: ${check}`)
    const has = database.prepare("SELECT 1 FROM sqlite_schema WHERE name = 'tokens'").get() !== undefined
    const rows = has ? database.prepare('SELECT token FROM tokens').all() : []
    return new Set(rows.map(({ token }) => Number(token)))
  } finally {
    database.close()
  }
}

import * as fs from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import type { Content, Item } from './proof-model.ts'
import { moduleOf } from './proof-product.ts'

type Restore = typeof import('../../packages/kvar/src/log/restore.ts')
type Log = typeof import('../../packages/kvar/src/log/version-log.ts')
type Branches = typeof import('../../packages/kvar/src/log/branches.ts')
type Open = typeof import('../../packages/kvar/src/targets/open-target.ts')
type TargetUrl = typeof import('../../packages/kvar/src/settings/target-url.ts')
type System = typeof import('../../packages/kvar/src/platform/system.ts')

const product = {
  restore: (await import(moduleOf('log/restore.js'))) as Restore,
  log: (await import(moduleOf('log/version-log.js'))) as Log,
  branches: (await import(moduleOf('log/branches.js'))) as Branches,
  open: (await import(moduleOf('targets/open-target.js'))) as Open,
  url: (await import(moduleOf('settings/target-url.js'))) as TargetUrl,
  platform: ((await import(moduleOf('platform/system.js'))) as System).systemPlatform,
}

const NOTHING: Content = { integrity: 'ok', tokens: [], items: new Map() }

/** What a database of the proof's apps holds, asked through SQLite like any other reader. */
export function readContent(path: string): Content {
  if (!fs.existsSync(path) || fs.statSync(path).size === 0) return NOTHING
  const database = new DatabaseSync(path, { timeout: 5000 })
  try {
    const integrity = String(database.prepare('PRAGMA integrity_check').get()?.integrity_check)
    const tables = database.prepare("SELECT name FROM sqlite_schema WHERE type = 'table'").all()
    if (!tables.some(({ name }) => name === 'items')) return { ...NOTHING, integrity }
    const tokens = database.prepare('SELECT token FROM tokens ORDER BY token').all()
    const rows = database.prepare('SELECT id, token, text FROM items').all()
    return {
      integrity,
      tokens: tokens.map((row) => Number(row.token)),
      items: new Map(rows.map((row) => [Number(row.id), row as unknown as Item])),
    }
  } finally {
    database.close()
  }
}

/** Restores the newest version of a target's log to a file of its own, and reads it. */
export async function restoredContent(targetUrl: string, scratchFolder: string): Promise<Content> {
  const target = await open(targetUrl)
  try {
    const log = new product.log.VersionLog(target)
    if ((await log.findHead()) === undefined) return NOTHING
    return await contentOf(log, scratchFolder)
  } finally {
    await target.close()
  }
}

/** What was set aside on a target. */
export async function branchContents(targetUrl: string, scratchFolder: string): Promise<Content[]> {
  const target = await open(targetUrl)
  try {
    const branches = await product.branches.listBranches(target)
    const contents: Content[] = []
    for (const { id } of branches)
      contents.push(await contentOf(product.branches.branchLog(target, id), scratchFolder))
    return contents
  } finally {
    await target.close()
  }
}

type VersionLog = InstanceType<Log['VersionLog']>

async function contentOf(log: VersionLog, scratchFolder: string): Promise<Content> {
  const path = join(scratchFolder, 'restored.db')
  try {
    const plan = await log.plan({ kind: 'latest' })
    await product.restore.restoreToFile({ log, plan, path, platform: product.platform })
    return readContent(path)
  } finally {
    for (const suffix of ['', '-wal', '-shm', '-journal']) fs.rmSync(path + suffix, { force: true })
  }
}

/** Its secrets stand in the environment, as the app's do. */
function open(url: string) {
  const source = { kind: 'variable', label: 'the proof', baseFolder: '/' } as const
  const setting = product.url.parseTargetUrl(url, { source, environment: process.env })
  return product.open.openTarget(setting, product.platform)
}

/*
 * Goal: a log that lies in a bucket can be restored by Litestream itself, byte for byte, straight from
 * the bucket, so that nobody depends on this project to get their data back.
 * Method: versions of a real database are written through our S3 target to a real S3 server (Ceph), with
 * a snapshot beside them; the real Litestream code (npm `litestream-vfs`, in a child process) restores.
 */
import { execFile } from 'node:child_process'
import * as fs from 'node:fs/promises'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ltxName } from '../../packages/kvar/src/formats/ltx.ts'
import { compactLtx } from '../../packages/kvar/src/formats/ltx-compact.ts'
import { encodeLtx } from '../../packages/kvar/src/formats/ltx-encoder.ts'
import { systemPlatform } from '../../packages/kvar/src/platform/system.ts'
import { parseTargetUrl } from '../../packages/kvar/src/settings/target-url.ts'
import { openTarget } from '../../packages/kvar/src/targets/open-target.ts'
import type { Target } from '../../packages/kvar/src/targets/target.ts'
import { type CephServer, cephLeftOut, startCeph } from '../servers/ceph.ts'

const PAGE_SIZE = 4096
const HYDRATION_TIMEOUT_MS = 60_000
const FIRST_TIME_MS = Date.UTC(2026, 10, 23, 8)
const source = { kind: 'variable', label: 'the test', baseFolder: '/' } as const
const leftOut = cephLeftOut || whyNoLitestream()

describe.skipIf(leftOut !== '')(`Litestream restores from our bucket${leftOut}`, () => {
  let ceph: CephServer
  let folder: string

  beforeAll(async () => {
    folder = await fs.mkdtemp(join(tmpdir(), 'kvar-litestream-s3-'))
    ceph = await startCeph()
  }, 180_000)
  afterAll(async () => {
    await ceph?.stop()
    await fs.rm(folder, { recursive: true, force: true })
  })

  const open = (prefix: string): Promise<Target> => {
    const url = `s3://${ceph.bucket}/${prefix}?endpoint=${encodeURIComponent(ceph.url)}`
    const { accessKeyId, secretAccessKey } = ceph.credentials
    const environment = { AWS_ACCESS_KEY_ID: accessKeyId, AWS_SECRET_ACCESS_KEY: secretAccessKey }
    return openTarget(parseTargetUrl(url, { source, environment }), systemPlatform)
  }

  it('every version from the first on', { timeout: 120_000 }, async () => {
    const target = await open('family/calendar')
    const { last } = await storeHistory(target, folder)
    await target.close()
    expect(await restored('family/calendar')).toEqual(last)
  })

  it('a snapshot and the versions after it, among objects that it does not know', {
    timeout: 120_000,
  }, async () => {
    const target = await open('with-snapshot')
    const { last, files } = await storeHistory(target, folder)
    await target.create(
      `${target.levelFolder(9)}/${ltxName(1, 3)}`,
      await compacted(files.slice(0, 3)),
      timeOf(3),
    )
    await target.create('kvar/lineage.json', Buffer.from('{}'), timeOf(1))
    await target.remove([1, 2].map((version) => keyOf(target, version)))
    await target.close()
    expect(await restored('with-snapshot')).toEqual(last)
  })

  async function restored(prefix: string): Promise<Buffer> {
    const out = join(folder, `${prefix.replace('/', '-')}.db`)
    const logFile = `${out}.log`
    const child = join(import.meta.dirname, 'litestream-hydrate.mjs')
    await promisify(execFile)(process.execPath, [child, logFile, String(HYDRATION_TIMEOUT_MS)], {
      env: {
        PATH: process.env.PATH,
        AWS_ACCESS_KEY_ID: ceph.credentials.accessKeyId,
        AWS_SECRET_ACCESS_KEY: ceph.credentials.secretAccessKey,
        LITESTREAM_REPLICA_URL: `s3://${ceph.bucket}/${prefix}?endpoint=${ceph.url}&region=us-east-1`,
        LITESTREAM_LOG_FILE: logFile,
        LITESTREAM_LOG_LEVEL: 'DEBUG',
        LITESTREAM_HYDRATION_ENABLED: 'true',
        LITESTREAM_HYDRATION_PATH: out,
      },
    })
    return fs.readFile(out)
  }
})

const STEPS = [
  'CREATE TABLE note (id INTEGER PRIMARY KEY, body)',
  insert(400),
  "UPDATE note SET body = body || ' again' WHERE id % 7 = 0",
  'DELETE FROM note WHERE id > 60',
  'VACUUM',
  insert(300),
]

function insert(count: number): string {
  return `WITH RECURSIVE n (i) AS (VALUES (1) UNION ALL SELECT i + 1 FROM n WHERE i < ${count}) INSERT INTO note (body) SELECT hex(randomblob(i % 60)) FROM n`
}

/** Plays the steps on a real database and stores one version for each, the first with all pages. */
async function storeHistory(target: Target, folder: string): Promise<{ last: Buffer; files: Uint8Array[] }> {
  const path = join(folder, 'app.db')
  await fs.rm(path, { force: true })
  const database = new DatabaseSync(path)
  const files: Uint8Array[] = []
  let last = Buffer.alloc(0)
  for (const step of STEPS) {
    database.exec(step)
    const content = await fs.readFile(path)
    files.push(versionFile(files.length + 1, last, content))
    const version = files.length
    expect(await target.create(keyOf(target, version), files.at(-1) as Uint8Array, timeOf(version))).toBe(
      'created',
    )
    last = content
  }
  database.close()
  return { last, files }
}

function versionFile(version: number, before: Buffer, after: Buffer): Uint8Array {
  const pageCount = after.length / PAGE_SIZE
  const changed: Array<[number, Uint8Array]> = []
  for (let pageNumber = 1; pageNumber <= pageCount; pageNumber++) {
    const [start, end] = [(pageNumber - 1) * PAGE_SIZE, pageNumber * PAGE_SIZE]
    const page = after.subarray(start, end)
    if (!page.equals(before.subarray(start, end))) changed.push([pageNumber, page])
  }
  const range = { minVersion: version, maxVersion: version, timestampMs: timeOf(version).modifiedAtMs }
  return encodeLtx({ pageSize: PAGE_SIZE, pageCount, nodeId: 1n, ...range }, changed)
}

async function compacted(files: Uint8Array[]): Promise<Uint8Array> {
  const inputs = files.map((bytes, index) => ({ name: `input ${index}`, open: () => [bytes] }))
  const chunks: Uint8Array[] = []
  for await (const chunk of compactLtx(inputs)) chunks.push(chunk)
  return Buffer.concat(chunks)
}

function keyOf(target: Target, version: number): string {
  return `${target.levelFolder(0)}/${ltxName(version, version)}`
}

function timeOf(version: number): { modifiedAtMs: number } {
  return { modifiedAtMs: FIRST_TIME_MS + version * 1000 }
}

function whyNoLitestream(): string {
  try {
    createRequire(import.meta.url)('litestream-vfs').getLoadablePath()
    return ''
  } catch (thrown) {
    const reason = thrown instanceof Error ? thrown.message.split('\n')[0] : String(thrown)
    return ` (left out: ${reason})`
  }
}

import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { AwsClient } from 'aws4fetch'
import { type CephServer, cephLeftOut, startCeph } from '../../tests/servers/ceph.ts'
import { bigDatabase, eventAdder, makeEvents } from '../support/databases.ts'
import { atMost, type Figure, type Row, type RowOptions } from '../support/figure.ts'
import { createPersistentDb, productModule } from '../support/product.ts'
import { median, percentile, timed } from '../support/statistics.ts'

const WRITERS = 64

/** The same beside a real S3 server: Ceph on this machine, so that the way to it costs nothing. */
export const s3: Row = {
  name: 's3',
  question: 'What does an S3 target cost, beside a bare PUT and GET?',
  async run(options) {
    if (cephLeftOut !== '') throw new Error(`row s3 needs a Ceph${cephLeftOut}`)
    const ceph = await startCeph()
    try {
      return [
        ...(await confirm(ceph, options)),
        ...(await together(ceph, options)),
        ...(await restore(ceph, options)),
        ...(await wipedBoot(ceph, options)),
      ]
    } finally {
      await ceph.stop()
    }
  },
}

const urlOf = ({ bucket, url }: CephServer, name: string) =>
  `s3://${bucket}/${name}?endpoint=${encodeURIComponent(url)}`

async function protectOn(ceph: CephServer, path: string, name: string) {
  process.env.KVAR_S3_ACCESS_KEY_ID = ceph.credentials.accessKeyId
  process.env.KVAR_S3_SECRET_ACCESS_KEY = ceph.credentials.secretAccessKey
  return createPersistentDb(path, { targets: [urlOf(ceph, name)], copies: [], handleSignals: false })
}

function client({ credentials }: CephServer): AwsClient {
  return new AwsClient({ ...credentials, service: 's3', region: 'us-east-1', retries: 0 })
}

/** One commit after the other, each beside a bare PUT of as many bytes in the same breath. */
async function confirm(ceph: CephServer, { folder, quick }: RowOptions): Promise<Figure[]> {
  const commits = quick ? 50 : 300
  const path = join(folder, 'confirm.db')
  makeEvents(path, 1000)
  const persistence = await protectOn(ceph, path, 'confirm')
  const database = new DatabaseSync(path)
  const [add, bare] = [eventAdder(database), client(ceph)]
  const body = new Uint8Array(3300).map((_, i) => (i * 2654435761) >>> 13)
  const [confirmMs, bareMs]: number[][] = [[], []]
  for (let n = 0; n < commits; n++) {
    add(n)
    confirmMs?.push(await timed(() => persistence.flush()))
    bareMs?.push(await timed(() => put(bare, `${ceph.url}/${ceph.bucket}/bare/${n}`, body)))
  }
  database.close()
  await persistence.close()
  const [p50, bareP50] = [median(confirmMs ?? []), median(bareMs ?? [])]
  const what = `commit to confirmed, ${commits} commits`
  const goal = atMost(p50, 1.3 * bareP50 + 3, 'at most 1.3 × a bare PUT + 3 ms')
  return [
    { what: `${what}: p50`, whose: 'ours', value: p50, unit: 'ms', samples: confirmMs ?? [], goal },
    { what: `${what}: p99`, whose: 'ours', value: percentile(confirmMs ?? [], 0.99), unit: 'ms' },
    { what: 'a bare PUT of 3.3 kB: p50', whose: 'limit', value: bareP50, unit: 'ms', samples: bareMs ?? [] },
    { what: 'a bare PUT of 3.3 kB: p99', whose: 'limit', value: percentile(bareMs ?? [], 0.99), unit: 'ms' },
  ]
}

async function put(bare: AwsClient, url: string, body: Uint8Array): Promise<void> {
  const answer = await bare.fetch(url, { method: 'PUT', body: body as Uint8Array<ArrayBuffer> })
  await answer.arrayBuffer()
  if (!answer.ok) throw new Error(`the bare PUT was answered ${answer.status}`)
}

/** Many who wait at the same time share a version. */
async function together(ceph: CephServer, { folder, quick }: RowOptions): Promise<Figure[]> {
  const commits = quick ? 500 : 5000
  const path = join(folder, 'together.db')
  makeEvents(path, 1000)
  const persistence = await protectOn(ceph, path, 'together')
  const database = new DatabaseSync(path)
  const add = eventAdder(database)
  const before = (await persistence.status()).version
  let next = 0
  const writer = async () => {
    while (next < commits) {
      add(next++)
      await persistence.flush()
    }
  }
  const tookMs = await timed(() => Promise.all(Array.from({ length: WRITERS }, writer)))
  const versions = (await persistence.status()).version - before
  database.close()
  await persistence.close()
  const what = `${WRITERS} writers that all wait`
  return [
    { what: `${what}: commits`, whose: 'ours', value: commits / (tookMs / 1000), unit: 'commits/s' },
    {
      what: `${what}: versions stored per 1000 commits`,
      whose: 'ours',
      value: (versions / commits) * 1000,
      unit: 'objects',
    },
  ]
}

type System = typeof import('../../packages/kvar/src/platform/system.ts')
type Open = typeof import('../../packages/kvar/src/targets/open-target.ts')
type Url = typeof import('../../packages/kvar/src/settings/target-url.ts')
type Log = typeof import('../../packages/kvar/src/log/version-log.ts')
type Restore = typeof import('../../packages/kvar/src/log/restore.ts')

async function restore(ceph: CephServer, { folder, quick, cacheFolder }: RowOptions): Promise<Figure[]> {
  const sizeMb = quick ? 20 : 100
  const path = join(folder, 'large.db')
  await bigDatabase(path, sizeMb, cacheFolder)
  await (await protectOn(ceph, path, 'large')).close()
  const { systemPlatform: platform } = (await import(productModule('platform/system'))) as System
  const { openTarget } = (await import(productModule('targets/open-target'))) as Open
  const { parseTargetUrl } = (await import(productModule('settings/target-url'))) as Url
  const { VersionLog } = (await import(productModule('log/version-log'))) as Log
  const { restoreToFile } = (await import(productModule('log/restore'))) as Restore
  const source = { kind: 'variable', label: 'the bench', baseFolder: '/' } as const
  const target = await openTarget(
    parseTargetUrl(urlOf(ceph, 'large'), { source, environment: process.env }),
    platform,
  )
  const log = new VersionLog(target)
  const { key, sizeBytes } = (await log.listFiles()).reduce((a, b) => (a.sizeBytes > b.sizeBytes ? a : b))
  const bare = client(ceph)
  const [oursMs, bareMs]: number[][] = [[], []]
  for (let round = 0; round < 5; round++) {
    const out = join(folder, 'restored.db')
    oursMs?.push(
      await timed(async () =>
        restoreToFile({ log, plan: await log.plan({ kind: 'latest' }), path: out, platform }),
      ),
    )
    await rm(out)
    bareMs?.push(
      await timed(async () => (await bare.fetch(`${ceph.url}/${ceph.bucket}/large/${key}`)).arrayBuffer()),
    )
  }
  await target.close()
  const megabytes = Math.round(sizeBytes / 1e6)
  return [
    {
      what: `restore of ${sizeMb} MB`,
      whose: 'ours',
      value: median(oursMs ?? []),
      unit: 'ms',
      samples: oursMs ?? [],
    },
    {
      what: `a bare GET of its ${megabytes} MB`,
      whose: 'limit',
      value: median(bareMs ?? []),
      unit: 'ms',
      samples: bareMs ?? [],
    },
  ]
}

async function wipedBoot(ceph: CephServer, { folder }: RowOptions): Promise<Figure[]> {
  const path = join(folder, 'wiped.db')
  makeEvents(path, 1000)
  await (await protectOn(ceph, path, 'wiped')).close()
  const samples: number[] = []
  const uploaded: number[] = []
  for (let round = 0; round < 5; round++) {
    for (const name of ['wiped.db', 'wiped.db-wal', 'wiped.db-shm', '.wiped.db-kvar'])
      await rm(join(folder, name), { recursive: true, force: true })
    const before = await storedBytes(ceph, 'wiped/')
    let persistence: Awaited<ReturnType<typeof protectOn>> | undefined
    samples.push(
      await timed(async () => {
        persistence = await protectOn(ceph, path, 'wiped')
      }),
    )
    await persistence?.close()
    uploaded.push((await storedBytes(ceph, 'wiped/')) - before)
  }
  return [
    {
      what: 'wiped boot with 1000 events: createPersistentDb',
      whose: 'ours',
      value: median(samples),
      unit: 'ms',
      samples,
    },
    {
      ...{
        what: 'bytes uploaded by it',
        whose: 'ours',
        value: median(uploaded),
        unit: 'bytes' as const,
        samples: uploaded,
      },
      goal: { text: 'one page: the claim', met: median(uploaded) <= 4096 + 200 },
    },
  ]
}

async function storedBytes({ admin, bucket }: CephServer, prefix: string): Promise<number> {
  const listed = JSON.parse(
    await admin('bucket', 'list', `--bucket=${bucket}`, '--max-entries=10000'),
  ) as Array<{
    name: string
    meta: { size: number }
  }>
  return listed.filter(({ name }) => name.startsWith(prefix)).reduce((sum, { meta }) => sum + meta.size, 0)
}

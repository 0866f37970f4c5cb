// Goal: the S3 target keeps the contract on a real S3 server, alone and inside every wrapper, and 20
// processes that race for one key have one winner. Method: the shared suite on Ceph's object gateway,
// one server for all tests, a prefix of its own for each. With KVAR_TEST_S3=s3://bucket/folder?… and
// keys in the environment the same suite runs against a real account.

import { randomBytes } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { inspect } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { systemPlatform } from '../../packages/kvar/src/platform/system.ts'
import { parseTargetUrl } from '../../packages/kvar/src/settings/target-url.ts'
import { probeFence } from '../../packages/kvar/src/targets/fence-probe.ts'
import { openTarget } from '../../packages/kvar/src/targets/open-target.ts'
import { readAll, type Target } from '../../packages/kvar/src/targets/target.ts'
import { withFaults } from '../../packages/kvar/src/targets/wrappers/faulty-target.ts'
import { withMetering } from '../../packages/kvar/src/targets/wrappers/metering-target.ts'
import { withRetries } from '../../packages/kvar/src/targets/wrappers/retrying-target.ts'
import { type CephServer, cephLeftOut, startCeph } from '../servers/ceph.ts'
import { entries, failingSource, keys, pattern, sourceOf } from './contract-objects.ts'
import { describeCutAnswers } from './cut-answers.ts'
import { raceProcesses } from './race-processes.ts'
import { type ContractSubject, describeTargetContract } from './target-contract.ts'

const RACERS = 20
const modifiedAtMs = 1_795_428_930_123
const large10 = pattern(10)
const { clock } = systemPlatform
const source = { kind: 'variable', label: 'the test', baseFolder: '/' } as const

interface Place {
  url: string
  secrets: Record<string, string>
}

async function openS3(place: Place, wrap?: (target: Target) => Target): Promise<ContractSubject> {
  const { secrets } = place
  const url = inFreshFolder(place.url)
  const open = async () => {
    const target = await openTarget(parseTargetUrl(url, { source, environment: secrets }), systemPlatform)
    return wrap === undefined ? target : wrap(target)
  }
  return {
    target: await open(),
    reopen: open,
    ...(wrap === undefined
      ? { race: (contested: string[]) => raceProcesses(url, contested, { racers: RACERS, secrets }) }
      : {}),
    dispose: async () => undefined,
  }
}

/** Behind the path, before the question mark. */
function inFreshFolder(url: string): string {
  return url.replace(/\/?(\?|$)/, `/${randomBytes(6).toString('hex')}$1`)
}

/** The policy as docs/providers/s3.md tells people to write it. */
async function documentedPolicy(bucket: string, folder: string): Promise<string> {
  const page = await readFile(join(import.meta.dirname, '../../docs/providers/s3.md'), 'utf8')
  const json = /```json\n([\s\S]*?)```/.exec(page)?.[1] ?? ''
  return json.replaceAll('BUCKET', bucket).replaceAll('FOLDER', folder)
}

const allWrappers = (target: Target) =>
  withRetries(withMetering(withFaults(target, { clock })), { platform: systemPlatform })

describe.skipIf(cephLeftOut !== '')(`Ceph${cephLeftOut}`, () => {
  let ceph: CephServer
  beforeAll(async () => {
    ceph = await startCeph()
  }, 180_000)
  afterAll(() => ceph?.stop())

  const place = (): Place => ({
    url: `s3://${ceph.bucket}/åäö (a+b)/app?endpoint=${encodeURIComponent(ceph.url)}`,
    secrets: {
      KVAR_S3_ACCESS_KEY_ID: ceph.credentials.accessKeyId,
      KVAR_S3_SECRET_ACCESS_KEY: ceph.credentials.secretAccessKey,
    },
  })
  describeTargetContract('s3', () => openS3(place()))
  describeTargetContract('s3, all wrappers', () => openS3(place(), allWrappers))

  describe('cut connections', () => {
    describeCutAnswers({
      serverPort: () => Number(new URL(ceph.url).port),
      place: (port) => ({
        ...place(),
        url: inFreshFolder(`s3://${ceph.bucket}/cut?endpoint=http%3A%2F%2F127.0.0.1%3A${port}`),
      }),
      deciding: /^PUT/,
    })
  })

  describe('large objects', () => {
    const large = pattern(20_000_000)

    it('are stored once, whether the server honours conditions for parts or not', async () => {
      const { target } = await openS3(place())
      expect(await target.create('large', large, { modifiedAtMs })).toBe('created')
      expect(await target.create('large', sourceOf(large, [1, 17_000_000]), { modifiedAtMs })).toBe('exists')
      expect(Buffer.compare((await readAll(target, 'large')) as Uint8Array, large)).toBe(0)
      expect(await keys(target, '')).toEqual(['large'])
      await target.close()
    })

    it('are replaced in parts, and a source that fails leaves the old one and no parts', async () => {
      const { target } = await openS3(place())
      await target.replace('large', sourceOf(large, [16_777_215, 2]))
      expect(Buffer.compare((await readAll(target, 'large')) as Uint8Array, large)).toBe(0)
      const broken = new RangeError('the source is broken')
      const failing = failingSource(pattern(36_000_000), broken)
      await expect(target.replace('large', failing)).rejects.toBe(broken)
      expect(await readAll(target, 'large')).toHaveLength(large.length)
      const uploads = JSON.parse(
        await ceph.admin('bucket', 'list', `--bucket=${ceph.bucket}`, '--allow-unordered'),
      )
      const names = (uploads as Array<{ name: string; ns?: string }>).map(({ name }) => name)
      expect(names.filter((name) => name.includes('_multipart_'))).toEqual([])
      await target.close()
    })
  })

  it('says what to mend: keys, rights, bucket, quota, and never a secret', async () => {
    const { url, secrets } = place()
    const secret = ceph.credentials.secretAccessKey
    const failing: Array<[string, Record<string, string>, object]> = [
      [
        url,
        { KVAR_S3_SECRET_ACCESS_KEY: 'wrong-secret' },
        { failure: 'denied', data: { code: 'SignatureDoesNotMatch' } },
      ],
      [url, { KVAR_S3_ACCESS_KEY_ID: 'NOBODY' }, { failure: 'denied', data: { code: 'InvalidAccessKeyId' } }],
      [
        url.replace(ceph.bucket, 'no-such-bucket'),
        {},
        { failure: 'permanent', data: { code: 'NoSuchBucket' } },
      ],
      [url.replace(/%3A\d+$/, '%3A1'), {}, { failure: 'temporary', data: { systemCode: 'ECONNREFUSED' } }],
    ]
    for (const [where, changed, expected] of failing) {
      const { target } = await openS3({ url: where, secrets: { ...secrets, ...changed } })
      for (const verb of [() => target.create('a', large10, { modifiedAtMs }), () => keys(target, '')]) {
        const thrown: unknown = await verb().catch((error: unknown) => error)
        expect(thrown).toMatchObject(expected)
        for (const hidden of [secret, 'wrong-secret'])
          expect(inspect(thrown, { depth: 9 })).not.toContain(hidden)
      }
      await target.close()
    }
  })

  it('works with no more rights than the documents give, and these do not reach beyond the folder', async () => {
    const [id, secret] = ['KVARLIMITED', 'limited-secret']
    const own = ['--access-key', id, '--secret-key', secret]
    await ceph.admin('user', 'create', '--uid=limited', '--display-name=Limited', ...own)
    await ceph.grant('limited', await documentedPolicy(ceph.bucket, 'allowed'))
    const endpoint = `endpoint=${encodeURIComponent(ceph.url)}`
    const secrets = { KVAR_S3_ACCESS_KEY_ID: id, KVAR_S3_SECRET_ACCESS_KEY: secret }
    const { target } = await openS3({ url: `s3://${ceph.bucket}/allowed?${endpoint}`, secrets })
    expect(await target.create('0000/a', large10, { modifiedAtMs })).toBe('created')
    expect(await target.create('0000/a', large10, { modifiedAtMs })).toBe('exists')
    await target.replace('large', pattern(17_000_000))
    expect(await target.read('0000/nothing')).toBeUndefined()
    expect(Buffer.from((await readAll(target, '0000/a')) as Uint8Array)).toEqual(Buffer.from(large10))
    await target.remove(['large', '0000/nothing'])
    expect(await entries(target, '')).toHaveLength(1)
    await target.close()

    const { target: outside } = await openS3({ url: `s3://${ceph.bucket}/forbidden?${endpoint}`, secrets })
    const verbs = [
      () => outside.create('a', large10, { modifiedAtMs }),
      () => outside.read('a'),
      () => entries(outside, ''),
      () => outside.remove(['a']),
      () => outside.remove(['a', 'b']),
    ]
    for (const verb of verbs) await expect(verb()).rejects.toMatchObject({ failure: 'denied' })
    await outside.close()
  })

  it('calls a used-up quota full', async () => {
    await ceph.admin('quota', 'set', `--uid=${ceph.userId}`, '--quota-scope=user', '--max-size=1K')
    await ceph.admin('quota', 'enable', `--uid=${ceph.userId}`, '--quota-scope=user')
    const { target } = await openS3(place())
    try {
      const storing = (async () => {
        // The gateway looks at a quota now and then, not every time.
        for (let n = 0; n < 400; n++) await target.create(`full/${n}`, pattern(100_000), { modifiedAtMs })
      })()
      await expect(storing).rejects.toMatchObject({ failure: 'full', data: { code: 'QuotaExceeded' } })
    } finally {
      await ceph.admin('quota', 'disable', `--uid=${ceph.userId}`, '--quota-scope=user')
      await target.close()
    }
  })

  it('proves its fence', async () => {
    const { target } = await openS3(place())
    expect(await probeFence(target, { platform: systemPlatform, prefix: 'kvar/proof/' })).toBe('refuses')
    expect(await keys(target, '')).toEqual([])
    await target.close()
  })
})

const account = process.env.KVAR_TEST_S3
if (account !== undefined) {
  const secrets = process.env as Record<string, string>
  describeTargetContract('s3, a real account', () => openS3({ url: account, secrets }))
}

// Goal: a server that lies, storms or refuses makes an S3 target neither lose nor invent anything, and
// every refusal says what to mend. Method: a little S3 of ours that lies in one way at a time; that the
// target works on a real one is shown by tests/contract/s3.test.ts.

import { inspect } from 'node:util'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { errorBody, type Lie, type LyingS3, startLyingS3 } from '../../../../../tests/servers/lying-s3.ts'
import type { Clock } from '../../platform/clock.ts'
import { systemPlatform } from '../../platform/system.ts'
import { probeFence } from '../fence-probe.ts'
import { readAll, type Target } from '../target.ts'
import { withRetries } from '../wrappers/retrying-target.ts'
import { createS3Target } from './s3-target.ts'

const modifiedAtMs = 1_795_428_930_123
const body = new TextEncoder().encode('a body of some bytes')
let s3: LyingS3
let target: Target

beforeEach(async () => {
  s3 = await startLyingS3()
  target = await open()
})

afterEach(async () => {
  await target.close()
  await s3.stop()
})

function open(changed: object = {}, platform = systemPlatform): Promise<Target> {
  const credentials = { accessKeyId: 'AKIASECRET', secretAccessKey: 's3cr3t', sessionToken: 't0ken' }
  const place = { url: 's3://bucket/app', bucket: 'bucket', prefix: 'app', endpoint: s3.url }
  return createS3Target(
    { ...place, region: 'us-east-1', addressing: 'path', credentials, ...changed },
    platform,
  )
}

async function keys(prefix = '', from: Target = target): Promise<string[]> {
  const found = []
  for await (const { key } of from.list(prefix)) found.push(key)
  return found
}

async function fill(count: number): Promise<string[]> {
  const names = Array.from({ length: count }, (_, index) => `0000/${String(index).padStart(3, '0')}`)
  for (const name of names) await target.create(name, body, { modifiedAtMs })
  return names
}

describe('a server that lies', () => {
  it('about conditions cannot fence, and the probe says so', async () => {
    const options = { platform: systemPlatform, prefix: 'kvar/proof/' }
    expect(await probeFence(target, options)).toBe('refuses')
    s3.lie = 'ignores-conditions'
    expect(await probeFence(target, options)).toBe('overwrites')
    expect(s3.objects.size).toBe(0)
  })

  it.each(['truncates', 'truncates-unmeasured'] as const)(
    'and %s gives an error, never a short object',
    async (lie) => {
      await fill(1)
      s3.lie = lie
      await expect(readAll(target, '0000/000')).rejects.toMatchObject({ failure: 'temporary' })
    },
  )

  it('and flips a bit is believed by the target: the checksums of the log find it', async () => {
    await fill(1)
    s3.lie = 'flips-a-bit'
    expect(Buffer.from((await readAll(target, '0000/000')) as Uint8Array).toString()).toBe(
      '` body of some bytes',
    )
  })

  it('and ignores ranges gives the part that was asked for; another part is not taken', async () => {
    await fill(1)
    const part = async () => {
      const chunks = []
      const range = { offset: 2, length: 4 }
      for await (const chunk of (await target.read('0000/000', { range })) ?? []) chunks.push(chunk)
      return Buffer.concat(chunks).toString()
    }
    expect(await part()).toBe('body')
    s3.lie = 'ignores-ranges'
    expect(await part()).toBe('body')
    s3.lie = 'sends-another-range'
    await expect(part()).rejects.toMatchObject({ failure: 'temporary' })
  })

  it('and lists twice or late lists nothing twice and invents nothing', async () => {
    const names = await fill(7)
    expect(await keys()).toEqual(names)
    s3.lie = 'lists-twice'
    expect(await keys()).toEqual(names)
    s3.lie = 'lists-late'
    expect(await keys()).toEqual(names.slice(0, -1))
  })

  it('and lists strangers cannot lead out of the prefix', async () => {
    const names = await fill(2)
    s3.lie = 'lists-strangers'
    expect(await keys()).toEqual(names)
  })

  it.each(['lists-for-ever', 'lists-out-of-order', 'lists-half', 'answers-html', 'answers-bomb'] as const)(
    'and %s gives an error, never a shorter log',
    async (lie) => {
      await fill(7)
      s3.lie = lie
      await expect(keys()).rejects.toMatchObject({ failure: 'temporary' })
    },
  )

  it('and answers HTML to a read never makes an object of it', async () => {
    s3.lie = 'answers-html'
    s3.server.answer = () => ({ status: 404, body: '<html>Not here</html>' })
    await expect(target.read('0000/000')).rejects.toMatchObject({ failure: 'permanent' })
  })

  it('about removals is found out; one that knows no batches gets single ones', async () => {
    const names = await fill(5)
    s3.lie = 'refuses-removals'
    await expect(target.remove(names)).rejects.toMatchObject({ failure: 'denied' })
    s3.lie = 'has-no-batches'
    await target.remove([...names, 'never'])
    expect(s3.objects.size).toBe(0)
    s3.server.asked.length = 0
    await target.remove(names)
    expect(s3.server.asked.filter(({ method }) => method === 'POST')).toEqual([])
  })

  const everyLie: Lie[] = ['truncates', 'ignores-ranges', 'lists-twice', 'lists-out-of-order', 'answers-html']
  it('for a while does no harm: afterwards everything is as it was', async () => {
    const names = await fill(4)
    for (const lie of everyLie) {
      s3.lie = lie
      await Promise.allSettled([
        keys(),
        readAll(target, names[0] as string),
        target.create(names[1] as string, body, { modifiedAtMs }),
      ])
      s3.lie = undefined
      expect(await keys(), lie).toEqual(names)
      for (const name of names)
        expect(Buffer.from(s3.objects.get(`app/${name}`) as Buffer), lie).toEqual(Buffer.from(body))
    }
  })
})

describe('a storm', () => {
  it.each([
    ['429 with seconds', { status: 429, headers: { 'retry-after': '7' } }, 7000],
    [
      '503 with a date',
      { status: 503, headers: { 'retry-after': new Date(1_795_428_942_000).toUTCString() } },
      12_000,
    ],
    ['SlowDown', { status: 503, body: errorBody('SlowDown') }, undefined],
    ['500', { status: 500 }, undefined],
    ['ConditionalRequestConflict', { status: 409, body: errorBody('ConditionalRequestConflict') }, undefined],
  ])('of %s is waited out as the server asks', async (_name, reply, waitMs) => {
    const clock = hurriedClock()
    const stormy = await open({}, { ...systemPlatform, clock })
    const patient = withRetries(stormy, { platform: { ...systemPlatform, clock } })
    s3.storm = { count: 3, reply }
    expect(await patient.create('a', body, { modifiedAtMs })).toBe('created')
    expect(s3.objects.get('app/a')).toEqual(Buffer.from(body))
    if (waitMs !== undefined) expect(clock.waitsMs).toEqual([waitMs, waitMs, waitMs])
    await stormy.close()
  })

  it('of cut connections is waited out', async () => {
    const { answer } = s3.server
    let cuts = 3
    s3.server.answer = (asked) => (cuts-- > 0 ? undefined : answer(asked))
    const patient = withRetries(target, { platform: systemPlatform, policy: { firstDelayMs: 1 } })
    expect(await patient.create('a', body, { modifiedAtMs })).toBe('created')
  })
})

/** A clock that notes every wait and makes it short; deadlines, which are longer, stay as they are. */
function hurriedClock(): Clock & { waitsMs: number[] } {
  const waitsMs: number[] = []
  return {
    ...systemPlatform.clock,
    waitsMs,
    nowMs: () => 1_795_428_930_000,
    startTimer(delayMs, fire) {
      if (delayMs < 20_000) waitsMs.push(delayMs)
      return systemPlatform.clock.startTimer(delayMs < 20_000 ? 1 : delayMs, fire)
    },
  }
}

describe('a refusal says what to mend', () => {
  it.each([
    [403, 'AccessDenied', 'denied', /s3:PutObject/],
    [403, 'SignatureDoesNotMatch', 'denied', /AWS_SECRET_ACCESS_KEY/],
    [403, 'InvalidAccessKeyId', 'denied', /AWS_ACCESS_KEY_ID/],
    [400, 'ExpiredToken', 'denied', /AWS_SESSION_TOKEN/],
    [403, 'RequestTimeTooSkewed', 'denied', /clock/],
    [403, 'QuotaExceeded', 'full', /quota/],
    [507, 'XMinioStorageFull', 'full', /room/],
    [404, 'NoSuchBucket', 'permanent', /make the bucket/],
    [405, 'MethodNotAllowed', 'permanent', /endpoint/],
    [401, 'SomethingNew', 'denied', /credentials|check/],
    [500, 'SomethingNew', 'temporary', /tried again/],
    [418, 'SomethingNew', 'permanent', /address/],
  ])('%s %s', async (status, code, failure, hint) => {
    s3.server.answer = () => ({ status, body: errorBody(code) })
    for (const verb of [
      () => target.create('a', body, { modifiedAtMs }),
      () => target.replace('a', body),
      () => keys(),
    ]) {
      const thrown = await verb().catch((error: unknown) => error)
      expect(thrown).toMatchObject({ failure, hint: expect.stringMatching(hint), data: { status, code } })
      for (const secret of ['AKIASECRET', 's3cr3t', 't0ken'])
        expect(inspect(thrown, { depth: 9 })).not.toContain(secret)
    }
  })

  it.each([
    [301, 'PermanentRedirect', '', { 'x-amz-bucket-region': 'eu-north-1' }],
    [400, 'AuthorizationHeaderMalformed', '<Region>eu-north-1</Region>', {}],
  ])('%s names the region', async (status, code, rest, headers) => {
    s3.server.answer = () => ({
      status,
      headers: headers as Record<string, string>,
      body: errorBody(code, rest),
    })
    await expect(keys()).rejects.toMatchObject({ hint: 'add region=eu-north-1 to the target' })
    s3.server.answer = () => ({ status, body: errorBody(code, '<Region>\u001b[2J evil</Region>') })
    const thrown = await keys().catch((error: unknown) => error)
    expect(JSON.stringify(thrown)).not.toContain('evil')
  })
})

describe('a request', () => {
  it('carries signature, token, content hash and the time that Litestream reads', async () => {
    await target.create('0000/a', body, { modifiedAtMs })
    expect(s3.server.asked[0]).toMatchObject({
      method: 'PUT',
      path: '/bucket/app/0000/a',
      headers: {
        authorization: expect.stringMatching(
          /^AWS4-HMAC-SHA256 Credential=AKIASECRET\/\d{8}\/us-east-1\/s3\/aws4_request/,
        ),
        'x-amz-security-token': 't0ken',
        'x-amz-content-sha256': expect.stringMatching(/^[0-9a-f]{64}$/),
        'x-amz-meta-litestream-timestamp': new Date(modifiedAtMs).toISOString(),
        'if-none-match': '*',
        'content-length': String(body.length),
      },
    })
  })

  it('names the bucket in the host where that is wanted', async () => {
    const virtual = await open({ addressing: 'virtual', endpoint: s3.url.replace('127.0.0.1', 'localhost') })
    await virtual.create('a', body, { modifiedAtMs }).catch(() => undefined)
    const [asked] = s3.server.asked
    // Some resolvers know no names below localhost; then nothing was asked.
    if (asked !== undefined)
      expect(asked).toMatchObject({
        path: '/app/a',
        headers: { host: expect.stringMatching(/^bucket\.localhost:/) },
      })
    await virtual.close()
  })
})

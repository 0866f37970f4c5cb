// Goal: tokens that run out, storms, quotas, lost sessions and paging make a Dropbox target neither lose nor
// invent anything, and every refusal says what to mend. Method: the emulator (tests/emulators/dropbox.ts) is
// told to misbehave in one way at a time; that the contract holds is shown by tests/contract/dropbox.test.ts.

import { setTimeout as pause } from 'node:timers/promises'
import { inspect } from 'node:util'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { DropboxEmulator, tooMany, union } from '../../../../../tests/emulators/dropbox.ts'
import type { Reply } from '../../../../../tests/servers/scripted-http.ts'
import type { Clock } from '../../platform/clock.ts'
import { systemPlatform } from '../../platform/system.ts'
import { probeFence } from '../fence-probe.ts'
import { readAll, type Target } from '../target.ts'
import { withRetries } from '../wrappers/retrying-target.ts'
import { dropboxAddresses } from './dropbox-settings.ts'
import { createDropboxTarget } from './dropbox-target.ts'

const modifiedAtMs = 1_795_428_930_123
const body = new TextEncoder().encode('a body of some bytes')
const LIMITS = { sessionAboveBytes: 1000, pieceBytes: 400 }
let dropbox: DropboxEmulator
let refreshToken: string
let target: Target

beforeEach(async () => {
  dropbox = await DropboxEmulator.start()
  refreshToken = dropbox.oauth.newRefreshToken()
  target = open()
})

afterEach(async () => {
  await target.close()
  await dropbox.stop()
})

function open(platform = systemPlatform, folder = ['Kvar', 'App']): Target {
  const addresses = dropboxAddresses(dropbox.url)
  const app = { appKey: dropbox.oauth.app.id, appSecret: undefined, refreshToken }
  return createDropboxTarget({ url: 'dropbox:/Kvar/App', folder, ...app, addresses }, platform, LIMITS)
}

const create = (key: string, bytes: Uint8Array = body) => target.create(key, bytes, { modifiedAtMs })

async function keys(prefix = ''): Promise<string[]> {
  const found = []
  for await (const { key } of target.list(prefix)) found.push(key)
  return found
}

async function failureOf(work: Promise<unknown>): Promise<unknown> {
  const thrown: unknown = await work.then(
    () => undefined,
    (error: unknown) => error,
  )
  for (const secret of [...dropbox.oauth.secrets, refreshToken])
    expect(inspect(thrown, { depth: 9 })).not.toContain(secret)
  return thrown
}

function answerOnce(reply: Reply): void {
  dropbox.storm = { count: 1, reply }
}

describe('tokens', () => {
  it('are fetched once for all, and anew when they have run out', async () => {
    await Promise.all(Array.from({ length: 10 }, (_, index) => create(`ltx/0/${index}`)))
    expect(dropbox.oauth.signIns).toBe(1)
    dropbox.oauth.expireTokens()
    expect(await create('ltx/0/later')).toBe('created')
    expect(dropbox.oauth.signIns).toBe(2)
  })

  it('are renewed before they run out', async () => {
    let nowMs = 0
    const clock: Clock = { ...systemPlatform.clock, monotonicMs: () => nowMs }
    const patient = open({ ...systemPlatform, clock })
    for (const [atMs, signIns] of [
      [0, 1],
      [14_300_000, 1],
      [14_341_000, 2],
    ] as const) {
      nowMs = atMs
      await patient.read('a')
      expect(dropbox.oauth.signIns).toBe(signIns)
    }
    await patient.close()
  })

  it('that are refused twice, or taken back, need the person', async () => {
    await create('a')
    dropbox.storm = { count: 2, reply: union(401, { '.tag': 'invalid_access_token' }) }
    expect(await failureOf(create('b'))).toMatchObject({
      failure: 'denied',
      hint: expect.stringMatching(/kvar login/),
    })
    dropbox.oauth.revoke()
    const thrown = await failureOf(create('b'))
    expect(thrown).toMatchObject({ failure: 'denied', data: { code: 'invalid_grant' } })
  })

  it('do not hang on one caller who gives up', async () => {
    const stop = new AbortController()
    const first = target.read('a', { signal: stop.signal })
    const second = target.read('a')
    stop.abort()
    await expect(first).rejects.toMatchObject({ code: 'CANCELLED' })
    expect(await second).toBeUndefined()
  })
})

describe('names', () => {
  it('keep capitals apart, and an object apart from a folder of its name', async () => {
    const stored = ['A', 'a', 'a/b', 'a/B', 'a.x', 'a.x/c', 'copies/App.json']
    for (const key of stored) expect(await create(key, new TextEncoder().encode(key)), key).toBe('created')
    expect(await keys()).toEqual(stored.toSorted())
    await target.remove(['a', 'a.x'])
    expect(await keys()).toEqual(['A', 'a.x/c', 'a/B', 'a/b', 'copies/App.json'])
    expect(Buffer.from((await readAll(target, 'a/B')) ?? []).toString()).toBe('a/B')
    expect(dropbox.files.has('/kvar/app/copies/^app.json')).toBe(true)
  })

  it('of others are not listed', async () => {
    await create('ltx/0/a.ltx')
    const [file] = [...dropbox.files.values()]
    for (const name of ['ltx/0/b', 'ltx/0/å.ltx', 'ltx/0/a b.ltx', 'ltx/.hidden', 'x^1.z', 'ltx/0^/c.ltx'])
      dropbox.files.set(`/kvar/app/${name}`, file as never)
    expect(await keys()).toEqual(['ltx/0/a.ltx'])
  })
})

describe('uploads', () => {
  it('show our time in whole seconds, and tell nobody', async () => {
    await create('a')
    expect(dropbox.lastArgument.get('files/upload')).toEqual({
      path: '/Kvar/App/a^',
      mode: 'add',
      autorename: false,
      mute: true,
      strict_conflict: true,
      client_modified: '2026-11-23T10:15:30Z',
    })
  })

  it('that are large go in a session, and only then', async () => {
    const large = new Uint8Array(1500).map((_, index) => index)
    dropbox.uploadLimitBytes = 1000
    expect(await create('small', large.subarray(0, 1000))).toBe('created')
    expect(dropbox.calls.has('files/upload_session/start')).toBe(false)
    expect(await create('large', large)).toBe('created')
    expect(await create('large', large)).toBe('exists')
    await target.replace('large', large.toReversed())
    expect(Buffer.compare((await readAll(target, 'large')) as Uint8Array, large.toReversed())).toBe(0)
    expect(dropbox.calls.get('files/upload_session/append_v2')).toBe(9)
  })

  it('whose session is forgotten are tried again from the start', async () => {
    const sent = dropbox.calls
    let forgot = 0
    const source = {
      sizeBytes: 2000,
      async *open() {
        for (let piece = 0; piece < 20; piece++) {
          yield new Uint8Array(100)
          if (forgot === 0 && (sent.get('files/upload_session/append_v2') ?? 0) > 2) {
            forgot += 1
            dropbox.forgetSessions()
          }
        }
      },
    }
    const failing = target.create('large', source, { modifiedAtMs })
    expect(await failureOf(failing)).toMatchObject({ failure: 'temporary' })
    expect(forgot).toBe(1)
    expect(await keys()).toEqual([])
    expect(await target.create('large', source, { modifiedAtMs })).toBe('created')
  })

  it('stand in line, because Dropbox lets only one write at a time', async () => {
    let most = 0
    let open = 0
    const { answer } = dropbox.server
    dropbox.server.answer = async (asked) => {
      if (!asked.path.endsWith('files/upload')) return answer(asked)
      open += 1
      most = Math.max(most, open)
      // Long enough for another one to come if it is on its way.
      await pause(30)
      open -= 1
      return answer(asked)
    }
    await Promise.all(['a', 'b', 'c', 'd'].map((key) => create(key)))
    expect(most).toBe(1)
  })

  it('prove the fence', async () => {
    expect(await probeFence(target, { platform: systemPlatform, prefix: 'kvar/proof/' })).toBe('refuses')
    expect(await keys()).toEqual([])
  })
})

describe('listings', () => {
  const stored = Array.from({ length: 10 }, (_, index) => `ltx/0/${index}.ltx`)

  it('go on over pages, and begin anew when Dropbox forgot where they were', async () => {
    for (const key of stored) await create(key)
    dropbox.pageSize = 3
    expect(await keys('ltx/0/')).toEqual(stored)
    expect(dropbox.calls.get('files/list_folder/continue')).toBe(3)
    const { answer } = dropbox.server
    dropbox.server.answer = (asked) => {
      if (asked.path.endsWith('/continue')) dropbox.forgetSessions()
      return answer(asked)
    }
    expect(await failureOf(keys())).toMatchObject({ failure: 'temporary', data: { code: 'reset' } })
  })

  it.each<[string, Reply]>([
    ['say that there is more, and not how', { body: '{"entries":[],"has_more":true}' }],
    ['are a page of HTML', { body: '<html>Please sign in</html>' }],
    ['break off', { body: '{"entries":[]}', cutAfterBytes: 5 }],
  ])('that %s never pass for a shorter log', async (_, reply) => {
    await create('a')
    answerOnce(reply)
    expect(await failureOf(keys())).toMatchObject({ failure: 'temporary' })
  })
})

describe('removals', () => {
  it('of many wait until the batch is done', async () => {
    const stored = Array.from({ length: 30 }, (_, index) => `a/${index}`)
    for (const key of stored) await create(key)
    dropbox.busyLooks = 2
    await target.remove([...stored.slice(1), 'never/there'])
    expect(await keys()).toEqual(['a/0'])
    expect(dropbox.calls.get('files/delete_batch/check')).toBe(3)
  })

  it('that fail inside a batch are errors', async () => {
    const { answer } = dropbox.server
    const failed = { '.tag': 'failed', failed: { '.tag': 'too_many_write_operations' } }
    const failure = { '.tag': 'path_write', path_write: { '.tag': 'no_write_permission' } }
    const results = [failed, { '.tag': 'complete', entries: [{ '.tag': 'failure', failure }] }]
    dropbox.server.answer = (asked) =>
      asked.path.endsWith('/check') ? { body: JSON.stringify(results.shift()) } : answer(asked)
    expect(await failureOf(target.remove(['a', 'b']))).toMatchObject({ failure: 'temporary' })
    expect(await failureOf(target.remove(['a', 'b']))).toMatchObject({ failure: 'denied' })
  })
})

describe('refusals', () => {
  const writeError = (tag: string) => union(409, { '.tag': 'path', reason: { '.tag': tag } })
  it.each<[string, Reply, object]>([
    ['too many requests', tooMany('too_many_requests', 7), { failure: 'temporary', retryAfterMs: 7000 }],
    [
      'too many writers',
      tooMany('too_many_write_operations', 1),
      { failure: 'temporary', retryAfterMs: 1000 },
    ],
    ['too many requests in plain text', { status: 429, body: 'slow down' }, { failure: 'temporary' }],
    [
      'a wait that stands in the body only',
      union(429, { reason: { '.tag': 'too_many_requests' }, retry_after: 3 }),
      { failure: 'temporary', retryAfterMs: 3000 },
    ],
    ['a lock on the account', writeError('too_many_write_operations'), { failure: 'temporary' }],
    ['a full Dropbox', writeError('insufficient_space'), { failure: 'full' }],
    ['no right to write', writeError('no_write_permission'), { failure: 'denied' }],
    ['a name it does not take', writeError('disallowed_name'), { failure: 'permanent' }],
    [
      'a word nobody knows',
      writeError('brand_new'),
      { failure: 'permanent', data: { code: 'path/brand_new' } },
    ],
    [
      'a missing right',
      union(401, { '.tag': 'missing_scope' }),
      { hint: expect.stringMatching(/Permissions/) },
    ],
    ['a wrong argument', { status: 400, body: 'Error in call' }, { failure: 'permanent' }],
    ['a failure of its own', { status: 503, body: '<html>' }, { failure: 'temporary' }],
  ])('%s', async (_, reply, expected) => {
    // A token that is refused is fetched anew once: the second answer decides.
    dropbox.storm = { count: reply.status === 401 ? 2 : 1, reply }
    expect(await failureOf(create('a'))).toMatchObject(expected)
    expect(await create('a')).toBe('created')
  })

  it('of quota come from the account itself', async () => {
    dropbox.quotaBytes = 30
    expect(await create('a')).toBe('created')
    expect(await failureOf(create('b'))).toMatchObject({ failure: 'full' })
    expect(await failureOf(create('c', new Uint8Array(1500)))).toMatchObject({ failure: 'full' })
  })

  it('for a while do no harm with patience', async () => {
    const policy = { firstDelayMs: 1 }
    const patient = withRetries(target, { platform: systemPlatform, policy })
    dropbox.storm = { count: 4, reply: tooMany('too_many_write_operations', 0) }
    expect(await patient.create('a', body, { modifiedAtMs })).toBe('created')
    answerOnce({ body: 'a body of', cutAfterBytes: 4 })
    expect(await readAll(patient, 'a')).toHaveLength(body.length)
  })
})

// Goal: what Google Drive does differently (names that are not unique, searches that lag, folders that go,
// refusals by reason) makes the target neither lose nor invent anything, and every refusal says what to
// mend. Method: the emulator (tests/emulators/google-drive.ts) is told to misbehave in one way at a time;
// that the contract holds is shown by tests/contract/google-drive.test.ts.

import { inspect } from 'node:util'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { GoogleDriveEmulator, refusal } from '../../../../../tests/emulators/google-drive.ts'
import type { Reply } from '../../../../../tests/servers/scripted-http.ts'
import { systemPlatform } from '../../platform/system.ts'
import { readAll, type Target } from '../target.ts'
import { withRetries } from '../wrappers/retrying-target.ts'
import { type GoogleCredentials, googleAddresses } from './google-drive-settings.ts'
import { createGoogleDriveTarget } from './google-drive-target.ts'

const modifiedAtMs = 1_795_428_930_123
const body = new TextEncoder().encode('a body of some bytes')
const PIECE = 262_144
const LIMITS = { resumableAboveBytes: PIECE, pieceBytes: PIECE }
let drive: GoogleDriveEmulator
let credentials: GoogleCredentials
let target: Target

beforeEach(async () => {
  drive = await GoogleDriveEmulator.start()
  const { id: clientId, secret: clientSecret = '' } = drive.oauth.app
  credentials = { kind: 'person', clientId, clientSecret, refreshToken: drive.oauth.newRefreshToken() }
  target = open()
})

afterEach(async () => {
  await target.close()
  await drive.stop()
})

function open(): Target {
  const place = { url: 'gdrive:/Kvar/App', folder: ['Kvar', 'App'], sharedDrive: undefined }
  const addresses = googleAddresses(drive.url)
  return createGoogleDriveTarget({ ...place, credentials, addresses }, systemPlatform, LIMITS)
}

const create = (key: string, bytes: Uint8Array = body, on = target) => on.create(key, bytes, { modifiedAtMs })
const folders = () => [...drive.items.values()].filter(({ mimeType }) => mimeType.endsWith('.folder'))

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
  const hidden = [...drive.oauth.secrets, drive.oauth.app.secret as string]
  for (const secret of hidden) expect(inspect(thrown, { depth: 9 })).not.toContain(secret)
  return thrown
}

describe('names that are not unique', () => {
  it('have one winner of writers that see each other; the others take theirs away', async () => {
    await create('first')
    const others = [target, open(), open()]
    const racers = Array.from({ length: 12 }, (_, racer) =>
      create('race', new Uint8Array(10).fill(racer), others[racer % 3]),
    )
    const outcomes = await Promise.all(racers)
    expect(outcomes.filter((outcome) => outcome === 'created')).toHaveLength(1)
    expect(drive.named('race')).toHaveLength(1)
    expect((await readAll(target, 'race'))?.[0]).toBe(outcomes.indexOf('created'))
    for (const other of others.slice(1)) await other.close()
  })

  it('lose to a writer who was a moment earlier', async () => {
    await create('first')
    const parents = drive.named('first')[0]?.parents
    drive.beforeCreate = (name) => {
      drive.beforeCreate = () => undefined
      drive.put({ name, parents }, Buffer.from('theirs'))
    }
    expect(await create('contested')).toBe('exists')
    expect(drive.named('contested').map((item) => item.body.toString())).toEqual(['theirs'])
  })

  it('cannot be told apart while a search lags: that is why it says "checked"', async () => {
    await create('first')
    const other = open()
    await other.read('first')
    drive.hideFor = 4
    expect([await create('late'), await create('late', body, other)]).toEqual(['created', 'created'])
    drive.hideFor = 0
    expect(target.capabilities.createIfAbsent).toBe('checked')
    for (let looks = 0; looks < 4; looks++) await keys()
    // Afterwards everybody sees the older one, and only one.
    expect(await keys()).toEqual(['first', 'late'])
    await target.remove(['late'])
    expect(drive.named('late')).toEqual([])
    await other.close()
  })

  it('are compared with their capitals, although the search is not', async () => {
    expect([await create('App'), await create('app')]).toEqual(['created', 'created'])
    await target.remove(['App'])
    expect(await keys()).toEqual(['app'])
    expect(await target.read('App')).toBeUndefined()
  })

  it('are replaced in place', async () => {
    await target.replace('copies/a.json', body)
    const [first] = drive.named('copies/a.json')
    await target.replace('copies/a.json', new Uint8Array(PIECE + 1))
    expect(drive.named('copies/a.json')).toEqual([first])
    expect(await readAll(target, 'copies/a.json')).toHaveLength(PIECE + 1)
  })
})

describe('the folder', () => {
  it('is made by the first write, once, and not by looking', async () => {
    expect(await keys()).toEqual([])
    expect(await target.read('a')).toBeUndefined()
    await target.remove(['a'])
    expect(folders()).toEqual([])
    await Promise.all(['a', 'b', 'c'].map((key) => create(key)))
    expect(folders().map(({ name }) => name)).toEqual(['Kvar', 'App'])
  })

  it('is the oldest one where several targets begin at once', async () => {
    const others = [open(), open(), open()]
    await Promise.all(others.map((other, index) => create(`from-${index}`, body, other)))
    expect(folders()).toHaveLength(2)
    expect(await keys()).toEqual(['from-0', 'from-1', 'from-2'])
    for (const other of others) await other.close()
  })

  it('is not made anew when somebody deletes it meanwhile: a version alone could not be restored', async () => {
    await create('ltx/0/1')
    const app = folders().find(({ name }) => name === 'App')
    if (app !== undefined) app.trashed = true
    const binned = { failure: 'permanent', hint: expect.stringMatching(/bin/) }
    expect(await failureOf(create('ltx/0/2'))).toMatchObject(binned)
    drive.clear()
    expect(await failureOf(create('ltx/0/2'))).toMatchObject(binned)
    expect(await failureOf(keys())).toMatchObject(binned)
    expect(folders()).toEqual([])
  })

  it('shows nothing that is in the bin, or that no key could name', async () => {
    await create('ltx/0/a')
    await create('ltx/0/b')
    const [binned] = drive.named('ltx/0/b')
    if (binned !== undefined) binned.trashed = true
    for (const name of ['a note', '../x', 'ltx/0/å'])
      drive.put({ name, parents: binned?.parents }, Buffer.from(''))
    expect(await keys()).toEqual(['ltx/0/a'])
  })
})

describe('uploads', () => {
  const large = new Uint8Array(PIECE * 2 + 5).map((_, index) => index % 251)

  it('are separated by something that nobody can know beforehand', async () => {
    const seen: string[] = []
    const { answer } = drive.server
    drive.server.answer = (asked) => {
      seen.push(/boundary=(.*)$/.exec(asked.headers['content-type'] ?? '')?.[1] ?? '')
      return answer(asked)
    }
    await create('a')
    await create('b')
    const [first, second] = seen.filter((boundary) => boundary !== '')
    expect(first).toMatch(/^kvar-[0-9a-f]{32}$/)
    expect(second).not.toBe(first)
  })

  it('that are large go in pieces', async () => {
    expect(await create('large', large)).toBe('created')
    expect(await create('large', large)).toBe('exists')
    expect(drive.counts.get('piece')).toBe(3)
    expect(Buffer.compare((await readAll(target, 'large')) as Uint8Array, large)).toBe(0)
  })

  const answerFirstPiece = (reply: Reply) => {
    const { answer } = drive.server
    let pieces = 0
    drive.server.answer = (asked) => {
      if (asked.method === 'PUT') pieces += 1
      return asked.method === 'PUT' && pieces === 1 ? reply : answer(asked)
    }
  }
  it.each<[string, Reply, string]>([
    ['is taken in part', { status: 308, headers: { range: 'bytes=0-9' } }, 'temporary'],
    ['is not taken', { status: 308 }, 'temporary'],
    ['fails', refusal(503, 'backendError'), 'temporary'],
    ['finds the drive full', refusal(403, 'storageQuotaExceeded'), 'full'],
  ])('of which a piece %s store nothing', async (_, reply, failure) => {
    await create('first')
    answerFirstPiece(reply)
    expect(await failureOf(create('large', large))).toMatchObject({ failure })
    expect(await keys()).toEqual(['first'])
  })

  it('send no token to an address elsewhere', async () => {
    await create('first')
    const { answer } = drive.server
    const asked: string[] = []
    drive.server.answer = (one) => {
      asked.push(one.path)
      if (!one.path.includes('resumable')) return answer(one)
      return { headers: { location: `${drive.url.replace('127.0.0.1', 'localhost')}/elsewhere` } }
    }
    expect(await failureOf(create('large', large))).toMatchObject({ failure: 'temporary' })
    expect(asked.filter((path) => path.includes('elsewhere'))).toEqual([])
  })
})

describe('listings', () => {
  it('ask for one folder only, over pages', async () => {
    for (let n = 0; n < 5; n++) await create(`ltx/0/${n}`)
    for (let n = 0; n < 5; n++) await create(`ltx/1/${n}`)
    await create('ltx/0/deep/er')
    drive.pageSize = 2
    drive.counts.clear()
    expect(await keys('ltx/0/')).toEqual([
      'ltx/0/0',
      'ltx/0/1',
      'ltx/0/2',
      'ltx/0/3',
      'ltx/0/4',
      'ltx/0/deep/er',
    ])
    expect(drive.counts.get('list')).toBe(3)
  })

  it.each<[string, Reply]>([
    ['did not look everywhere', { body: '{"files":[],"incompleteSearch":true}' }],
    ['are a page of HTML', { body: '<html>Please sign in</html>' }],
    ['break off', { body: '{"files":[]}', cutAfterBytes: 5 }],
  ])('that %s never pass for a shorter log', async (_, reply) => {
    await create('a')
    drive.storm = { count: 1, reply }
    expect(await failureOf(keys())).toMatchObject({ failure: 'temporary' })
  })
})

describe('refusals', () => {
  it.each<[number, string, object]>([
    [403, 'rateLimitExceeded', { failure: 'temporary', retryAfterMs: 2000 }],
    [403, 'userRateLimitExceeded', { failure: 'temporary' }],
    [429, 'rateLimitExceeded', { failure: 'temporary' }],
    [403, 'storageQuotaExceeded', { failure: 'full', hint: expect.stringMatching(/service account/) }],
    [403, 'accessNotConfigured', { failure: 'denied', hint: expect.stringMatching(/switch/) }],
    [403, 'insufficientPermissions', { failure: 'denied' }],
    [403, 'somethingNew', { failure: 'denied', data: { code: 'somethingNew' } }],
    [401, 'authError', { failure: 'denied', hint: expect.stringMatching(/kvar login/) }],
    [404, 'notFound', { failure: 'permanent' }],
    [500, 'internalError', { failure: 'temporary' }],
    [400, 'badRequest', { failure: 'permanent' }],
  ])('%i %s', async (status, reason, expected) => {
    await create('first')
    // A token that is refused is fetched anew once: the second answer decides.
    drive.storm = { count: status === 401 ? 2 : 1, reply: refusal(status, reason, { 'retry-after': '2' }) }
    expect(await failureOf(create('a'))).toMatchObject(expected)
    expect(await create('a')).toBe('created')
  })

  it('of a token lead to one new sign-in, or to the person', async () => {
    await create('a')
    drive.oauth.expireTokens()
    expect(await create('b')).toBe('created')
    expect(drive.oauth.signIns).toBe(2)
    drive.oauth.revoke()
    expect(await failureOf(create('c'))).toMatchObject({
      failure: 'denied',
      data: { code: 'invalid_grant' },
      hint: expect.stringMatching(/7 days/),
    })
  })

  it('of a quota come from the account itself', async () => {
    await create('a')
    drive.quotaBytes = 100
    expect(await failureOf(create('b', new Uint8Array(200)))).toMatchObject({ failure: 'full' })
    expect(await keys()).toEqual(['a'])
  })

  it('for a while do no harm with patience', async () => {
    const patient = withRetries(target, { platform: systemPlatform, policy: { firstDelayMs: 1 } })
    await patient.create('a', body, { modifiedAtMs })
    drive.storm = { count: 4, reply: refusal(403, 'userRateLimitExceeded') }
    expect(await patient.create('b', body, { modifiedAtMs })).toBe('created')
    drive.storm = { count: 1, reply: refusal(503, 'backendError') }
    expect(await readAll(patient, 'b')).toHaveLength(body.length)
  })
})

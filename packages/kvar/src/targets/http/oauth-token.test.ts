// Goal: whatever a token address answers becomes a token or an error that says what to do, and nothing of
// what was sent or answered gets into it. Method: a scripted server answers in every way that was thought of.

import { inspect } from 'node:util'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type Reply, type ScriptedServer, startScripted } from '../../../../../tests/servers/scripted-http.ts'
import { systemPlatform } from '../../platform/system.ts'
import { BearerCaller } from './bearer-caller.ts'
import { HttpCaller } from './http-caller.ts'
import { requestToken } from './oauth-token.ts'

const SECRETS = ['refresh-sent', 'secret-sent', 'access-given']
let server: ScriptedServer
let caller: HttpCaller

beforeEach(async () => {
  server = await startScripted(() => undefined)
  caller = new HttpCaller('cloud:/App', systemPlatform.openHttpClient)
})
afterEach(async () => {
  caller.close()
  await server.stop()
})

function request() {
  return requestToken(caller, {
    address: `${server.url}/token`,
    form: { refresh_token: 'refresh-sent', client_secret: 'secret-sent' },
    url: 'cloud:/App',
    nowMs: 0,
    refusedHint: 'sign in again',
  })
}

it.each<[string, Reply, object]>([
  [
    'a refusal',
    refusal('invalid_grant'),
    { failure: 'denied', hint: 'sign in again', data: { code: 'invalid_grant' } },
  ],
  ['an unknown app', { ...refusal('invalid_client'), status: 401 }, { failure: 'denied' }],
  ['a word nobody knows', refusal('brand_new'), { failure: 'permanent' }],
  ['a sentence instead of a word', refusal('refresh-sent is wrong'), { failure: 'permanent' }],
  [
    'too many requests',
    { status: 429, headers: { 'retry-after': '9' } },
    { failure: 'temporary', retryAfterMs: 9000 },
  ],
  ['a failure of its own', { status: 503, body: '<html>' }, { failure: 'temporary' }],
  ['a redirect', { status: 302, headers: { location: 'https://kvar.example' } }, { failure: 'permanent' }],
  ['a page of HTML', { body: '<html>Please sign in</html>' }, { failure: 'temporary' }],
  ['no token', { body: '{"access_token":""}' }, { failure: 'temporary' }],
  ['half an answer', { body: '{"access_token":"access-given"}', cutAfterBytes: 8 }, { failure: 'temporary' }],
])('%s', async (_, reply, expected) => {
  server.answer = () => reply
  const thrown: unknown = await request().catch((error: unknown) => error)
  expect(thrown).toMatchObject({ ...expected, message: expect.stringMatching(/^Cannot sign in on cloud:/) })
  for (const secret of SECRETS) expect(inspect(thrown, { depth: 9 })).not.toContain(secret)
})

function refusal(error: string): Reply {
  return { status: 400, body: JSON.stringify({ error, error_description: 'refresh-sent secret-sent' }) }
}

describe('a token', () => {
  it.each([
    ['{"access_token":"access-given","expires_in":3600}', 3_600_000],
    ['{"access_token":"access-given","expires_in":"60"}', 60_000],
    ['{"access_token":"access-given"}', 3_000_000],
    ['{"access_token":"access-given","expires_in":-5}', 3_000_000],
  ])('%s lives %i ms', async (body, lifetimeMs) => {
    server.answer = () => ({ body })
    expect(await request()).toEqual({ accessToken: 'access-given', lifetimeMs, refreshToken: undefined })
  })

  it('is used for half its life at least, however short that is', async () => {
    let nowMs = 0
    let fetched = 0
    const bearer = new BearerCaller(caller, { monotonicMs: () => nowMs }, async () => {
      fetched += 1
      return { accessToken: `t${fetched}`, lifetimeMs: 10_000, refreshToken: undefined }
    })
    server.answer = ({ headers }) => ({ body: String(headers.authorization) })
    const ask = () => bearer.send({ method: 'GET', url: server.url }, 'ask')
    for (const [atMs, token] of [
      [0, 't1'],
      [4999, 't1'],
      [5001, 't2'],
    ] as const) {
      nowMs = atMs
      const chunks = []
      for await (const chunk of (await ask()).body) chunks.push(chunk)
      expect(Buffer.concat(chunks).toString()).toBe(`Bearer ${token}`)
    }
  })
})

// Goal: a hostile or strange WebDAV server cannot lead a target out of its folder, make a log look
// shorter than it is, or learn or give away more than it should. Method: a server that answers as each
// test says; that the target works on real ones is shown by tests/contract/webdav.test.ts.

import { inspect } from 'node:util'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { type Reply, type ScriptedServer, startScripted } from '../../../../../tests/servers/scripted-http.ts'
import type { Clock } from '../../platform/clock.ts'
import { systemPlatform } from '../../platform/system.ts'
import type { Target } from '../target.ts'
import { createWebdavTarget } from './webdav-target.ts'

const modifiedAtMs = 1_795_428_930_123
const body = new TextEncoder().encode('a body')
const credentials = { user: 'anna', password: 's3cr3t' }
let server: ScriptedServer
let target: Target

beforeEach(async () => {
  server = await startScripted(() => ({ status: 500 }))
  target = open()
})

afterEach(async () => {
  await target.close()
  await server.stop()
})

function open(platform = systemPlatform): Target {
  const place = { url: 'webdav://anna@h/app', kind: 'webdav', origin: server.url, folder: '/dav/app å/' }
  return createWebdavTarget({ ...place, credentials }, platform)
}

async function keys(prefix = ''): Promise<string[]> {
  const found = []
  for await (const { key } of target.list(prefix)) found.push(key)
  return found
}

const OWN = '/dav/app%20%C3%A5/'

function multistatus(...hrefs: string[]): Reply {
  const responses = hrefs.map((href) => response(href, href.endsWith('/') ? '<d:collection/>' : ''))
  return {
    status: 207,
    body: `<?xml version="1.0"?>\n<d:multistatus xmlns:d="DAV:">${responses.join('\n')}</d:multistatus>`,
  }
}

function response(href: string, type: string): string {
  const properties = `<d:resourcetype>${type}</d:resourcetype><d:getcontentlength>6</d:getcontentlength>`
  const found = `<d:propstat><d:prop>${properties}</d:prop><d:status>HTTP/1.1 200 OK</d:status></d:propstat>`
  return `<d:response><d:href>${href}</d:href>${found}</d:response>`
}

describe('a listing', () => {
  it('is read with whole addresses, with other escapes, and with any prefix for names', async () => {
    server.answer = () =>
      multistatus(`http://127.0.0.1${OWN}`, `${server.url}${OWN}a`, '/dav/app%20å/%62', `${OWN}c?x=1`)
    expect(await keys()).toEqual(['a', 'b', 'c'])
    const [asked] = server.asked
    expect(asked).toMatchObject({ method: 'PROPFIND', path: OWN, headers: { depth: '1' } })
  })

  it('never leads out of the folder, not by dots, other folders, deeper or hidden names', async () => {
    const hostile = [
      `${OWN}../outside`,
      `${OWN}%2e%2e/outside`,
      `${OWN}..%2foutside`,
      '/dav/other/a',
      '/etc/passwd',
      `${OWN}deep/er/a`,
      `${OWN}.hidden`,
      `${OWN}a%00b`,
      `${OWN}a%20b`,
      `${OWN}%E0%A4%A`,
      `${OWN}a\\b`,
      '',
    ]
    server.answer = () => multistatus(OWN, ...hostile, `${OWN}good`)
    expect(await keys()).toEqual(['good'])
  })

  it('asks no folder that the server invents, nor one for ever', async () => {
    server.answer = ({ path }) =>
      path.split('/').length > 300
        ? { status: 500 }
        : multistatus(path, `${OWN}../up/`, `${path}again/`, '/dav/')
    expect(await keys()).toEqual([])
    expect(server.asked.every(({ path }) => path.startsWith(OWN))).toBe(true)
    expect(server.asked.length).toBeLessThan(200)
  })

  it.each([
    ['a page of HTML', { status: 207, body: '<html>Sign in<br></html>' }],
    ['nothing', { status: 207 }],
    ['another folder’s children', multistatus('/dav/other/', '/dav/other/a')],
    ['half of it', { ...multistatus(OWN, `${OWN}a`), cutAfterBytes: 200 }],
    [
      'a document type',
      { status: 207, body: `<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]>${multistatus(OWN).body}` },
    ],
  ])('that is %s gives an error, never an empty log', async (_name, reply) => {
    server.answer = () => reply as Reply
    await expect(keys()).rejects.toMatchObject({ failure: 'temporary' })
  })

  it('of a folder that is not there is empty', async () => {
    server.answer = () => ({ status: 404 })
    expect(await keys()).toEqual([])
  })
})

describe('a refusal says what to mend', () => {
  it.each([
    [401, 'denied', /KVAR_WEBDAV_PASSWORD/],
    [403, 'denied', /right/],
    [413, 'permanent', /limit/],
    [423, 'temporary', /tried again/],
    [429, 'temporary', /tried again/],
    [502, 'temporary', /tried again/],
    [507, 'full', /room|quota/],
    [302, 'permanent', /address/],
  ])('%i', async (status, failure, hint) => {
    server.answer = () => ({ status, headers: { 'retry-after': '3' }, body: 'anna s3cr3t' })
    for (const verb of [
      () => target.create('a', body, { modifiedAtMs }),
      () => target.read('a'),
      () => keys(),
      () => target.remove(['a']),
    ]) {
      const thrown = await verb().catch((error: unknown) => error)
      expect(thrown).toMatchObject({ failure, hint: expect.stringMatching(hint), retryAfterMs: 3000 })
      for (const secret of ['s3cr3t', Buffer.from('anna:s3cr3t').toString('base64')])
        expect(inspect(thrown, { depth: 9 })).not.toContain(secret)
    }
  })

  it('does not follow to another host, so that nobody else gets the password', async () => {
    const stranger = await startScripted(() => ({ status: 200 }))
    server.answer = () => ({ status: 301, headers: { location: `${stranger.url}${OWN}a/` } })
    await target.read('a').catch(() => undefined)
    server.answer = () => ({ status: 307, headers: { location: `${stranger.url}/a` } })
    await expect(target.read('a')).rejects.toMatchObject({ failure: 'permanent' })
    expect(stranger.asked).toEqual([])
    await stranger.stop()
  })
})

describe('a create', () => {
  /** A server that knows nothing but names, as far as a create needs it. */
  function naive(taken: Set<string>) {
    server.answer = ({ method, path, headers }) => {
      const to = typeof headers.destination === 'string' ? new URL(headers.destination).pathname : path
      if (method === 'MKCOL') return { status: taken.has(path) ? 405 : 201 }
      if (method === 'PROPFIND') return taken.has(path) ? multistatus(path) : { status: 404 }
      if (method === 'MOVE') return { status: taken.has(to) ? 412 : 201 }
      return { status: 204 }
    }
  }

  it('uploads aside, takes a guard, moves without overwriting, and clears up', async () => {
    naive(new Set())
    expect(await target.create('ltx/0/a', body, { modifiedAtMs })).toBe('created')
    const asked = server.asked.filter(
      ({ path, method }) => method !== 'PROPFIND' && (method !== 'MKCOL' || path.includes('guard')),
    )
    expect(asked.map(({ method }) => method)).toEqual(['PUT', 'MKCOL', 'MOVE', 'DELETE'])
    expect(asked[0]).toMatchObject({
      path: expect.stringMatching(/\.kvar-tmp\/\d{13}-[0-9a-f]{16}$/),
      headers: {
        'x-oc-mtime': String(Math.floor(modifiedAtMs / 1000)),
        authorization: `Basic ${Buffer.from('anna:s3cr3t').toString('base64')}`,
      },
    })
    expect(asked[2]).toMatchObject({ headers: { overwrite: 'F', destination: `${server.url}${OWN}ltx/0/a` } })
    expect(asked[3]?.path).toBe(asked[1]?.path)
  })

  it('removes its upload when the key is taken', async () => {
    naive(new Set([`${OWN}a`]))
    expect(await target.create('a', body, { modifiedAtMs })).toBe('exists')
    const put = server.asked.find(({ method }) => method === 'PUT')
    expect(server.asked.some(({ method, path }) => method === 'DELETE' && path === put?.path)).toBe(true)
  })

  it('waits for somebody else’s guard, says so, and breaks it when its maker is dead', async () => {
    const clock = leapingClock()
    const patient = open({ ...systemPlatform, clock })
    let guard = ''
    server.answer = ({ method, path }) => {
      if (method === 'MKCOL' && path.includes('guard-')) {
        if (guard === 'broken') return { status: 201 }
        guard = path
        return { status: 405 }
      }
      if (method === 'DELETE' && path === guard) guard = 'broken'
      if (method === 'PROPFIND') return { status: 404 }
      return { status: 201 }
    }
    let tries = 0
    for (let outcome: unknown; outcome !== 'created'; tries++) {
      outcome = await patient.create('a', body, { modifiedAtMs }).catch((error: unknown) => error)
      if (outcome !== 'created')
        expect(outcome).toMatchObject({
          failure: 'temporary',
          message: expect.stringMatching(/somebody else/),
        })
      if (outcome !== 'created') expect(guard).not.toBe('broken')
    }
    expect(tries).toBeGreaterThan(2)
    expect(clock.monotonicMs()).toBeGreaterThan(60_000)
    await patient.close()
  })
})

/** A clock on which every wait is over at once, and has taken as long as it should. */
function leapingClock(): Clock {
  let leaptMs = 0
  return {
    ...systemPlatform.clock,
    monotonicMs: () => leaptMs,
    startTimer(delayMs, fire) {
      // The limit for cleaning up is cancelled long before it is due.
      if (delayMs >= 5000) return systemPlatform.clock.startTimer(delayMs, fire)
      leaptMs += delayMs
      return systemPlatform.clock.startTimer(0, fire)
    },
  }
}

// Goal: the one door to HTTP tells truthfully what happened to a request, never waits for ever, never
// trusts a certificate that nobody vouches for, and lets go of everything. Method: real sockets and
// servers on the loopback that answer, refuse, break off and stay silent.

import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import * as https from 'node:https'
import * as net from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { type ScriptedServer, startScripted } from '../../../../tests/servers/scripted-http.ts'
import { type HttpAnswer, type HttpClient, openHttpClient, RequestBodyFailure } from './http-client.ts'

let server: ScriptedServer
let client: HttpClient

beforeEach(async () => {
  server = await startScripted(({ body }) => ({ body }))
  client = openHttpClient()
})

afterEach(async () => {
  client.close()
  await server.stop()
})

async function bytesOf(answer: HttpAnswer): Promise<Buffer> {
  const chunks = []
  for await (const chunk of answer.body) chunks.push(chunk)
  return Buffer.concat(chunks)
}

const put = (
  body: Uint8Array | { sizeBytes: number; open(): AsyncIterable<Uint8Array> },
  signal?: AbortSignal,
) => client.request({ method: 'PUT', url: `${server.url}/a`, body, ...(signal ? { signal } : {}) })

describe('a body', () => {
  it('is sent with its length, from memory or from a source', async () => {
    const whole = Buffer.alloc(3_000_000, 'abc')
    const source = {
      sizeBytes: whole.length,
      async *open() {
        for (let offset = 0; offset < whole.length; offset += 70_000)
          yield whole.subarray(offset, offset + 70_000)
      },
    }
    for (const body of [whole, source]) expect(Buffer.compare(await bytesOf(await put(body)), whole)).toBe(0)
    const empty = await client.request({ method: 'PUT', url: `${server.url}/a` })
    expect(await bytesOf(empty)).toHaveLength(0)
    expect(server.asked.map(({ headers }) => headers['content-length'])).toEqual(['3000000', '3000000', '0'])
  })

  it('whose source fails is told apart from the network, and never arrives whole', async () => {
    const broken = new RangeError('the source is broken')
    const source = {
      sizeBytes: 200_000,
      async *open() {
        yield Buffer.alloc(100_000)
        throw broken
      },
    }
    const thrown = await put(source).catch((error: unknown) => error)
    expect(thrown).toBeInstanceOf(RequestBodyFailure)
    expect((thrown as Error).cause).toBe(broken)
    expect(server.asked).toEqual([])
    expect(await bytesOf(await put(Buffer.from('next')))).toEqual(Buffer.from('next'))
  })

  it('is not sent to its end when the answer comes before', async () => {
    const refusing = net.createServer((socket) => {
      socket.on('error', () => undefined)
      socket.once('data', () => socket.write('HTTP/1.1 413 No\r\ncontent-length: 2\r\n\r\nno'))
    })
    refusing.listen(0, '127.0.0.1')
    await once(refusing, 'listening')
    let isLetGo = false
    const source = {
      sizeBytes: 1e12,
      async *open() {
        try {
          for (;;) yield Buffer.alloc(65_536)
        } finally {
          isLetGo = true
        }
      },
    }
    const { port } = refusing.address() as net.AddressInfo
    const answer = await client.request({ method: 'PUT', url: `http://127.0.0.1:${port}/`, body: source })
    expect(answer.status).toBe(413)
    expect((await bytesOf(answer)).toString()).toBe('no')
    await vi.waitUntil(() => isLetGo, { timeout: 60_000 })
    refusing.close()
  })
})

describe('an answer', () => {
  it('that breaks off fails; it does not just end', async () => {
    server.answer = () => ({ body: Buffer.alloc(500_000), cutAfterBytes: 100_000 })
    const answer = await client.request({ method: 'GET', url: server.url })
    await expect(bytesOf(answer)).rejects.toMatchObject({ code: 'ECONNRESET' })
  })

  it('that never comes is cut off by the caller', async () => {
    server.answer = () => new Promise(() => undefined)
    const stop = new AbortController()
    const asking = client.request({ method: 'GET', url: server.url, signal: stop.signal })
    stop.abort()
    await expect(asking).rejects.toMatchObject({ name: 'AbortError' })
  })

  it('may be left unread, stopped early, and cut off by closing', async () => {
    server.answer = () => ({ body: Buffer.alloc(5_000_000) })
    const get = () => client.request({ method: 'GET', url: server.url })
    await get()
    await (await get()).body.return?.()
    for await (const _ of (await get()).body) break
    const answer = await get()
    client.close()
    await expect(bytesOf(answer)).rejects.toThrow()
  })

  it('read to its end frees its connection for the next request', async () => {
    const ports = new Set<unknown>()
    const counting = net.createServer((socket) => {
      ports.add(socket.remotePort)
      socket.on('data', () => socket.write('HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok'))
    })
    counting.listen(0, '127.0.0.1')
    await once(counting, 'listening')
    const { port } = counting.address() as net.AddressInfo
    for (let n = 0; n < 5; n++)
      await bytesOf(await client.request({ method: 'GET', url: `http://127.0.0.1:${port}/` }))
    expect(ports.size).toBe(1)
    client.close()
    counting.close()
  })
})

describe('TLS', () => {
  let folder: string
  let secure: https.Server
  let url: string

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'kvar-tls-'))
    const [key, cert] = [join(folder, 'key'), join(folder, 'cert')]
    const subject = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=IP:127.0.0.1']
    const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes']
    execFileSync('openssl', ['req', '-x509', ...curve, '-keyout', key, '-out', cert, ...subject], {
      stdio: 'ignore',
    })
    secure = https.createServer({ key: await readFile(key), cert: await readFile(cert) }, (_, reply) =>
      reply.end('ok'),
    )
    secure.listen(0, '127.0.0.1')
    await once(secure, 'listening')
    url = `https://127.0.0.1:${(secure.address() as net.AddressInfo).port}/`
  })

  afterEach(async () => {
    secure.close()
    await rm(folder, { recursive: true })
  })

  it('refuses a certificate that nobody vouches for, even where the environment says not to look', async () => {
    const before = process.env.NODE_TLS_REJECT_UNAUTHORIZED
    try {
      for (const value of ['1', '0']) {
        process.env.NODE_TLS_REJECT_UNAUTHORIZED = value
        const asking = client.request({ method: 'GET', url })
        await expect(asking).rejects.toMatchObject({ code: 'DEPTH_ZERO_SELF_SIGNED_CERT' })
      }
    } finally {
      if (before === undefined) delete process.env.NODE_TLS_REJECT_UNAUTHORIZED
      else process.env.NODE_TLS_REJECT_UNAUTHORIZED = before
    }
  })
})

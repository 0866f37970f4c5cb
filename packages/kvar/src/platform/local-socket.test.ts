/*
 * Goal: lines arrive whole and in order over the local socket, at an address that fits whatever the
 * database's path, in a folder only its owner can enter.
 * Method: a real server and client in one process; paths, links and text that are hard.
 */
import * as fs from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { connect, type LineConnection, type LineServer, listen, socketPath } from './local-socket.ts'

/** A socket address holds 108 bytes on Linux, 104 on macOS, with the zero at its end. */
const ADDRESS_LIMIT = 103

let folder: string
let server: LineServer | undefined
beforeEach(() => {
  folder = fs.mkdtempSync(join(tmpdir(), 'kvar-socket-'))
})
afterEach(async () => {
  await server?.close()
  server = undefined
  fs.rmSync(folder, { recursive: true, force: true })
})

function lockAt(...names: string[]): string {
  const path = join(folder, ...names, 'lock.db')
  fs.mkdirSync(dirname(path), { recursive: true })
  fs.writeFileSync(path, '')
  return path
}

describe('the address', () => {
  it('is short for a path of any length, and private', () => {
    const long = lockAt(...Array.from({ length: 12 }, () => 'a folder with a long name'))
    const address = socketPath(long)
    expect(Buffer.byteLength(address)).toBeLessThanOrEqual(ADDRESS_LIMIT)
    expect(fs.statSync(dirname(address)).mode & 0o077).toBe(0)
  })

  it('is the same through links, another for another database', () => {
    const real = lockAt('real')
    fs.symlinkSync(join(folder, 'real'), join(folder, 'linked'))
    expect(socketPath(join(folder, 'linked', 'lock.db'))).toBe(socketPath(real))
    expect(socketPath(lockAt('other'))).not.toBe(socketPath(real))
  })
})

describe('a connection', () => {
  it('carries lines whole and in order, however long and in whatever script', async () => {
    const lines = ['', 'å 🌻 {"json":true}', 'x'.repeat(3_000_000), 'the last']
    const path = join(folder, 'one.sock')
    const received = new Promise<string[]>((resolve) => {
      const got: string[] = []
      const accept = (connection: LineConnection) =>
        connection.onLine((line) => {
          got.push(line)
          if (got.length === lines.length) resolve(got)
        })
      void listen(path, accept).then(async (listening) => {
        server = listening
        const client = await connect(path)
        for (const line of lines) client?.send(line)
        client?.close()
      })
    })
    expect(await received).toEqual(lines)
  })

  it('is undefined when nobody listens, also where a dead socket lies', async () => {
    const path = join(folder, 'dead.sock')
    expect(await connect(path)).toBe(undefined)
    fs.writeFileSync(path, '')
    expect(await connect(path)).toBe(undefined)
  })

  it('takes the place of a dead socket', async () => {
    const path = join(folder, 'dead.sock')
    fs.writeFileSync(path, '')
    server = await listen(path, (connection) => connection.close())
    const client = await connect(path)
    expect(client).not.toBe(undefined)
    client?.close()
    expect(fs.statSync(path).mode & 0o077).toBe(0)
  })
})

import * as fs from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { DatabasePersistence, KeeperStatus } from '../../packages/kvar/src/index.ts'
import { KeeperWorld, waitFor } from './keeper-world.ts'

/** A second file system, so that a target counts as lying on another disk. */
const OTHER_DISK = fs.existsSync('/dev/shm') ? '/dev/shm' : tmpdir()
/** CI may be several times slower than the machine this was written on. */
const LIMIT_MS = 60_000

/** Keepers whose targets lie on another disk, can be taken away, and are watched. */
export class StatusWorld extends KeeperWorld {
  readonly elsewhere = fs.mkdtempSync(join(OTHER_DISK, 'kvar-status-'))
  readonly #servers: Server[] = []

  place(name: string): string {
    return join(this.elsewhere, name)
  }

  /** A plain file in its place: neither readable as a folder nor made anew by anybody. */
  takeAway(name: string): void {
    fs.renameSync(this.place(name), this.place(`${name}-away`))
    fs.writeFileSync(this.place(name), '')
  }

  bringBack(name: string): void {
    fs.rmSync(this.place(name))
    fs.renameSync(this.place(`${name}-away`), this.place(name))
  }

  /** A server on loopback that notes what it is sent and answers with a status. */
  async server(answer: () => number = () => 200): Promise<{ port: number; heard: Heard[] }> {
    const heard: Heard[] = []
    const server = createServer((request, response) => {
      let body = ''
      request.on('data', (chunk) => {
        body += chunk
      })
      request.on('end', () => {
        const status = answer()
        heard.push({ url: request.url ?? '', headers: request.headers, body, status })
        response.writeHead(status).end('thank you')
      })
    })
    this.#servers.push(server)
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    return { port: (server.address() as AddressInfo).port, heard }
  }

  override async end(): Promise<void> {
    for (const server of this.#servers) {
      server.close()
      server.closeAllConnections()
    }
    try {
      await super.end()
    } finally {
      fs.rmSync(this.elsewhere, { recursive: true, force: true })
    }
  }
}

export interface Heard {
  url: string
  headers: NodeJS.Dict<string | string[]>
  body: string
  status: number
}

/** Every status that a watcher was sent, in order. */
export class Watched {
  readonly seen: KeeperStatus[] = []
  readonly #watch: AsyncIterator<KeeperStatus>

  constructor(persistence: DatabasePersistence) {
    this.#watch = persistence.watch()[Symbol.asyncIterator]()
    void this.#gather()
  }

  async #gather(): Promise<void> {
    for (let step = await this.#watch.next(); !step.done; step = await this.#watch.next()) {
      this.seen.push(step.value)
    }
  }

  /** The first status from here on that fits. */
  until(
    what: string,
    fits: (status: KeeperStatus) => boolean,
    from = this.seen.length,
  ): Promise<KeeperStatus> {
    return waitFor(what, () => this.seen.slice(from).find(fits), LIMIT_MS)
  }
}

/** A port that was free a moment ago. */
export async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  return port
}

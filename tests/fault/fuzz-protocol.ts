import * as fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { KeeperProcess } from '../../packages/kvar/src/keeper/keeper-process.ts'
import { type KeeperAddress, PROTOCOL } from '../../packages/kvar/src/keeper/protocol.ts'
import { readClientLine, readKeeperLine } from '../../packages/kvar/src/keeper/protocol-lines.ts'
import { connect, type LineConnection } from '../../packages/kvar/src/platform/local-socket.ts'
import { systemPlatform } from '../../packages/kvar/src/platform/system.ts'
import { resolveSettings } from '../../packages/kvar/src/settings/settings.ts'
import { mutatedText } from './fuzz-mutate.ts'
import type { Parser } from './fuzz-parsers.ts'
import type { Choices } from './proof-random.ts'

const CALLS = [
  { id: 1, method: 'flush', params: {} },
  { id: 2, method: 'status', params: {} },
  { id: 3, method: 'versions', params: { limit: 5, details: true } },
  { id: 4, method: 'restore', params: { version: 3, before: '2026-11-23T14:03:07Z' } },
  { id: 5, method: 'restoreFromJson', params: { path: 'nowhere.json', force: false } },
  { id: 6, method: 'drill', params: { target: 'folder:/nowhere' } },
  { id: 7, method: 'branches', params: {} },
  { cancel: 3 },
]
const ANSWERS = [
  { id: 1, result: { version: 3, targets: [] } },
  {
    id: 2,
    error: { code: 'FENCED', message: 'Another instance', hint: 'start again', data: { version: 4 } },
  },
  { event: 'tell', data: 'restoring version 3' },
  { event: 'progress', data: { bytesDone: 3, bytesTotal: 5 } },
  { event: 'fenced', data: { code: 'FENCED', message: 'Another instance', data: {} } },
]

/** Lines of both directions, as both ends read them. */
export function protocolParser(): Parser {
  return {
    name: 'protocol',
    run(choices) {
      const hello = helloTo('/srv/app.db', 'nonce')
      const client = readClientLine(mutatedText(JSON.stringify(choices.pick([hello, ...CALLS])), choices))
      const keeper = readKeeperLine(mutatedText(JSON.stringify(choices.pick(ANSWERS)), choices))
      return client !== undefined && !('problem' in client) && keeper !== undefined
    },
  }
}

/** The same into a keeper that runs: whatever one client says, another one is still answered. */
export async function socketParser(): Promise<Parser> {
  const folder = fs.mkdtempSync(join(tmpdir(), 'kvar-fuzz-'))
  const databasePath = join(folder, 'app.db')
  const left = Promise.withResolvers<void>()
  await KeeperProcess.open(databasePath, systemPlatform, { exit: () => left.resolve() })
  const address = addressOf(folder)
  const hello = helloTo(databasePath, address.nonce)
  const healthy = await Healthy.greet(address.socket, hello)
  let strange: LineConnection | undefined
  return {
    name: 'socket',
    every: 20,
    async run(choices) {
      strange ??= await stranger(address.socket, () => {
        strange = undefined
      })
      if (choices.chance(0.3)) strange.send(JSON.stringify(hello))
      strange.send(lineFor(hello, choices))
      await healthy.call('status')
      return true
    },
    async end() {
      strange?.close()
      await healthy.call('leave')
      await left.promise
      fs.rmSync(folder, { recursive: true, force: true })
    },
  }
}

function lineFor(hello: object, choices: Choices): string {
  const line = mutatedText(JSON.stringify(choices.pick([hello, ...CALLS])), choices).replaceAll('\n', ' ')
  return choices.chance(0.05) ? `${line}${'x'.repeat(100_000)}` : line
}

function addressOf(folder: string): KeeperAddress {
  return JSON.parse(fs.readFileSync(join(folder, '.app.db-kvar', 'keeper.json'), 'utf8')) as KeeperAddress
}

function helloTo(databasePath: string, nonce: string) {
  const options = { copies: [] }
  const settings = resolveSettings({ databasePath, options, environment: {}, workingFolder: '/' })
  const params = { protocol: PROTOCOL, nonce, settings, role: 'app', appRunning: false, attachOnly: false }
  return { id: 8, method: 'hello', params }
}

async function stranger(socket: string, closed: () => void): Promise<LineConnection> {
  const connection = await connect(socket)
  if (connection === undefined) throw new Error('the keeper listens no more')
  connection.onClose(closed)
  return connection
}

/** A client that behaves, and whose calls must be answered. */
class Healthy {
  readonly #connection: LineConnection
  readonly #calls = new Map<number, PromiseWithResolvers<void>>()
  #nextId = 100

  private constructor(connection: LineConnection) {
    this.#connection = connection
    connection.onLine((line) => {
      const { id, error } = JSON.parse(line) as { id?: number; error?: { message: string } }
      const call = this.#calls.get(id ?? 0)
      if (error === undefined) call?.resolve()
      else call?.reject(new Error(error.message))
    })
    connection.onClose(() => {
      for (const call of this.#calls.values())
        call.reject(new Error('the keeper closed a client that behaves'))
    })
  }

  static async greet(socket: string, hello: { params: object }): Promise<Healthy> {
    const healthy = new Healthy(await stranger(socket, () => undefined))
    await healthy.call('hello', hello.params)
    return healthy
  }

  async call(method: string, params: object = {}): Promise<void> {
    const id = this.#nextId++
    const call = Promise.withResolvers<void>()
    this.#calls.set(id, call)
    this.#connection.send(JSON.stringify({ id, method, params }))
    await call.promise
    this.#calls.delete(id)
  }
}

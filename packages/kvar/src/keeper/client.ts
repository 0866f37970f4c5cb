import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { KvarError, type KvarErrorJson } from '../errors.ts'
import type { RestoreProgress } from '../log/restore.ts'
import { sleep } from '../platform/clock.ts'
import { connect, type LineConnection } from '../platform/local-socket.ts'
import type { Platform } from '../platform/platform.ts'
import { startDetached } from '../platform/processes.ts'
import type { KeeperSettings } from '../settings/keeper-settings.ts'
import { stateFolder } from '../settings/names.ts'
import type { KeeperAddress, KeeperLine, KeeperMethod, KeeperMethods } from './protocol.ts'
import { PROTOCOL } from './protocol.ts'
import { readKeeperLine } from './protocol-lines.ts'
import type { KeeperStatus, StartReport } from './status.ts'

/** How long a keeper may take until it listens; its start comes afterwards and has its own time. */
const LISTEN_MS = 20_000
const LOOK_PAUSE_MS = 15
/** A keeper that could not take the lock leaves with this code: another one is there. */
const HELD_EXIT = 11
/** Until the one that holds the lock listens, or has left. */
const HELD_PAUSE_MS = 150
/** Keepers that die are started again, with growing pauses. */
const FIRST_RESTART_MS = 50
const LONGEST_RESTART_MS = 10_000

export interface KeeperClientOptions {
  settings: KeeperSettings
  platform: Platform
  role: 'app' | 'tool'
  onStatus?: (status: KeeperStatus) => void
  onFenced?: (error: KvarError) => void
  onTell?: (sentence: string) => void
  onProgress?: (progress: RestoreProgress) => void
  /** Of an attached client only: the keeper has ended. */
  onGone?: () => void
  /** The connection keeps the process alive even while nothing was asked: for whoever only listens. */
  holdProcess?: boolean
}

interface Call {
  method: KeeperMethod
  params: unknown
  resolve: (result: never) => void
  reject: (error: KvarError) => void
}

/**
 * Talks to the keeper of a database, starting one when none is there, and again when it dies. Calls
 * that only wait (`flush`, `status`, `watch`) survive such a death; others are rejected, because they
 * may have been carried out.
 */
export class KeeperClient {
  readonly #options: KeeperClientOptions
  readonly #calls = new Map<number, Call>()
  #connection: LineConnection | undefined
  #nextId = 1
  #closed = false
  #started = false
  #watching = false
  /** Attached to ask: it starts no keeper, not even in place of one that died. */
  #attachOnly = false
  #reconnecting: Promise<void> | undefined
  report: StartReport | undefined

  private constructor(options: KeeperClientOptions) {
    this.#options = options
  }

  /** Connects to the keeper, starting it if need be, and waits until the database is ready for the app. */
  static async open(options: KeeperClientOptions): Promise<KeeperClient> {
    const client = new KeeperClient(options)
    client.report = await client.#connect(false)
    client.#started = true
    client.#hold()
    return client
  }

  /**
   * Connects only if a keeper is running already.
   *
   * @param settings.waitForStart false: answers at once, also while the keeper is still restoring
   */
  static async attach(
    options: KeeperClientOptions,
    settings: { waitForStart: boolean } = { waitForStart: true },
  ): Promise<KeeperClient | undefined> {
    const client = new KeeperClient(options)
    client.#attachOnly = true
    const address = await client.#readAddress()
    const connection = address === undefined ? undefined : await connect(address.socket)
    if (address === undefined || connection === undefined) return undefined
    const greeting = client.#greet(connection, address, false)
    try {
      // The keeper answers in order: a refused greeting shows in the first call.
      if (settings.waitForStart) client.report = await greeting
      else await client.call('status', {}).catch(() => greeting)
    } catch (thrown) {
      client.detach()
      throw thrown
    } finally {
      greeting.catch(() => undefined)
    }
    client.#started = true
    client.#hold()
    return client
  }

  async call<M extends KeeperMethod>(
    method: M,
    params: KeeperMethods[M]['params'],
    options: { signal?: AbortSignal | undefined } = {},
  ): Promise<KeeperMethods[M]['result']> {
    if (this.#closed)
      throw new KvarError('KEEPER_GONE', 'The persistence was closed', { hint: 'open it again' })
    await this.#reconnecting
    if (method === 'watch') this.#watching = true
    return this.#send(method, params, options.signal)
  }

  #send<M extends KeeperMethod>(
    method: M,
    params: KeeperMethods[M]['params'],
    signal?: AbortSignal,
  ): Promise<KeeperMethods[M]['result']> {
    const connection = this.#connection
    if (connection === undefined) return Promise.reject(gone())
    const id = this.#nextId++
    return new Promise((resolve, reject) => {
      this.#calls.set(id, { method, params, resolve: resolve as Call['resolve'], reject })
      connection.send(JSON.stringify({ id, method, params }))
      this.#hold()
      signal?.addEventListener('abort', () => {
        this.#connection?.send(JSON.stringify({ cancel: id }))
        this.#settle(id)?.reject(new KvarError('CANCELLED', 'The wait was cancelled'))
      })
    })
  }

  /** An app that only waits for itself may end; one that waits for us may not. */
  #hold(): void {
    this.#connection?.hold(this.#calls.size > 0 || !this.#started || this.#options.holdProcess === true)
  }

  #settle(id: number): Call | undefined {
    const call = this.#calls.get(id)
    this.#calls.delete(id)
    this.#hold()
    return call
  }

  async #connect(appRunning: boolean): Promise<StartReport> {
    const { clock } = this.#options.platform
    const untilMs = clock.monotonicMs() + LISTEN_MS
    let starting: { ended: Promise<number | null> } | undefined
    let ended: number | null | undefined
    let notBeforeMs = 0
    for (;;) {
      const address = await this.#readAddress()
      const connection = address === undefined ? undefined : await connect(address.socket)
      if (address !== undefined && connection !== undefined) {
        try {
          return await this.#greet(connection, address, appRunning)
        } catch (thrown) {
          connection.close()
          if (!isLeaving(thrown) || clock.monotonicMs() > untilMs) throw thrown
        }
      } else if (starting === undefined || (ended === HELD_EXIT && clock.monotonicMs() > notBeforeMs)) {
        ended = undefined
        notBeforeMs = clock.monotonicMs() + HELD_PAUSE_MS
        starting = await this.#startKeeper()
        starting.ended.then((code) => {
          ended = code
        })
      } else if (ended !== undefined && ended !== HELD_EXIT) throw await this.#failedStart()
      if (clock.monotonicMs() > untilMs) throw await this.#failedStart()
      await sleep(clock, LOOK_PAUSE_MS)
    }
  }

  async #greet(
    connection: LineConnection,
    address: KeeperAddress,
    appRunning: boolean,
  ): Promise<StartReport> {
    this.#connection = connection
    connection.onLine((line) => this.#onLine(line))
    connection.onClose(() => this.#onClose(connection))
    const { settings, role } = this.#options
    const attachOnly = this.#attachOnly
    const { nonce } = address
    return this.#send('hello', { protocol: PROTOCOL, nonce, settings, role, appRunning, attachOnly })
  }

  #onLine(line: string): void {
    const message = readKeeperLine(line)
    if (message === undefined) {
      this.#connection?.close()
      return
    }
    if ('event' in message) {
      this.#onEvent(message)
      return
    }
    const call = this.#settle(message.id)
    if ('error' in message) call?.reject(KvarError.fromJSON(message.error as KvarErrorJson))
    else call?.resolve(message.result as never)
  }

  #onEvent(message: Extract<KeeperLine, { event: string }>): void {
    if (message.event === 'status') this.#options.onStatus?.(message.data)
    else if (message.event === 'fenced') this.#options.onFenced?.(KvarError.fromJSON(message.data))
    else if (message.event === 'progress') this.#options.onProgress?.(message.data)
    else this.#options.onTell?.(message.data)
  }

  #onClose(connection: LineConnection): void {
    if (this.#connection !== connection) return
    this.#connection = undefined
    const open = [...this.#calls.values()]
    this.#calls.clear()
    const reconnects = this.#started && !this.#closed && !this.#attachOnly
    const survives = (call: Call) => reconnects && SURVIVING.has(call.method)
    for (const call of open) if (!survives(call)) call.reject(gone())
    if (this.#attachOnly && !this.#closed) this.#options.onGone?.()
    if (!reconnects) return
    this.#reconnecting ??= this.#reconnect().finally(() => {
      this.#reconnecting = undefined
    })
    for (const call of open.filter(survives)) void this.#again(call)
  }

  async #again(call: Call): Promise<void> {
    try {
      await this.#reconnecting
      call.resolve((await this.#send(call.method, call.params as never)) as never)
    } catch (thrown) {
      call.reject(thrown as KvarError)
    }
  }

  async #reconnect(): Promise<void> {
    const { clock } = this.#options.platform
    for (let pauseMs = FIRST_RESTART_MS; !this.#closed; pauseMs = Math.min(pauseMs * 2, LONGEST_RESTART_MS)) {
      try {
        await this.#connect(true)
        if (this.#watching) await this.#send('watch', {})
        return this.#hold()
      } catch {
        await sleep(clock, pauseMs)
      }
    }
  }

  async #readAddress(): Promise<KeeperAddress | undefined> {
    const { settings, platform } = this.#options
    const bytes = await platform.files.readFile(join(stateFolder(settings.databasePath), 'keeper.json'))
    if (bytes === undefined) return undefined
    try {
      return JSON.parse(new TextDecoder().decode(bytes)) as KeeperAddress
    } catch {
      return undefined
    }
  }

  async #startKeeper() {
    const { settings, platform } = this.#options
    const folder = stateFolder(settings.databasePath)
    await platform.files.makeFolder(folder, 0o700)
    return startDetached({
      programPath: keeperProgram(),
      programArguments: [settings.databasePath],
      // What Node itself says when it dies; the keeper's own words stand in keeper.log.
      outputPath: join(folder, 'keeper.out'),
    })
  }

  async #failedStart(): Promise<KvarError> {
    const folder = stateFolder(this.#options.settings.databasePath)
    const hint = `look into keeper.log and keeper.out in "${folder}"`
    return new KvarError('KEEPER_GONE', 'The keeper could not be started', { hint })
  }

  /** Everything committed is stored, then the keeper may leave. */
  async close(): Promise<string | null> {
    if (this.#closed) return null
    await this.#reconnecting
    const answer = this.call('leave', {}).catch((thrown: KvarError) => {
      if (thrown.code === 'KEEPER_GONE') return { left: thrown.message }
      throw thrown
    })
    const { left } = await answer
    this.detach()
    return left
  }

  /** Lets go of the connection without a last flush. */
  detach(): void {
    this.#closed = true
    this.#connection?.close()
    this.#connection = undefined
  }
}

/** Calls that change nothing by being made twice. */
const SURVIVING = new Set<KeeperMethod>([
  'flush',
  'backupDatabase',
  'backupToJson',
  'status',
  'versions',
  'branches',
  'watch',
])

function gone(): KvarError {
  return new KvarError('KEEPER_GONE', 'The keeper ended before it answered', {
    hint: 'it is started again; try once more',
  })
}

function isLeaving(thrown: unknown): boolean {
  return thrown instanceof KvarError && thrown.code === 'KEEPER_GONE'
}

/** The keeper's program stands beside this file, compiled or not, under the same extension. */
function keeperProgram(): string {
  const here = fileURLToPath(import.meta.url)
  return join(dirname(here), here.endsWith('.ts') ? 'main.ts' : 'main.js')
}

import { KvarError, toKvarError, unreachable } from '../errors.ts'
import type { RestoreProgress } from '../log/restore.ts'
import type { Timer } from '../platform/clock.ts'
import { writeFileAtomically } from '../platform/files.ts'
import { type LineConnection, type LineServer, listen, socketPath } from '../platform/local-socket.ts'
import type { Platform } from '../platform/platform.ts'
import { processId } from '../platform/processes.ts'
import { stateFolder } from '../settings/names.ts'
import { forgetFailedStart, noteFailedStart } from './failed-start.ts'
import { Keeper } from './keeper.ts'
import { crashFacts } from './logging.ts'
import { type MachineLock, takeMachineLock } from './machine-lock.ts'
import type { ClientLine, KeeperAddress, KeeperLine, KeeperMethods } from './protocol.ts'
import { PROTOCOL } from './protocol.ts'
import { readClientLine } from './protocol-lines.ts'
import { Reporting } from './reporting.ts'
import type { StartReport } from './status.ts'

/** A keeper whose starter never says hello leaves again. */
const HELLO_MS = 30_000
/** From the last client's leaving to our own end: hosts kill after 10 s (Docker, Cloud Run). */
export const LEAVE_MS = 8000
/** A worker that restarts finds us still here. */
const LINGER_MS = 250
const PROGRESS_PAUSE_MS = 200

export interface KeeperProcessEnds {
  exit: (code: number) => void
}

interface Client {
  connection: LineConnection
  greeted: boolean
  role: 'app' | 'tool'
  watching: boolean
  calls: Map<number, AbortController>
}

/** Holds the machine's lock and the socket, and serves clients until the last one has gone. */
export class KeeperProcess {
  readonly #databasePath: string
  readonly #platform: Platform
  readonly #ends: KeeperProcessEnds
  readonly #lock: MachineLock
  readonly #nonce: string
  readonly #clients = new Set<Client>()
  readonly #reporting: Reporting
  #server: LineServer | undefined
  /** The targets of the first client. */
  #targets: string[] | undefined
  #keeper: Keeper | undefined
  #started: Promise<StartReport> | undefined
  #leaving: Timer | undefined
  #closing = false
  #nextProgressMs = 0

  private constructor(databasePath: string, platform: Platform, ends: KeeperProcessEnds, lock: MachineLock) {
    this.#databasePath = databasePath
    this.#platform = platform
    this.#ends = ends
    this.#lock = lock
    this.#nonce = Buffer.from(platform.random.bytes(18)).toString('base64url')
    this.#reporting = new Reporting({
      folder: stateFolder(databasePath),
      platform,
      isWatched: () => this.#watchers.length > 0,
      changed: (data) => {
        for (const watcher of this.#watchers) send(watcher, { event: 'status', data })
      },
    })
  }

  /** Undefined when another keeper holds the database on this machine. */
  static async open(
    databasePath: string,
    platform: Platform,
    ends: KeeperProcessEnds,
  ): Promise<KeeperProcess | undefined> {
    const folder = stateFolder(databasePath)
    await platform.files.makeFolder(folder, 0o700)
    // The lock comes first: without it two keepers could each believe the socket theirs.
    const lock = takeMachineLock(`${folder}/lock.db`)
    if (lock === undefined) return undefined
    const opened = new KeeperProcess(databasePath, platform, ends, lock)
    await opened.#listen(folder)
    return opened
  }

  async #listen(folder: string): Promise<void> {
    const socket = socketPath(`${folder}/lock.db`)
    this.#server = await listen(socket, (connection) => this.#accept(connection))
    const address: KeeperAddress = { socket, nonce: this.#nonce, processId }
    const text = JSON.stringify(address)
    await writeFileAtomically(this.#platform.files, `${folder}/keeper.json`, text, { durable: false })
    this.#leaveIfAlone(HELLO_MS)
  }

  #accept(connection: LineConnection): void {
    const client: Client = { connection, greeted: false, role: 'tool', watching: false, calls: new Map() }
    this.#clients.add(client)
    connection.onLine((line) => this.#onLine(client, line))
    connection.onClose(() => {
      this.#clients.delete(client)
      for (const call of client.calls.values()) call.abort()
      this.#leaveIfAlone(LINGER_MS)
    })
  }

  #onLine(client: Client, line: string): void {
    const message = readClientLine(line)
    if (message === undefined) client.connection.close()
    else if ('problem' in message) send(client, { id: message.id, error: message.problem.toJSON() })
    else if ('cancel' in message) client.calls.get(message.cancel)?.abort()
    else void this.#answer(client, message)
  }

  async #answer(client: Client, message: Exclude<ClientLine, { cancel: number }>): Promise<void> {
    const call = new AbortController()
    client.calls.set(message.id, call)
    try {
      const result = await this.#call(client, message, call.signal)
      send(client, { id: message.id, result: result ?? null })
    } catch (thrown) {
      send(client, { id: message.id, error: toKvarError(thrown).toJSON() })
    } finally {
      client.calls.delete(message.id)
    }
  }

  async #call(
    client: Client,
    message: Exclude<ClientLine, { cancel: number }>,
    signal: AbortSignal,
  ): Promise<unknown> {
    if (message.method === 'hello') return this.#hello(client, message.params)
    if (!client.greeted || this.#keeper === undefined)
      throw new KvarError('USAGE', 'The first call has to be hello')
    const keeper = this.#keeper
    switch (message.method) {
      case 'status':
        return this.#reporting.statusOf(keeper)
      case 'watch':
        client.watching = true
        return this.#reporting.statusOf(keeper)
      case 'flush':
        return keeper.flush(signal)
      case 'backupDatabase':
        return keeper.backupDatabase(signal)
      case 'backupToJson':
        return keeper.backupToJson()
      case 'restoreFromJson':
        return keeper.restoreFromFile('json', message.params)
      case 'restoreFromBackup':
        return keeper.restoreFromFile('backup', message.params)
      case 'checkAndRestore':
        return keeper.checkAndRestore()
      case 'versions':
        return keeper.versions(message.params)
      case 'drill':
        return keeper.drill(message.params)
      case 'branches':
        return keeper.branches()
      case 'restore':
        return keeper.restore(message.params)
      case 'leave':
        return this.#leave(client)
      default:
        return unreachable(message)
    }
  }

  #hello(client: Client, params: KeeperMethods['hello']['params']): Promise<StartReport> {
    if (params.nonce !== this.#nonce) {
      // The address of a keeper that was killed stands in keeper.json until we have written ours: the
      // client has to read it again.
      throw new KvarError('KEEPER_GONE', 'That is not this keeper’s nonce', { hint: 'try again' })
    }
    if (params.protocol !== PROTOCOL) {
      throw new KvarError('UNSUPPORTED', 'The running keeper belongs to another version of Kvar', {
        hint: 'stop every app and command that uses this database, then start again',
      })
    }
    if (this.#closing) throw new KvarError('KEEPER_GONE', 'The keeper is just leaving', { hint: 'try again' })
    if (params.attachOnly === true && this.#started === undefined) {
      throw new KvarError('KEEPER_GONE', 'The keeper has not been started yet', { hint: 'try again' })
    }
    this.#assertSameTargets(params)
    client.greeted = true
    client.role = params.role
    this.#leaving?.cancel()
    this.#leaving = undefined
    this.#started ??= this.#startKeeper(params)
    return this.#started
  }

  /** Workers of one app share a keeper; one that names other targets would believe itself safe there. */
  #assertSameTargets({ role, settings }: KeeperMethods['hello']['params']): void {
    if (this.#targets === undefined) this.#targets = settings.targets.map((target) => target.url)
    const wanted = settings.targets.map((target) => target.url)
    const same = wanted.length === this.#targets.length && wanted.every((url) => this.#targets?.includes(url))
    if (same || (role === 'tool' && wanted.length === 0)) return
    const running = this.#targets.length === 0 ? 'no target' : this.#targets.join(', ')
    throw new KvarError(
      'SETTING_INVALID',
      `The database is already protected with other targets: ${running}`,
      {
        hint: 'use the same targets everywhere, or stop the running app first',
      },
    )
  }

  #startKeeper(params: KeeperMethods['hello']['params']): Promise<StartReport> {
    const settings = { ...params.settings, databasePath: this.#databasePath }
    const keeper = new Keeper(settings, this.#platform, {
      changed: () => this.#reporting.changed(),
      fenced: (error) => this.#tellAll({ event: 'fenced', data: error.toJSON() }),
      progress: (progress) => this.#tellProgress(progress),
      tell: (sentence) => this.#tellAll({ event: 'tell', data: sentence }),
    })
    this.#keeper = keeper
    this.#reporting.open(keeper, settings)
    const started = keeper.start(params.appRunning)
    const folder = stateFolder(this.#databasePath)
    // A disk that takes no note must not keep the reason from whoever waits for it.
    const unnoted = () => undefined
    started.then(() => forgetFailedStart(folder, this.#platform)).catch(unnoted)
    // A start that failed leaves nothing to protect: the next client begins with a new keeper.
    started.catch(async (thrown) => {
      this.#closing = true
      this.#reporting.logError('start-failed', thrown)
      await noteFailedStart(folder, toKvarError(thrown), this.#platform).catch(unnoted)
      await this.#reporting.lastWords(keeper, toKvarError(thrown))
      await this.#close(0, 5)
    })
    return started
  }

  /** The client's changes are stored before it hears the answer. */
  async #leave(client: Client): Promise<{ left: string | null }> {
    const others = [...this.#clients].some((other) => other !== client && needsUs(other))
    if (others || this.#keeper === undefined) {
      await this.#keeper?.flush()
      return { left: null }
    }
    const left = await this.#closeKeeper(LEAVE_MS)
    this.#platform.clock.startTimer(0, () => void this.#close(0, 0))
    return { left: left ?? null }
  }

  get #watchers(): Client[] {
    return [...this.#clients].filter((client) => client.watching)
  }

  /** A restore counts every chunk; people and pipes get a few lines a second, and the last one. */
  #tellProgress(data: RestoreProgress): void {
    const nowMs = this.#platform.clock.monotonicMs()
    if (nowMs < this.#nextProgressMs && data.bytesDone < data.bytesTotal) return
    this.#nextProgressMs = nowMs + PROGRESS_PAUSE_MS
    this.#tellAll({ event: 'progress', data })
  }

  #tellAll(line: KeeperLine): void {
    for (const client of this.#clients) if (client.greeted) send(client, line)
  }

  #leaveIfAlone(delayMs: number): void {
    if ([...this.#clients].some(needsUs) || this.#closing) return
    this.#leaving?.cancel()
    this.#leaving = this.#platform.clock.startTimer(delayMs, () => {
      const alone = ![...this.#clients].some(needsUs)
      if (alone) void this.#close(LEAVE_MS, 0)
    })
  }

  /**
   * Some hosts signal every process at once: everything is stored at once, and we go on while
   * clients live, because they may still be writing.
   */
  onSignal(): void {
    this.#reporting.log({ level: 'info', event: 'asked-to-end' })
    const stored = this.#keeper?.flush() ?? Promise.resolve()
    void Promise.resolve(stored)
      .catch((thrown) => this.#reporting.logError('flush-failed', thrown))
      .then(() => this.#leaveIfAlone(0))
  }

  #keeperClosed: Promise<string | undefined> | undefined
  #closeKeeper(deadlineMs: number): Promise<string | undefined> {
    this.#closing = true
    this.#keeperClosed ??= this.#keeper?.close(deadlineMs) ?? Promise.resolve(undefined)
    return this.#keeperClosed
  }

  async #close(deadlineMs: number, code: number): Promise<void> {
    const unfinished = await this.#closeKeeper(deadlineMs).catch((thrown) => toKvarError(thrown).message)
    await this.#lastWords(unfinished)
    await this.#platform.clock.turn()
    for (const client of this.#clients) client.connection.close()
    await Promise.race([this.#server?.close(), this.#platform.clock.turn()])
    await this.#reporting.close()
    this.#lock.release()
    this.#ends.exit(unfinished === undefined ? code : 3)
  }

  /** Changes that stay behind on a disk that may be thrown away are worth an alarm; a newer instance's taking over is not. */
  async #lastWords(unfinished: string | undefined): Promise<void> {
    const left = unfinished !== undefined
    this.#reporting.log({ level: left ? 'error' : 'info', event: 'closed', facts: { allStored: !left } })
    const keeper = this.#keeper
    if (!left || keeper === undefined || keeper.status().state === 'fenced') return
    await this.#reporting.lastWords(keeper, new KvarError('UNREACHABLE', `Closed, but ${unfinished}`))
  }

  /** An error that nobody caught ends the process; where it happened is written down first. */
  onCrash(thrown: unknown): void {
    this.#reporting.log({ level: 'error', event: 'crashed', facts: crashFacts(thrown) })
  }
}

/** Somebody who only watches does not keep a keeper alive whose app has gone. */
function needsUs(client: Client): boolean {
  return client.greeted && !(client.role === 'tool' && client.watching)
}

function send(client: Client, line: KeeperLine): void {
  client.connection.send(JSON.stringify(line))
}

import { join } from 'node:path'
import type { ConnectConfig, ServerHostKeyAlgorithm } from 'ssh2'
import { assert, KvarError } from '../../errors.ts'
import type { Timer } from '../../platform/clock.ts'
import { readEnvironment } from '../../platform/environment.ts'
import type { Platform } from '../../platform/platform.ts'
import { loadLibrary } from '../load-library.ts'
import { TargetError, throwIfCancelled } from '../target.ts'
import {
  algorithmsOf,
  fingerprint,
  judgeHostKey,
  type KnownHostKey,
  keyType,
  knownHostKeys,
} from './sftp-host-keys.ts'
import { connectSession, type SftpSession } from './sftp-session.ts'
import type { SftpSettings } from './sftp-settings.ts'

export type SftpPlatform = Pick<Platform, 'files' | 'clock' | 'random'>

const CONNECT_LIMIT_MS = 15_000
/** Then the connection is closed: an idle keeper has none, and no router forgets one that we believe in. */
const IDLE_MS = 60_000

/** The one connection of a target: made when needed, made again after a loss, closed when idle. */
export class SftpConnection {
  readonly #settings: SftpSettings
  readonly #platform: SftpPlatform
  readonly #home: string | undefined
  #connecting: Promise<SftpSession> | undefined
  #session: SftpSession | undefined
  #users = 0
  #idle: Timer | undefined
  #isClosed = false

  /** @param home where our own user's `.ssh` lies; tests name another */
  constructor(settings: SftpSettings, platform: SftpPlatform, home = readEnvironment().variables.HOME) {
    this.#settings = settings
    this.#platform = platform
    this.#home = home
  }

  /**
   * Lends the session to a piece of work. An abort ends the waiting at once, while the work itself goes
   * on to its next look at the signal: requests that were sent cannot be taken back.
   */
  async use<T>(signal: AbortSignal | undefined, work: (session: SftpSession) => Promise<T>): Promise<T> {
    this.assertOpen()
    throwIfCancelled(signal)
    this.hold()
    const working = this.#open().then(work)
    try {
      return await unlessAborted(working, signal, () => this.#session?.endIfStalled())
    } catch (thrown) {
      if (this.#isClosed) throw closedMeanwhile(this.#settings.url)
      throw thrown
    } finally {
      this.release()
    }
  }

  /** Keeps the connection from being closed as idle until `release`. */
  hold(): void {
    this.#users += 1
    this.#idle?.cancel()
    this.#idle = undefined
  }

  release(): void {
    this.#users -= 1
    if (this.#users > 0 || this.#isClosed) return
    this.#idle = this.#platform.clock.startTimer(IDLE_MS, () => this.#session?.end())
  }

  assertOpen(): void {
    assert(!this.#isClosed, `${this.#settings.url} was closed`)
  }

  close(): void {
    this.#isClosed = true
    this.#idle?.cancel()
    this.#session?.end()
    this.#connecting?.then(
      (late) => late.end(),
      () => undefined,
    )
  }

  async #open(): Promise<SftpSession> {
    if (this.#session !== undefined && !this.#session.isLost) return this.#session
    this.#connecting ??= this.#connect().finally(() => {
      this.#connecting = undefined
    })
    this.#session = await this.#connecting
    return this.#session
  }

  async #connect(): Promise<SftpSession> {
    const { default: ssh2 } = await loadLibrary('ssh2', 'sftp: targets', () => import('ssh2'))
    const known = await this.#knownKeys()
    let refusal: TargetError | undefined
    const hostVerifier = (key: Buffer) => {
      refusal = this.#judge(key, known)
      return refusal === undefined
    }
    const config = { ...(await this.#credentials()), ...hostKeyOrder(known), hostVerifier }
    try {
      return await connectSession(new ssh2.Client(), config, this.#platform.clock)
    } catch (thrown) {
      throw refusal ?? thrown
    }
  }

  async #credentials(): Promise<ConnectConfig> {
    const { host, port, user, password, passphrase } = this.#settings
    const privateKey = await this.#privateKey()
    return {
      host,
      port,
      username: user,
      readyTimeout: CONNECT_LIMIT_MS,
      keepaliveInterval: 0,
      ...(password === undefined ? {} : { password, tryKeyboard: true }),
      ...(privateKey === undefined ? {} : { privateKey }),
      ...(passphrase === undefined ? {} : { passphrase }),
    }
  }

  async #privateKey(): Promise<string | undefined> {
    const { privateKey, url } = this.#settings
    if (privateKey === undefined || privateKey.includes('-----BEGIN')) return privateKey
    const path = privateKey.replace(/^~(?=\/)/, this.#home ?? '~')
    const bytes = path.startsWith('/') ? await this.#platform.files.readFile(path) : undefined
    if (bytes !== undefined) return Buffer.from(bytes).toString('utf8')
    throw new KvarError('SETTING_INVALID', `Cannot use the target ${url}: there is no key in ${path}`, {
      hint: 'put the path of the private key, or the key itself, into KVAR_SFTP_KEY',
      data: { url },
    })
  }

  async #knownKeys(): Promise<KnownHostKey[]> {
    if (this.#home === undefined) return []
    // What cannot be read accepts nothing, so its absence is no failure.
    const file = join(this.#home, '.ssh', 'known_hosts')
    const bytes = await this.#platform.files.readFile(file).catch(() => undefined)
    const { host, port } = this.#settings
    return bytes === undefined ? [] : knownHostKeys(Buffer.from(bytes).toString('utf8'), host, port)
  }

  #judge(key: Buffer, known: KnownHostKey[]): TargetError | undefined {
    const { url, hostKeys } = this.#settings
    const shown = fingerprint(key)
    const judgement = judgeHostKey(key, hostKeys, known)
    if (judgement === 'accepted') return undefined
    const sentence = {
      unknown: `The server of ${url} shows a host key that nobody has accepted yet: ${shown} (${keyType(key)})`,
      changed: `The server of ${url} shows another host key than the accepted one: ${shown} (${keyType(key)})`,
      revoked: `The server of ${url} shows a host key that known_hosts revokes: ${shown}`,
    }[judgement]
    const accept = `add ?hostkey=${encodeURIComponent(shown)} to the target or set KVAR_SFTP_HOST_KEY=${shown}`
    const hint = {
      unknown: `compare it with what the provider publishes; if it is the same, ${accept}`,
      changed: `somebody may stand between you and the server; only if its key was renewed, ${accept}`,
      revoked: 'do not connect; ask who runs the server',
    }[judgement]
    return new TargetError('denied', sentence, { hint, data: { url, hostKey: shown } })
  }
}

/** Asks for a key of a type that is known first, as OpenSSH does: another type could not be judged. */
function hostKeyOrder(known: KnownHostKey[]): Pick<ConnectConfig, 'algorithms'> {
  const wanted = known.filter((one) => !one.isRevoked).flatMap((one) => algorithmsOf(one.type))
  const first = HOST_KEYS.filter((name) => wanted.includes(name))
  if (first.length === 0) return {}
  return { algorithms: { serverHostKey: [...new Set([...first, ...HOST_KEYS])] } }
}

const HOST_KEYS: ServerHostKeyAlgorithm[] = [
  'ssh-ed25519',
  'ecdsa-sha2-nistp256',
  'ecdsa-sha2-nistp384',
  'ecdsa-sha2-nistp521',
  'rsa-sha2-512',
  'rsa-sha2-256',
]

async function unlessAborted<T>(
  work: Promise<T>,
  signal: AbortSignal | undefined,
  onAbort: () => void,
): Promise<T> {
  if (signal === undefined) return work
  const aborted = Promise.withResolvers<never>()
  const abort = () => {
    onAbort()
    aborted.reject(new KvarError('CANCELLED', 'Stopped by the caller', { cause: signal.reason }))
  }
  signal.addEventListener('abort', abort, { once: true })
  try {
    return await Promise.race([work, aborted.promise])
  } finally {
    signal.removeEventListener('abort', abort)
  }
}

function closedMeanwhile(url: string): KvarError {
  return new KvarError('CANCELLED', `The target ${url} was closed meanwhile`)
}

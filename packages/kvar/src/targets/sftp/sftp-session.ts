import type { Client, ConnectConfig, FileEntryWithStats, SFTPWrapper, Stats } from 'ssh2'
import type { Clock } from '../../platform/clock.ts'
import { STATUS, statusOf } from './sftp-errors.ts'

/** A file or folder that is open on the server. */
export type SftpHandle = Buffer

type Done<T> = (failed: Error | undefined | null, answer: T) => void

/** How long a connection may keep an answer to itself before an aborted call takes it for dead. */
const STALLED_MS = 5000
const FILE_MODE = 0o600
const FOLDER_MODE = 0o700

/**
 * One SSH connection with one SFTP channel, its verbs as promises. Requests may be sent without waiting
 * for earlier answers; OpenSSH does them in order.
 *
 * When the connection is lost every open request fails at once: the library itself forgets those that
 * were sent into a closed channel.
 */
export class SftpSession {
  readonly #client: Client
  readonly #sftp: SFTPWrapper
  readonly #clock: Pick<Clock, 'monotonicMs'>
  readonly #waiting = new Set<(error: Error) => void>()
  #lost: Error | undefined
  #lastAnswerMs: number

  constructor(client: Client, sftp: SFTPWrapper, clock: Pick<Clock, 'monotonicMs'>) {
    this.#client = client
    this.#sftp = sftp
    this.#clock = clock
    this.#lastAnswerMs = clock.monotonicMs()
    const lose = (error?: Error) => this.#lose(error ?? new Error('the connection was lost'))
    client.on('error', lose).on('close', () => lose())
    sftp.on('error', lose).on('close', () => lose())
  }

  get isLost(): boolean {
    return this.#lost !== undefined
  }

  /** Opens for reading, also folders where the server allows it; or makes a file that must not exist yet. */
  open(path: string, mode: 'read' | 'createNew'): Promise<SftpHandle> {
    if (mode === 'read') return this.#ask((done) => this.#sftp.open(path, 'r', done))
    return this.#ask((done) => this.#sftp.open(path, 'wx', FILE_MODE, done))
  }

  close(handle: SftpHandle): Promise<void> {
    return this.#ask((done) => this.#sftp.close(handle, asDone(done)))
  }

  write(handle: SftpHandle, bytes: Buffer, offset: number): Promise<void> {
    return this.#ask((done) => this.#sftp.write(handle, bytes, 0, bytes.length, offset, asDone(done)))
  }

  /** Fewer bytes than asked for mean the end, or a server that gives less at a time. */
  read(handle: SftpHandle, length: number, offset: number): Promise<Buffer> {
    const buffer = Buffer.allocUnsafe(length)
    return this.#ask((done) =>
      this.#sftp.read(handle, buffer, 0, length, offset, (failed, count) =>
        done(failed, buffer.subarray(0, failed ? 0 : count)),
      ),
    )
  }

  /** Whole seconds are all the protocol has. */
  setModifiedAt(handle: SftpHandle, modifiedAtMs: number): Promise<void> {
    const seconds = Math.floor(modifiedAtMs / 1000)
    return this.#ask((done) =>
      this.#sftp.fsetstat(handle, { atime: seconds, mtime: seconds } as never, asDone(done)),
    )
  }

  factsOf(handle: SftpHandle): Promise<Stats> {
    return this.#ask((done) => this.#sftp.fstat(handle, done))
  }

  /** Of the name itself, not of what a link leads to; undefined when nothing is there. */
  lstat(path: string): Promise<Stats | undefined> {
    return unlessAbsent(this.#ask<Stats>((done) => this.#sftp.lstat(path, done)))
  }

  list(path: string): Promise<FileEntryWithStats[] | undefined> {
    return unlessAbsent(this.#ask<FileEntryWithStats[]>((done) => this.#sftp.readdir(path, done)))
  }

  makeFolder(path: string): Promise<void> {
    return this.#ask((done) => this.#sftp.mkdir(path, { mode: FOLDER_MODE } as never, asDone(done)))
  }

  async remove(path: string): Promise<void> {
    await unlessAbsent(this.#ask<void>((done) => this.#sftp.unlink(path, asDone(done))))
  }

  /** By the protocol it fails when the new name is taken; not every server keeps to that. */
  rename(from: string, to: string): Promise<void> {
    return this.#ask((done) => this.#sftp.rename(from, to, asDone(done)))
  }

  /** The extension posix-rename@openssh.com: replaces the new name in one step. */
  replace(from: string, to: string): Promise<void> {
    return this.#ask((done) => this.#sftp.ext_openssh_rename(from, to, asDone(done)))
  }

  /** The extension hardlink@openssh.com: fails when the new name is taken. */
  link(from: string, to: string): Promise<void> {
    return this.#ask((done) => this.#sftp.ext_openssh_hardlink(from, to, asDone(done)))
  }

  /** The extension fsync@openssh.com. */
  sync(handle: SftpHandle): Promise<void> {
    return this.#ask((done) => this.#sftp.ext_openssh_fsync(handle, asDone(done)))
  }

  /** The extension statvfs@openssh.com: bytes that this user may still write; undefined where it is missing. */
  async freeBytes(path: string): Promise<number | undefined> {
    try {
      const facts = await this.#ask<{ f_bavail: number; f_frsize: number }>((done) =>
        this.#sftp.ext_openssh_statvfs(path, done),
      )
      return Number(facts.f_bavail) * Number(facts.f_frsize)
    } catch {
      return undefined
    }
  }

  realPath(path: string): Promise<string> {
    return this.#ask((done) => this.#sftp.realpath(path, done))
  }

  /** For a call that was given up: a connection that answers nothing is ended, so that the next try gets another. */
  endIfStalled(): void {
    const silenceMs = this.#clock.monotonicMs() - this.#lastAnswerMs
    if (this.#waiting.size > 0 && silenceMs > STALLED_MS) this.end()
  }

  /** Says goodbye; with requests open it cuts the connection, which may well be dead. */
  end(): void {
    const isIdle = this.#waiting.size === 0
    this.#lose(new Error('the connection was closed'))
    if (isIdle) this.#client.end()
    else this.#client.destroy()
  }

  #ask<T>(send: (done: Done<T>) => void): Promise<T> {
    if (this.#lost !== undefined) return Promise.reject(this.#lost)
    if (this.#waiting.size === 0) this.#lastAnswerMs = this.#clock.monotonicMs()
    return new Promise<T>((resolve, reject) => {
      this.#waiting.add(reject)
      const done: Done<T> = (failed, answer) => {
        this.#waiting.delete(reject)
        this.#lastAnswerMs = this.#clock.monotonicMs()
        if (failed) reject(failed)
        else resolve(answer)
      }
      try {
        send(done)
      } catch (thrown) {
        // An extension that this server did not offer.
        done(Object.assign(thrown as Error, { code: STATUS.UNSUPPORTED }), undefined as T)
      }
    })
  }

  #lose(error: Error): void {
    this.#lost ??= error
    const waiting = [...this.#waiting]
    this.#waiting.clear()
    for (const reject of waiting) reject(this.#lost)
  }
}

/** For verbs without an answer. */
function asDone(done: Done<void>): (failed?: Error | null) => void {
  return (failed) => done(failed, undefined)
}

async function unlessAbsent<T>(work: Promise<T>): Promise<T | undefined> {
  try {
    return await work
  } catch (thrown) {
    if (statusOf(thrown) === STATUS.NO_SUCH_FILE) return undefined
    throw thrown
  }
}

/** Connects, signs in and opens the channel. Rejects with what the library says; nothing is left open then. */
export function connectSession(
  client: Client,
  config: ConnectConfig,
  clock: Pick<Clock, 'monotonicMs'>,
): Promise<SftpSession> {
  return new Promise((resolve, reject) => {
    const fail = (error: Error) => {
      client.destroy()
      reject(error)
    }
    client.on('error', fail)
    client.once('close', () => fail(new Error('the server closed the connection')))
    // Small requests would otherwise wait for the server's delayed acknowledgements: 40 ms each.
    client.once('connect', () => client.setNoDelay(true))
    client.once('ready', () => {
      client.sftp((failed, sftp) => {
        if (failed) fail(failed)
        else resolve(new SftpSession(client, sftp, clock))
      })
    })
    // Servers that ask for the password by "keyboard" mean the same.
    client.on('keyboard-interactive', (_name, _instructions, _language, prompts, finish) =>
      finish(prompts.map(() => config.password ?? '')),
    )
    try {
      client.connect(config)
    } catch (thrown) {
      fail(thrown as Error)
    }
  })
}

import { createHash } from 'node:crypto'
import * as fs from 'node:fs'
import * as net from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { KvarError } from '../errors.ts'

/** One end of a local connection that carries lines of text. */
export interface LineConnection {
  send(line: string): void
  onLine(listener: (line: string) => void): void
  onClose(listener: () => void): void
  close(): void
  /** Whether this connection keeps the process alive. */
  hold(keepAlive: boolean): void
}

export interface LineServer {
  close(): Promise<void>
}

/** A line longer than this ends the connection: nothing we send comes near it (R11). */
const LINE_LIMIT = 64 * 1024 * 1024

/**
 * Where the socket for a database lies: a short path whatever the length of the database's own (a
 * socket address holds about 100 bytes), in a folder only its owner can enter.
 *
 * @param lockPath the keeper's lock: its real path decides, so links lead to one keeper
 */
export function socketPath(lockPath: string): string {
  const hash = createHash('sha256').update(fs.realpathSync(lockPath)).digest('hex').slice(0, 24)
  return join(socketFolder(), `${hash}.sock`)
}

/** Room for the folder in a socket address beside our own name: sun_path holds 108 bytes on Linux, 104 on macOS. */
const FOLDER_LIMIT = 70

function socketFolder(): string {
  const userId = process.getuid?.() ?? 0
  const candidates = [process.env.XDG_RUNTIME_DIR, tmpdir(), '/tmp'].filter(
    (path) => path !== undefined && path !== '',
  )
  for (const candidate of candidates as string[]) {
    const folder = join(candidate, `kvar-${userId}`)
    if (Buffer.byteLength(folder) <= FOLDER_LIMIT && isPrivateFolder(folder, userId)) return folder
  }
  throw new KvarError('UNSUPPORTED', 'There is no folder for the keeper’s socket', {
    hint: 'set TMPDIR or XDG_RUNTIME_DIR to a short path that this user can write to',
  })
}

/** A folder in a shared place is only used if nobody else could have prepared it. */
function isPrivateFolder(folder: string, userId: number): boolean {
  try {
    fs.mkdirSync(folder, { recursive: true, mode: 0o700 })
    const stats = fs.lstatSync(folder)
    return stats.isDirectory() && stats.uid === userId && (stats.mode & 0o077) === 0
  } catch {
    return false
  }
}

/** Listens at a path; the caller holds the lock that makes the path its own. */
export function listen(path: string, accepted: (connection: LineConnection) => void): Promise<LineServer> {
  fs.rmSync(path, { force: true })
  const server = net.createServer((socket) => accepted(lines(socket)))
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(path, () => {
      fs.chmodSync(path, 0o600)
      resolve({
        close: () =>
          new Promise((closed) => {
            server.close(() => closed())
            fs.rmSync(path, { force: true })
          }),
      })
    })
  })
}

/** Connects, or answers undefined when nobody listens. */
export function connect(path: string): Promise<LineConnection | undefined> {
  return new Promise((resolve) => {
    const socket = net.connect(path)
    socket.once('connect', () => resolve(lines(socket)))
    socket.once('error', () => resolve(undefined))
  })
}

function lines(socket: net.Socket): LineConnection {
  let listener: (line: string) => void = () => undefined
  let rest = ''
  socket.setEncoding('utf8')
  socket.on('data', (text: string) => {
    const parts = (rest + text).split('\n')
    rest = parts.pop() as string
    if (rest.length > LINE_LIMIT) socket.destroy()
    for (const part of parts) listener(part)
  })
  // The close event that follows says all there is to say.
  socket.on('error', () => undefined)
  return {
    send: (line) => void socket.write(`${line}\n`),
    onLine: (next) => {
      listener = next
    },
    onClose: (closed) => void socket.once('close', closed),
    close: () => void socket.end(),
    hold: (keepAlive) => void (keepAlive ? socket.ref() : socket.unref()),
  }
}

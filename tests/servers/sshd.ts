// OpenSSH's server on the loopback, with keys of its own, for the user that runs the tests: SFTP alone,
// signed in by key. What it may do can be cut down, to be like servers that can do less.

import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, readFile, writeFile } from 'node:fs/promises'
import { userInfo } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import {
  accepts,
  findProgram,
  freePort,
  leftOutWithout,
  removeFolder,
  startServer,
  temporaryFolder,
} from './server.ts'

const run = promisify(execFile)

/** For a test's name: empty when OpenSSH's server is installed. */
export const sshdLeftOut = leftOutWithout('sshd', 'ssh-keygen')

export interface SshServer {
  /** `sftp://user@127.0.0.1:port`, to which a test adds a path. */
  origin: string
  port: number
  /** A folder of the server that the tests may use. */
  folder: string
  /** The private key that is let in, as text and as a file. */
  privateKey: string
  keyPath: string
  /** `SHA256:…` of the key the server shows. */
  hostKey: string
  /** A line for known_hosts. */
  knownHost: string
  stop(): Promise<void>
}

export interface SshdOptions {
  /** Requests that the server refuses and does not offer: `hardlink`, `posix-rename`, `fsync`, … */
  without?: string[]
  readOnly?: boolean
  /** A port to come back on after a stop. */
  port?: number
}

export async function startSshd(options: SshdOptions = {}): Promise<SshServer> {
  const program = findProgram('sshd')
  if (program === undefined) throw new Error('OpenSSH’s server is not installed')
  const folder = await temporaryFolder('sshd')
  const port = options.port ?? (await freePort())
  const [hostKeyPath, keyPath] = [join(folder, 'host'), join(folder, 'user')]
  for (const path of [hostKeyPath, keyPath])
    await run('ssh-keygen', ['-q', '-t', 'ed25519', '-N', '', '-C', 'test', '-f', path])
  await writeFile(join(folder, 'authorized_keys'), await readFile(`${keyPath}.pub`))
  await writeFile(join(folder, 'config'), configuration(folder, port, options))
  // Where it keeps its unprivileged half; Debian makes it when the service starts.
  if (process.getuid?.() === 0) await mkdir('/run/sshd', { recursive: true })
  const server = await startServer(program, ['-D', '-e', '-f', join(folder, 'config')], {
    logFile: join(folder, 'log'),
    isReady: () => accepts(port),
  })
  const [type, encoded] = (await readFile(`${hostKeyPath}.pub`, 'utf8')).split(' ') as [string, string]
  const data = await dataFolder(folder)
  return {
    origin: `sftp://${userInfo().username}@127.0.0.1:${port}`,
    port,
    folder: data,
    privateKey: await readFile(keyPath, 'utf8'),
    keyPath,
    hostKey: fingerprintOf(encoded),
    knownHost: `[127.0.0.1]:${port} ${type} ${encoded}`,
    stop: async () => {
      await server.stop()
      await Promise.all([removeFolder(folder), removeFolder(data)])
    },
  }
}

/** In memory where there is such a place: what is tested is the protocol, not the disk's patience. */
async function dataFolder(folder: string): Promise<string> {
  if (existsSync('/dev/shm')) return mkdtemp('/dev/shm/kvar-sshd-')
  await mkdir(join(folder, 'data'))
  return join(folder, 'data')
}

function fingerprintOf(encoded: string): string {
  const hash = createHash('sha256').update(Buffer.from(encoded, 'base64')).digest('base64')
  return `SHA256:${hash.replace(/=+$/, '')}`
}

function configuration(folder: string, port: number, { without = [], readOnly }: SshdOptions): string {
  const denied = without.length === 0 ? '' : ` -P ${without.join(',')}`
  return `Port ${port}
ListenAddress 127.0.0.1
HostKey ${join(folder, 'host')}
PidFile ${join(folder, 'sshd.pid')}
AuthorizedKeysFile ${join(folder, 'authorized_keys')}
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin yes
MaxStartups 100
Subsystem sftp internal-sftp${readOnly ? ' -R' : ''}${denied}
`
}

// Goal: the SFTP target keeps the contract on OpenSSH, and on a server without its extensions, where it
// says that it cannot fence. Method: the shared suite against real servers, each test in a folder of its
// own.

import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, it } from 'vitest'
import { systemPlatform } from '../../packages/kvar/src/platform/system.ts'
import { parseTargetUrl } from '../../packages/kvar/src/settings/target-url.ts'
import { openTarget } from '../../packages/kvar/src/targets/open-target.ts'
import type { Target } from '../../packages/kvar/src/targets/target.ts'
import { withFaults } from '../../packages/kvar/src/targets/wrappers/faulty-target.ts'
import { withMetering } from '../../packages/kvar/src/targets/wrappers/metering-target.ts'
import { withRetries } from '../../packages/kvar/src/targets/wrappers/retrying-target.ts'
import { type SshServer, sshdLeftOut, startSshd } from '../servers/sshd.ts'
import { raceProcesses } from './race-processes.ts'
import { type ContractSubject, describeTargetContract } from './target-contract.ts'

const RACERS = 4
const NO_EXTENSIONS = ['hardlink', 'posix-rename', 'fsync', 'statvfs']
const isHere = sshdLeftOut === ''
let able: SshServer
let plain: SshServer

beforeAll(async () => {
  if (isHere) [able, plain] = await Promise.all([startSshd(), startSshd({ without: NO_EXTENSIONS })])
}, 120_000)

afterAll(async () => {
  await Promise.all([able?.stop(), plain?.stop()])
})

async function openAt(server: SshServer, wrap: (target: Target) => Target): Promise<ContractSubject> {
  const url = `${server.origin}${server.folder}/${randomUUID()}`
  const environment = { KVAR_SFTP_KEY: server.privateKey, KVAR_SFTP_HOST_KEY: server.hostKey }
  const source = { kind: 'option', label: 'the test', baseFolder: '/' } as const
  const open = async () =>
    wrap(await openTarget(parseTargetUrl(url, { source, environment }), systemPlatform))
  const race = (keys: string[]) => raceProcesses(url, keys, { racers: RACERS, secrets: environment })
  const target = await open()
  const isAtomic = target.capabilities.createIfAbsent === 'atomic'
  return { target, reopen: open, ...(isAtomic ? { race } : {}), dispose: async () => {} }
}

const { clock } = systemPlatform
const allWrappers = (target: Target) =>
  withRetries(withMetering(withFaults(target, { clock })), { platform: systemPlatform })

if (isHere) {
  describeTargetContract('sftp', () => openAt(able, (target) => target))
  describeTargetContract('sftp, all wrappers', () => openAt(able, allWrappers))
  describeTargetContract('sftp without extensions', () => openAt(plain, (target) => target))
} else {
  describe.skip(`contract: sftp${sshdLeftOut}`, () => it('', () => {}))
}

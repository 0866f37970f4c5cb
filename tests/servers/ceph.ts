// A real S3 server: Ceph's object gateway with one monitor and one storage daemon that keeps everything
// in memory. It checks signatures and Content-MD5 for real, which the emulators on npm do not.

import { execFile } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { AwsClient } from 'aws4fetch'
import {
  accepts,
  findProgram,
  freePorts,
  leftOutWithout,
  type RunningServer,
  removeFolder,
  startServer,
  temporaryFolder,
} from './server.ts'

const PROGRAMS = ['ceph', 'ceph-mon', 'ceph-osd', 'monmaptool', 'radosgw', 'radosgw-admin']
const MEMORY_BYTES = 2 * 1024 ** 3

/** For a test's name: empty when Ceph is installed. */
export const cephLeftOut = leftOutWithout(...PROGRAMS)

export interface CephServer {
  /** `http://127.0.0.1:port` */
  url: string
  credentials: { accessKeyId: string; secretAccessKey: string }
  /** The user of these credentials. */
  userId: string
  /** A bucket of this user alone. */
  bucket: string
  /** Runs `radosgw-admin`, for users with fewer rights and for quotas. */
  admin(...args: string[]): Promise<string>
  /** Gives another user the rights of a policy (JSON without its principals) on the bucket. */
  grant(userId: string, policy: string): Promise<void>
  stop(): Promise<void>
}

/** What other processes need to use a cluster that is running. */
export interface Cluster {
  url: string
  /** The path of its `ceph.conf`. */
  configuration: string
}

/**
 * A user and a bucket of one's own: in the cluster that the whole test run shares (`shared-ceph.ts`), or in one
 * that is started for it, which takes about 10 s.
 */
export async function startCeph(): Promise<CephServer> {
  const shared = await sharedCluster()
  if (shared !== undefined) return { ...(await enter(shared)), stop: async () => undefined }
  const { cluster, stop } = await startCluster()
  try {
    return { ...(await enter(cluster)), stop }
  } catch (thrown) {
    await stop()
    throw thrown
  }
}

/** The cluster of this test run, started by whoever asks first. */
async function sharedCluster(): Promise<Cluster | undefined> {
  const url = process.env.KVAR_TEST_CEPH
  if (url === undefined) return undefined
  const answer = await fetch(url)
  if (!answer.ok) throw new Error(await answer.text())
  return (await answer.json()) as Cluster
}

export async function startCluster(): Promise<{ cluster: Cluster; stop: () => Promise<void> }> {
  const folder = await temporaryFolder('ceph')
  const started: RunningServer[] = []
  const stop = async () => {
    for (const server of started.toReversed()) await server.stop()
    await removeFolder(folder)
  }
  try {
    return { cluster: await startAll(folder, started), stop }
  } catch (thrown) {
    await stop()
    throw thrown
  }
}

/** Users and buckets of two test files never meet. */
async function enter({ url, configuration }: Cluster): Promise<Omit<CephServer, 'stop'>> {
  const name = randomUUID().slice(0, 8)
  const [userId, bucket] = [`kvar-${name}`, `kvar-test-${name}`]
  const credentials = { accessKeyId: `KVARTEST${name}`, secretAccessKey: `kvar-test-secret-${name}` }
  const admin = (...args: string[]) => runProgram('radosgw-admin', args, { CEPH_CONF: configuration })
  const keys = ['--access-key', credentials.accessKeyId, '--secret-key', credentials.secretAccessKey]
  await admin('user', 'create', `--uid=${userId}`, '--display-name=Kvar', ...keys)
  await makeBucket(`${url}/${bucket}`, credentials)
  const grant = (toUser: string, policy: string) =>
    setPolicy(`${url}/${bucket}`, credentials, { userId: toUser, policy })
  return { url, credentials, userId, bucket, admin, grant }
}

async function startAll(folder: string, started: RunningServer[]): Promise<Cluster> {
  const [monitor2, monitor1, gateway] = (await freePorts(3)) as [number, number, number]
  const clusterId = randomUUID()
  const ports = { monitor2, monitor1, gateway }
  const env = { CEPH_CONF: join(folder, 'ceph.conf') }
  for (const name of ['mon', 'osd0', 'rgw', 'run']) await mkdir(join(folder, name))
  await writeFile(env.CEPH_CONF, configuration(folder, clusterId, ports))
  const run = (program: string, ...args: string[]) => runProgram(program, args, env)
  const start = async (program: string, args: string[], isReady: () => Promise<boolean>) => {
    const logFile = join(folder, `${program}.out`)
    started.push(await startServer(path(program), ['-f', ...args], { logFile, env, isReady }))
  }

  const monitors = `[v2:127.0.0.1:${monitor2},v1:127.0.0.1:${monitor1}]`
  const map = join(folder, 'monmap')
  await run('monmaptool', '--create', '--clobber', '--fsid', clusterId, '--addv', 'a', monitors, map)
  await run('ceph-mon', '--mkfs', '-i', 'a', '--monmap', map)
  await start('ceph-mon', ['-i', 'a'], () => accepts(monitor1))
  const storageId = randomUUID()
  await run('ceph', 'osd', 'new', storageId)
  await run('ceph-osd', '-i', '0', '--mkfs', '--osd-uuid', storageId)
  await start('ceph-osd', ['-i', '0'], async () => /1 up/.test(await run('ceph', 'osd', 'stat')))
  const url = `http://127.0.0.1:${gateway}`
  await start('radosgw', ['-n', 'client.rgw'], async () => (await fetch(url)).status < 500)
  return { url, configuration: env.CEPH_CONF }
}

async function makeBucket(url: string, credentials: CephServer['credentials']): Promise<void> {
  const client = new AwsClient({ ...credentials, service: 's3', region: 'us-east-1' })
  const { status } = await client.fetch(url, { method: 'PUT' })
  if (status !== 200) throw new Error(`Ceph did not make the bucket: status ${status}`)
}

async function setPolicy(
  bucketUrl: string,
  credentials: CephServer['credentials'],
  { userId, policy }: { userId: string; policy: string },
): Promise<void> {
  const client = new AwsClient({ ...credentials, service: 's3', region: 'us-east-1' })
  const { Version, Statement } = JSON.parse(policy) as { Version: string; Statement: object[] }
  const Principal = { AWS: [`arn:aws:iam:::user/${userId}`] }
  const body = JSON.stringify({ Version, Statement: Statement.map((one) => ({ ...one, Principal })) })
  const answer = await client.fetch(`${bucketUrl}?policy`, { method: 'PUT', body })
  if (!answer.ok) throw new Error(`Ceph did not take the policy: ${answer.status} ${await answer.text()}`)
}

function path(program: string): string {
  return findProgram(program) ?? program
}

async function runProgram(program: string, args: string[], env: Record<string, string>): Promise<string> {
  const settings = { env: { ...process.env, ...env }, timeout: 90_000 }
  return (await promisify(execFile)(path(program), args, settings)).stdout
}

interface Ports {
  monitor2: number
  monitor1: number
  gateway: number
}

/** One copy of everything on one daemon: what a real cluster would call reckless. */
function configuration(folder: string, clusterId: string, { monitor2, monitor1, gateway }: Ports): string {
  return `[global]
fsid = ${clusterId}
mon host = [v2:127.0.0.1:${monitor2},v1:127.0.0.1:${monitor1}]
auth cluster required = none
auth service required = none
auth client required = none
public addr = 127.0.0.1
cluster addr = 127.0.0.1
ms bind ipv4 = true
ms mon client mode = crc
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 1
osd pool default pgp num = 1
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
osd max object name len = 460
mon allow pool size one = true
mon warn on pool no redundancy = false
mon data avail crit = 1
admin socket = ${folder}/run/$name.asok
run dir = ${folder}/run
log file = ${folder}/$name.log
[mon.a]
mon data = ${folder}/mon
[osd.0]
osd data = ${folder}/osd0
osd objectstore = memstore
osd crush initial weight = 1
memstore device bytes = ${MEMORY_BYTES}
[client.rgw]
rgw data = ${folder}/rgw
rgw frontends = beast endpoint=127.0.0.1:${gateway} tcp_nodelay=1
rgw enable ops log = false
rgw enable usage log = false
rgw thread pool size = 32
rgw dynamic resharding = false
rgw override bucket index max shards = 1
rgw verify ssl = false
`
}

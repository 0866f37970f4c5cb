// Goal: the PostgreSQL target keeps the contract, direct and through a pooler that hands out servers by
// transaction, bare and inside every wrapper. Method: the shared suite against a real server and a real
// pgbouncer with two servers, each test under a prefix of its own.

import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, it } from 'vitest'
import { systemPlatform } from '../../packages/kvar/src/platform/system.ts'
import { parseTargetUrl } from '../../packages/kvar/src/settings/target-url.ts'
import { openTarget } from '../../packages/kvar/src/targets/open-target.ts'
import type { Target } from '../../packages/kvar/src/targets/target.ts'
import { withFaults } from '../../packages/kvar/src/targets/wrappers/faulty-target.ts'
import { withMetering } from '../../packages/kvar/src/targets/wrappers/metering-target.ts'
import { withRetries } from '../../packages/kvar/src/targets/wrappers/retrying-target.ts'
import { type Pgbouncer, startPgbouncer } from '../servers/pgbouncer.ts'
import { type PostgresServer, postgresPrograms, startPostgres } from '../servers/postgres.ts'
import { isInstalled } from '../servers/server.ts'
import { raceProcesses } from './race-processes.ts'
import { type ContractSubject, describeTargetContract } from './target-contract.ts'

const RACERS = 4
const hasServer = (await postgresPrograms()) !== undefined
const hasPooler = hasServer && isInstalled('pgbouncer')
let server: PostgresServer
let pooler: Pgbouncer

beforeAll(async () => {
  if (hasServer) server = await startPostgres(['fsync = off'])
  if (hasPooler) pooler = await startPgbouncer(server)
}, 120_000)

afterAll(async () => {
  await pooler?.stop()
  await server?.stop()
})

async function openAt(base: string, wrap: (target: Target) => Target): Promise<ContractSubject> {
  const url = `${base}?prefix=${randomUUID()}`
  const environment = { KVAR_POSTGRES_PASSWORD: server.password }
  const source = { kind: 'option', label: 'the test', baseFolder: '/' } as const
  const open = async () =>
    wrap(await openTarget(parseTargetUrl(url, { source, environment }), systemPlatform))
  const race = (keys: string[]) => raceProcesses(url, keys, { racers: RACERS, secrets: environment })
  return { target: await open(), reopen: open, race, dispose: async () => {} }
}

const { clock } = systemPlatform
const allWrappers = (target: Target) =>
  withRetries(withMetering(withFaults(target, { clock })), { platform: systemPlatform })

if (hasServer) {
  describeTargetContract('postgres', () => openAt(server.url, (target) => target))
  describeTargetContract('postgres, all wrappers', () => openAt(server.url, allWrappers))
} else {
  describe.skip('contract: postgres (left out: PostgreSQL is not installed)', () => it('', () => {}))
}
if (hasPooler) {
  describeTargetContract('postgres through pgbouncer', () => openAt(pooler.url, (target) => target))
} else {
  describe.skip('contract: postgres through a pooler (left out: no pgbouncer)', () => it('', () => {}))
}

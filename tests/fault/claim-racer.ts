// One of many processes that claim the next version of the same logs. Its argument is a file with a
// `RacePlan`; it answers each line of its input with one of its output:
//   (start) → ready    look → looked (every log's head is known)    go N → the outcome for place N, as JSON

import { readFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { buildClaim } from '../../packages/kvar/src/log/claim.ts'
import { Ledger } from '../../packages/kvar/src/log/ledger.ts'
import { type VersionInfo, VersionLog } from '../../packages/kvar/src/log/version-log.ts'
import { openPlace } from '../support/remote-places.ts'
import type { RacePlan } from './claim-race.ts'

const [planPath, number] = process.argv.slice(2) as [string, string]
const plan = JSON.parse(readFileSync(planPath, 'utf8')) as RacePlan
const nodeId = BigInt(number) + 1000n
const logs = await Promise.all(plan.places.map(async (place) => new VersionLog(await openPlace(place))))
let heads: VersionInfo[] = []
process.stdout.write('ready\n')
for await (const line of createInterface({ input: process.stdin })) {
  if (line === 'look') {
    heads = await Promise.all(logs.map(async (log) => (await log.findHead()) as VersionInfo))
    process.stdout.write('looked\n')
  } else process.stdout.write(`${JSON.stringify(await claim(Number(line.slice(3))))}\n`)
}
process.exit(0)

async function claim(index: number) {
  const [log, head] = [logs[index] as VersionLog, heads[index] as VersionInfo]
  const facts = { nodeId, lineage: BigInt(plan.lineage), nowMs: Date.now() }
  const page1 = Buffer.from(plan.page1, 'base64')
  const databaseChecksum = BigInt(plan.databaseChecksum)
  const outcome = await new Ledger(log, head).append(buildClaim({ head, databaseChecksum, page1, ...facts }))
  const owner = outcome.kind === 'stored' ? nodeId : outcome.by.nodeId
  return { kind: outcome.kind, owner: String(owner), version: head.version + 1 }
}

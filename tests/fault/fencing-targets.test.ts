/*
 * Goal: on every real server one log has one owner: of 20 that claim at the same moment one wins; in a
 * deploy under load nothing that was acknowledged is lost, and what the loser had not stored is a branch.
 * Method: Ceph, PostgreSQL direct and through pgbouncer, OpenSSH and Apache, started once; claimers, apps
 * and keepers in processes of their own. Longer: `npm run proof -- deploy --rounds 20 --on s3`.
 */
import * as fs from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { REMOTE_KINDS, RemoteServers, remoteLeftOut, withLog } from '../support/remote-places.ts'
import { prepareRace, raceForClaims } from './claim-race.ts'
import { deployRound } from './deploy-round.ts'

const CLAIMERS = 20
const ROUNDS = 2
const OVERLAP_MS = 800

let servers: RemoteServers
beforeAll(async () => {
  servers = await RemoteServers.start()
}, 180_000)
afterAll(() => servers?.stop())

const missing = REMOTE_KINDS.map((kind) => remoteLeftOut[kind]).join('')

it(`20 claimers at the same moment: exactly one owns the version, and all others are told who${missing}`, {
  timeout: 180_000,
}, async () => {
  const kinds = REMOTE_KINDS.filter((kind) => servers.has(kind))
  const folder = fs.mkdtempSync(join(tmpdir(), 'kvar-race-'))
  try {
    const plan = await prepareRace(kinds.map((kind) => servers.place(kind)))
    const answers = await raceForClaims(plan, { claimers: CLAIMERS, rounds: ROUNDS, folder })
    for (const [index, kind] of kinds.entries()) {
      for (const told of answers[index] ?? []) {
        expect(told.filter((answer) => answer.kind === 'stored').length, kind).toBe(1)
        expect(new Set(told.map((answer) => answer.owner)).size, `${kind}: all name one owner`).toBe(1)
      }
      const [place, last] = [plan.places[index], answers[index]?.at(-1)?.[0]]
      if (place === undefined || last === undefined) throw new Error('a race without an answer')
      const head = await withLog(place, (log) => log.findHead())
      expect({ version: head?.version, owner: String(head?.nodeId) }).toEqual({
        version: last.version,
        owner: last.owner,
      })
    }
  } finally {
    fs.rmSync(folder, { recursive: true })
  }
})

describe('a deploy under load', () => {
  for (const kind of REMOTE_KINDS) {
    const leftOut = remoteLeftOut[kind]
    it.skipIf(leftOut !== '').concurrent(
      `on ${kind}: the new instance takes over, and nothing is lost${leftOut}`,
      { timeout: 240_000 },
      async ({ expect: check }) => {
        const options = {
          place: servers.place(kind),
          overlapMs: OVERLAP_MS,
          rolledBack: false,
          startsAgain: kind === 's3',
        }
        const { acknowledged, branches } = await deployRound(options)
        check(acknowledged.old).toBeGreaterThan(0)
        check(acknowledged.new).toBeGreaterThan(0)
        check(branches).toBeGreaterThan(0)
      },
    )
  }

  for (const kind of ['s3', 'postgres'] as const) {
    const leftOut = remoteLeftOut[kind]
    it.skipIf(leftOut !== '').concurrent(
      `on ${kind}, rolled back: the old instance takes the log back${leftOut}`,
      { timeout: 240_000 },
      async ({ expect: check }) => {
        const options = { place: servers.place(kind), overlapMs: 500, rolledBack: true, startsAgain: false }
        check(await deployRound(options)).toMatchObject({ branches: 0, acknowledged: { new: 0 } })
      },
    )
  }
})

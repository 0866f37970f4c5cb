import { spawn } from 'node:child_process'
import * as fs from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { createLineage } from '../../packages/kvar/src/log/lineage.ts'
import { History, LINEAGE } from '../support/log-history.ts'
import { type RemotePlace, withLog } from '../support/remote-places.ts'

/** What every claimer is told. */
export interface RacePlan {
  places: RemotePlace[]
  page1: string
  databaseChecksum: string
  lineage: string
}

export interface ClaimAnswer {
  kind: 'stored' | 'fenced'
  /** Node id of whoever owns the contested version, as this claimer was told. */
  owner: string
  version: number
}

/** Lays a short log at each place and says what a claim after it has to hold. */
export async function prepareRace(places: RemotePlace[]): Promise<RacePlan> {
  const history = new History({ seed: 5 }).grow(3)
  for (const place of places)
    await withLog(place, async (log) => {
      await createLineage(log.target, { lineage: LINEAGE.toString(16).padStart(16, '0'), createdAtMs: 1 })
      for (const cut of history.cuts) await log.append(cut.version, cut.bytes, cut.timestampMs)
    })
  const newest = history.cuts.at(-1)
  const image = history.images.at(-1)
  if (newest === undefined || image === undefined) throw new Error('a history without versions')
  return {
    places,
    page1: Buffer.from(image.subarray(0, history.pageSize)).toString('base64'),
    databaseChecksum: String(newest.databaseChecksum),
    lineage: String(LINEAGE),
  }
}

/**
 * Lets processes claim the next version of each place at the same moment, `rounds` times.
 *
 * @returns by place and round, what each claimer was told
 */
export async function raceForClaims(
  plan: RacePlan,
  options: { claimers: number; rounds: number; folder: string },
): Promise<ClaimAnswer[][][]> {
  const planPath = join(options.folder, 'race.json')
  fs.writeFileSync(planPath, JSON.stringify(plan), { mode: 0o600 })
  const claimers = Array.from({ length: options.claimers }, (_, number) => startClaimer(planPath, number))
  try {
    await Promise.all(claimers.map(({ next }) => next()))
    const answers: ClaimAnswer[][][] = plan.places.map(() => [])
    for (let round = 0; round < options.rounds; round++) {
      await askAll(claimers, 'look')
      for (const [index, told] of answers.entries())
        told.push((await askAll(claimers, `go ${index}`)).map((line) => JSON.parse(line) as ClaimAnswer))
    }
    return answers
  } finally {
    for (const { child } of claimers) child.kill('SIGKILL')
  }
}

function startClaimer(planPath: string, number: number) {
  const script = join(import.meta.dirname, 'claim-racer.ts')
  const child = spawn(process.execPath, [script, planPath, String(number)], {
    stdio: ['pipe', 'pipe', 'inherit'],
  })
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  const next = async (): Promise<string> => {
    const { value, done } = await lines.next()
    if (done) throw new Error(`claimer ${number} has ended`)
    return value
  }
  return { child, next }
}

/** Everybody is told before anybody is waited for. */
function askAll(claimers: Array<ReturnType<typeof startClaimer>>, line: string): Promise<string[]> {
  for (const { child } of claimers) child.stdin.write(`${line}\n`)
  return Promise.all(claimers.map(({ next }) => next()))
}

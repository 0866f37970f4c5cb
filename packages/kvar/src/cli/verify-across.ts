import { StateStore } from '../keeper/state-store.ts'
import type { Finding } from '../log/verify-findings.ts'
import { VersionLog } from '../log/version-log.ts'
import type { Platform } from '../platform/platform.ts'
import type { KeeperSettings } from '../settings/keeper-settings.ts'
import { stateFolder } from '../settings/names.ts'
import type { TargetOutcome } from './verify.ts'

/** The newest version that a keeper on this disk saw confirmed, by target; none is known after a wipe. */
export async function readNotedVersions(
  settings: KeeperSettings,
  platform: Platform,
): Promise<Record<string, number>> {
  try {
    const saved = await new StateStore(stateFolder(settings.databasePath), platform).load()
    const targets = Object.entries(saved?.memory.targets ?? {})
    return Object.fromEntries(targets.map(([url, { version }]) => [url, version]))
  } catch {
    // A cache that cannot be read says nothing.
    return {}
  }
}

/**
 * What no target can say of itself: that its newest versions are gone. The other targets and the notes
 * of the keeper know. What is found is added to the reports.
 */
export async function compareTargets(
  outcomes: TargetOutcome[],
  noted: Record<string, number>,
): Promise<Finding[]> {
  const [ledger, ...followers] = outcomes
  const found: Finding[] = []
  const add = (outcome: TargetOutcome, finding: Finding | undefined) => {
    if (finding === undefined) return
    outcome.report?.findings.push(finding)
    found.push(finding)
  }
  for (const outcome of outcomes)
    add(outcome, lostNewest(outcome, noted[outcome.target.url] ?? 0, 'this machine noted'))
  for (const follower of followers) {
    const theirs = follower.report?.newestVersion ?? 0
    if (ledger !== undefined) add(ledger, lostNewest(ledger, theirs, `${follower.target.url} holds`))
    if (ledger !== undefined) add(follower, await otherHistory(ledger, follower))
  }
  return found
}

function lostNewest({ report }: TargetOutcome, known: number, who: string): Finding | undefined {
  if (report === undefined || report.newestVersion >= known) return undefined
  if (report.findings.some((one) => one.kind === 'missing' && one.lost !== null && one.lost.to >= known))
    return undefined
  const lost = { from: report.newestVersion + 1, to: known }
  return {
    ...{ kind: 'missing', severity: 'damage', target: report.target, key: null, lost },
    nearestVersion: report.restorableVersion,
    sentence: `The newest versions are missing on ${report.target}: ${who} version ${known}, and the log there ends with ${report.newestVersion}`,
  }
}

/** A follower holds a prefix of the ledger's log (R3): at the newest version of both they must be the same. */
async function otherHistory(ledger: TargetOutcome, follower: TargetOutcome): Promise<Finding | undefined> {
  if (ledger.report === undefined || follower.report === undefined) return undefined
  const version = Math.min(ledger.report.newestVersion, follower.report.newestVersion)
  if (version === 0) return undefined
  const [ours, theirs] = await Promise.all([infoOf(ledger, version), infoOf(follower, version)])
  const isSame = ours?.databaseChecksum === theirs?.databaseChecksum && ours?.nodeId === theirs?.nodeId
  if (ours === undefined || theirs === undefined || isSame) return undefined
  return {
    ...{ kind: 'disorder', severity: 'damage', target: follower.report.target, key: null },
    ...{ lost: null, nearestVersion: null },
    sentence: `Version ${version} on ${follower.report.target} is not the ledger’s: the keeper keeps it as a branch and takes the ledger’s as soon as it runs`,
  }
}

async function infoOf({ target }: TargetOutcome, version: number) {
  // A damaged header was found before.
  return new VersionLog(await target.open()).readVersionInfo(version).catch(() => undefined)
}

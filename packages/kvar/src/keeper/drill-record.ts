import { join } from 'node:path'
import type { KvarErrorJson } from '../errors.ts'
import { writeFileAtomically } from '../platform/files.ts'
import type { Platform } from '../platform/platform.ts'

/*
 * What was proved, and when: `.NAME-kvar/proofs.json`. Like everything there it is a cache (R10):
 * losing it costs a drill. It is a file of its own because `kvar verify --restore` writes it too,
 * when no keeper runs.
 */

const FORMAT = 1
const NAME = 'proofs.json'

/** A rehearsed restore that was carried out to its end, well or badly. Times in milliseconds since 1970. */
export interface DrillReport {
  atMs: number
  /** The target it was restored from. */
  target: string
  /** The newest version first, then the older one, if there is one. */
  versions: number[]
  /** How long the newest version took, with all its checks. */
  durationMs: number
  sizeBytes: number
  problem: KvarErrorJson | null
}

/** A reading of the whole database. */
export interface ScrubReport {
  atMs: number
  pages: number
  drifted: number
  durationMs: number
}

/** Pages that had changed without a commit, until both checks have found everything well again. */
export interface DriftReport {
  foundAtMs: number
  pages: number
  firstPage: number | null
  /** The newest version that shows the content from before; 0 for none. */
  lastGoodVersion: number
  /** A drill has proved the log since. */
  proved: boolean
}

export interface ProofRecord {
  format: number
  lineage: string
  /** Drills carried out: targets take turns. */
  drills: number
  drill: DrillReport | null
  /** The newest drill in which everything was identical. */
  proved: DrillReport | null
  /** The newest drill of each target, by URL, if it failed. */
  failed: Record<string, DrillReport>
  scrub: ScrubReport | null
  drift: DriftReport | null
  /** The newest drift that is over, to be told for a while. */
  pastDrift: DriftReport | null
}

export function emptyRecord(lineage: string): ProofRecord {
  const nothing = { drill: null, proved: null, scrub: null, drift: null, pastDrift: null }
  return { format: FORMAT, lineage, drills: 0, failed: {}, ...nothing }
}

/** What was noted about this database; an empty record where nothing (readable) was. */
export async function loadRecord(folder: string, lineage: string, platform: Platform): Promise<ProofRecord> {
  try {
    const bytes = await platform.files.readFile(join(folder, NAME))
    if (bytes === undefined) return emptyRecord(lineage)
    const record = JSON.parse(new TextDecoder().decode(bytes)) as ProofRecord
    const fits = record.format === FORMAT && record.lineage === lineage && Number.isSafeInteger(record.drills)
    return fits ? { ...emptyRecord(lineage), ...record } : emptyRecord(lineage)
  } catch {
    return emptyRecord(lineage)
  }
}

export function saveRecord(folder: string, record: ProofRecord, platform: Platform): Promise<void> {
  const path = join(folder, NAME)
  return writeFileAtomically(platform.files, path, JSON.stringify(record), { durable: false })
}

/** Notes a drill: a good one is remembered for as long as no better one follows. */
export function noteDrill(record: ProofRecord, report: DrillReport): void {
  record.drills += 1
  record.drill = report
  if (report.problem !== null) {
    record.failed[report.target] = report
    return
  }
  delete record.failed[report.target]
  record.proved = report
  if (record.drift !== null) record.drift.proved = true
}

/** Notes pages that changed without a commit; what was proved before says nothing of them. */
export function noteDrift(record: ProofRecord, drift: Omit<DriftReport, 'proved'>): void {
  const { drift: before } = record
  const lastGoodVersion = before === null ? drift.lastGoodVersion : before.lastGoodVersion
  record.drift = { ...drift, pages: drift.pages + (before?.pages ?? 0), lastGoodVersion, proved: false }
}

/** Notes a scrub: drift lasts until a clean one that follows a proved drill (R6). */
export function noteScrub(record: ProofRecord, report: ScrubReport): void {
  record.scrub = report
  if (report.drifted > 0 || record.drift?.proved !== true) return
  record.pastDrift = record.drift
  record.drift = null
}

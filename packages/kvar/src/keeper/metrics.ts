import { basename } from 'node:path'
import type { KeeperState, KeeperStatus, Safety } from './status.ts'

/*
 * The status as Prometheus reads it: text exposition format 0.0.4. Everything is asked for at the moment
 * of the question, so a keeper that nobody asks counts nothing (docs/decisions/040-metrics-by-hand.md).
 */

export const METRICS_TYPE = 'text/plain; version=0.0.4; charset=utf-8'

const SAFETIES: Record<Safety, true> = { safe: true, late: true, 'only-here': true, 'not-safe': true }
const STATES: Record<KeeperState, true> = {
  starting: true,
  waiting: true,
  protecting: true,
  stale: true,
  fenced: true,
  closing: true,
}

export interface OwnUsage {
  residentBytes: number
  cpuSeconds: number
}

interface Sample {
  labels?: Record<string, string>
  /** Null: not known yet, so the line is left out. */
  value: number | null
}

/**
 * All metrics of one keeper. docs/MONITORING.md lists them; a test holds it to that.
 *
 * @example
 * metricsText(keeper.status(), ownUsage()) // '# HELP kvar_info …\n# TYPE kvar_info gauge\nkvar_info{…} 1\n…'
 */
export function metricsText(status: KeeperStatus, usage: OwnUsage): string {
  return [
    ...generalMetrics(status),
    ...targetMetrics(status),
    ...copyMetrics(status),
    ...checkMetrics(status),
    gauge('process_resident_memory_bytes', 'Memory of the keeper', [{ value: usage.residentBytes }]),
    counter('process_cpu_seconds_total', 'Processor time of the keeper', usage.cpuSeconds),
    gauge('process_start_time_seconds', 'When the keeper started', [
      { value: seconds(status.keeper.startedAt) },
    ]),
  ].join('')
}

function generalMetrics(status: KeeperStatus): string[] {
  const info = { database: basename(status.database), version: status.keeper.version }
  return [
    gauge('kvar_info', 'Which database, and which Kvar', [{ labels: info, value: 1 }]),
    oneOf('kvar_safety', 'The verdict: the one that holds is 1', 'safety', SAFETIES, status.safety),
    oneOf('kvar_state', 'What the keeper does: the one that holds is 1', 'state', STATES, status.state),
    gauge('kvar_problem', 'Something is wrong (kvar status says what)', [
      { value: status.problem === null ? 0 : 1 },
    ]),
    gauge('kvar_version', 'Newest version cut', [{ value: status.version }]),
    gauge('kvar_durable_version', 'Newest version confirmed by the ledger', [
      { value: status.durableVersion },
    ]),
    gauge('kvar_confirmed_timestamp_seconds', 'When a version was last confirmed', [
      { value: seconds(status.confirmedAt) },
    ]),
    gauge('kvar_stored_up_to_timestamp_seconds', 'Everything committed before this is durable', [
      { value: seconds(status.storedUpTo) },
    ]),
    gauge('kvar_waiting_seconds', 'How long the oldest commit that is not durable has waited', [
      { value: status.waitingMs / 1000 },
    ]),
    gauge('kvar_pending_pages', 'Pages changed since the last cut', [{ value: status.pendingPages }]),
    gauge('kvar_branches', 'Contents put aside', [{ value: status.branches }]),
    gauge('kvar_notes', 'Sentences worth reading in kvar status', [{ value: status.notes.length }]),
  ]
}

function targetMetrics({ targets }: KeeperStatus): string[] {
  const each = (read: (target: KeeperStatus['targets'][number]) => number | null): Sample[] =>
    targets.map((target) => ({ labels: { target: target.url, role: target.role }, value: read(target) }))
  return [
    gauge(
      'kvar_target_up',
      'The target answered last time',
      each((one) => (one.problem === null ? 1 : 0)),
    ),
    gauge(
      'kvar_target_version',
      'Newest version it has confirmed',
      each((one) => one.version),
    ),
    gauge(
      'kvar_target_behind_seconds',
      'Age of the oldest durable version it lacks',
      each((one) => one.behindMs / 1000),
    ),
    gauge(
      'kvar_target_confirmed_timestamp_seconds',
      'When it last confirmed one',
      each((one) => seconds(one.confirmedAt)),
    ),
  ]
}

function copyMetrics({ copies }: KeeperStatus): string[] {
  const each = (read: (copy: KeeperStatus['copies'][number]) => number | null): Sample[] =>
    copies.map((copy) => ({ labels: { copy: copy.kind }, value: read(copy) }))
  return [
    gauge(
      'kvar_copy_version',
      'The version a copy shows',
      each((one) => one.version),
    ),
    gauge(
      'kvar_copy_written_timestamp_seconds',
      'When it was written',
      each((one) => seconds(one.writtenAt)),
    ),
  ]
}

function checkMetrics({ drill, provedDrill, scrub }: KeeperStatus): string[] {
  const identical = drill === null ? null : drill.result === 'identical' ? 1 : 0
  return [
    gauge('kvar_drill_identical', 'The newest rehearsed restore was identical', [{ value: identical }]),
    gauge('kvar_drill_timestamp_seconds', 'When it was', [{ value: seconds(drill?.at ?? null) }]),
    gauge('kvar_drill_proved_timestamp_seconds', 'When one was last identical', [
      { value: seconds(provedDrill?.at ?? null) },
    ]),
    gauge('kvar_drill_proved_duration_seconds', 'How long that restore took', [
      { value: provedDrill === null ? null : provedDrill.durationMs / 1000 },
    ]),
    gauge('kvar_scrub_timestamp_seconds', 'When the whole database was last read', [
      { value: seconds(scrub?.at ?? null) },
    ]),
    gauge('kvar_scrub_drifted_pages', 'Pages that had changed without a commit', [
      { value: scrub?.drifted ?? null },
    ]),
  ]
}

function oneOf(name: string, help: string, label: string, all: Record<string, true>, holds: string): string {
  return gauge(
    name,
    help,
    Object.keys(all).map((one) => ({ labels: { [label]: one }, value: one === holds ? 1 : 0 })),
  )
}

function gauge(name: string, help: string, samples: Sample[]): string {
  return metric(name, 'gauge', help, samples)
}

function counter(name: string, help: string, value: number): string {
  return metric(name, 'counter', help, [{ value }])
}

function metric(name: string, type: string, help: string, samples: Sample[]): string {
  const lines = samples.flatMap(({ labels, value }) =>
    value === null ? [] : `${name}${labelText(labels)} ${value}\n`,
  )
  return lines.length === 0 ? '' : `# HELP ${name} ${help}.\n# TYPE ${name} ${type}\n${lines.join('')}`
}

function labelText(labels: Record<string, string> | undefined): string {
  if (labels === undefined) return ''
  const pairs = Object.entries(labels).map(([name, value]) => `${name}="${escaped(value)}"`)
  return `{${pairs.join(',')}}`
}

function escaped(value: string): string {
  return value.replaceAll('\\', '\\\\').replaceAll('\n', '\\n').replaceAll('"', '\\"')
}

function seconds(iso: string | null): number | null {
  return iso === null ? null : Date.parse(iso) / 1000
}

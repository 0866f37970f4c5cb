import { resolve } from 'node:path'
import { KvarError } from '../errors.ts'
import type { RestoreWant } from '../log/restore-plan.ts'
import { readEnvironment } from '../platform/environment.ts'
import type { GlobalOptions } from './global-options.ts'
import { parseTime } from './parse-time.ts'
import type { Invocation } from './verb.ts'

export interface RestoreOptions {
  version?: string
  before?: string
  to?: string
  from?: 'target' | 'json' | 'backup'
  branch?: string
  dryRun?: boolean
  force?: boolean
}

/** What a restore is to bring back, read from the options once. */
export interface RestoreRequest {
  want: RestoreWant
  from: 'target' | 'json' | 'backup'
  branch: string | undefined
  /** Absolute; undefined: into the database itself. */
  to: string | undefined
  dryRun: boolean
  force: boolean
}

/** @throws KvarError `USAGE` for options that contradict each other or cannot be read */
export function readRequest({ options, platform }: Invocation<RestoreOptions>): RestoreRequest {
  const { version, before, branch, from = 'target', to } = options
  const wanted = { '--version': version, '--before': before, '--branch': branch }
  const said = Object.entries(wanted).flatMap(([name, value]) => (value === undefined ? [] : [name]))
  if (said.length > 1) throw contradiction(said.join(' and '), 'say which one is meant')
  if (said.length === 1 && from !== 'target') {
    throw contradiction(`${said[0]} and --from ${from}`, 'a copy holds one state only; leave one of them out')
  }
  return {
    want: readWant(version, before, platform.clock.nowMs()),
    from,
    branch,
    to: to === undefined ? undefined : resolve(readEnvironment().workingFolder, to),
    dryRun: options.dryRun === true,
    force: options.force === true,
  }
}

function readWant(version: string | undefined, before: string | undefined, nowMs: number): RestoreWant {
  if (version !== undefined) return { kind: 'version', version: readVersion(version) }
  return before === undefined ? { kind: 'latest' } : { kind: 'before', timeMs: parseTime(before, nowMs) }
}

function readVersion(text: string): number {
  const version = Number(text)
  if (/^\d+$/.test(text) && version > 0 && Number.isSafeInteger(version)) return version
  throw new KvarError('USAGE', `${JSON.stringify(text.slice(0, 80))} is no version`, {
    hint: 'versions are numbered 1, 2, 3 …; kvar versions lists them',
  })
}

function contradiction(what: string, hint: string): KvarError {
  return new KvarError('USAGE', `${what} contradict each other`, { hint })
}

/** The command that brings a version back, for people to copy; it names what this command line named. */
export function restoreCommand(options: GlobalOptions, what: string): string {
  const named = [
    ...(options.db === undefined ? [] : ['--db', options.db]),
    ...(options.target ?? []).flatMap((url) => ['--target', url]),
  ]
  return ['kvar', 'restore', what, ...named.map(quoted)].join(' ')
}

function quoted(word: string): string {
  return /^[\w./:@%+=,-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`
}

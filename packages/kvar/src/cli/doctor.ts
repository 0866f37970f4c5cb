import { join } from 'node:path'
import type { Command } from 'commander'
import { EXIT_CODES, type KvarError } from '../errors.ts'
import { loadSettings } from '../keeper/load-settings.ts'
import { readEnvironment } from '../platform/environment.ts'
import type { KeeperSettings } from '../settings/keeper-settings.ts'
import { unlessCancelled } from './cancelled.ts'
import { checkDatabase, checkDisk, checkMachine, checkState } from './doctor-here.ts'
import { checkKeeper } from './doctor-keeper.ts'
import { checkTargets } from './doctor-targets.ts'
import type { Output } from './output.ts'
import { type Act, examples, type Invocation } from './verb.ts'
import { countText } from './words.ts'

/** One thing that was looked at, in words. */
export interface Check {
  subject: 'machine' | 'database' | 'disk' | 'state' | 'keeper' | 'target'
  /** `care`: works, but is worth knowing · `bad`: has to be mended. */
  state: 'good' | 'care' | 'bad'
  sentence: string
  /** What to do about it. */
  mend: string | null
  /** For `bad`: the exit code that names the kind of trouble. */
  code: KvarError['code'] | null
}

export function configure(command: Command, act: Act): void {
  command
    .argument('[target-url]', 'look at this target only')
    .addHelpText('after', examples('kvar doctor', 'kvar doctor folder:/mnt/nas/app'))
    .action(act(doctor))
}

async function doctor(invocation: Invocation): Promise<number> {
  const { operands, signal } = invocation
  const [url] = operands
  const checks =
    url === undefined ? everything(invocation) : checkTargets(invocation, await targetOnly(invocation, url))
  return unlessCancelled(tell(invocation.out, checks), signal)
}

async function* everything(invocation: Invocation): AsyncGenerator<Check> {
  const settings = await invocation.settings()
  const { platform } = invocation
  yield* checkMachine(settings, platform)
  yield* checkDatabase(settings, platform)
  yield* checkDisk(settings, platform)
  yield* checkState(settings, platform)
  yield* checkKeeper(invocation, settings)
  yield* checkTargets(invocation, settings)
}

/** A target can be looked at before there is any database. */
async function targetOnly(invocation: Invocation, url: string): Promise<KeeperSettings> {
  const databasePath = invocation.options.db ?? join(readEnvironment().workingFolder, 'app.db')
  return loadSettings({ databasePath, options: { targets: [url] }, optionsFrom: 'command-line' })
}

const MARKS: Record<Check['state'], string> = { good: 'ok', care: 'look', bad: 'MEND' }

async function tell(out: Output, checks: AsyncGenerator<Check>): Promise<number> {
  const bad: Check[] = []
  let all = 0
  for await (const check of checks) {
    all += 1
    if (check.state === 'bad') bad.push(check)
    out.lines([
      `${MARKS[check.state].padEnd(4)}  ${check.sentence}`,
      ...(check.mend === null ? [] : [`      ${check.mend}`]),
    ])
    out.document({ event: 'check', ...check })
  }
  const sentence =
    bad.length === 0 ? 'All is well.' : `${countText(bad.length, 'thing')} to mend of ${all} looked at.`
  const exitCode = bad[0]?.code === null || bad[0] === undefined ? 0 : EXIT_CODES[bad[0].code]
  out.lines([sentence])
  out.summary({ exitCode, sentence, checks: all, bad: bad.length })
  return exitCode
}

export function good(subject: Check['subject'], sentence: string): Check {
  return { subject, state: 'good', sentence, mend: null, code: null }
}

export function care(subject: Check['subject'], sentence: string, mend: string | null = null): Check {
  return { subject, state: 'care', sentence, mend, code: null }
}

/** Any failure as something to mend. */
export function bad(subject: Check['subject'], error: KvarError): Check {
  const { code, message, hint } = error
  return { subject, state: 'bad', sentence: `${message}.`, mend: hint ?? null, code }
}

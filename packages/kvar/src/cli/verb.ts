import type { Command } from 'commander'
import type { Platform } from '../platform/platform.ts'
import type { KeeperSettings } from '../settings/keeper-settings.ts'
import type { GlobalOptions } from './global-options.ts'
import type { Output } from './output.ts'

/** One call of the command line, as a verb sees it. */
export interface Invocation<Options extends object = object> {
  options: Options & GlobalOptions
  operands: string[]
  out: Output
  platform: Platform
  /** Settings are read when a verb asks for them, so that `--help` never fails over them. */
  settings(): Promise<KeeperSettings>
  /** Aborted by Ctrl-C or SIGTERM, from the first time a verb asks for it. */
  readonly signal: AbortSignal
}

/** Does the work; answers the exit code. Failures are thrown. */
export type Handler<Options extends object> = (invocation: Invocation<Options>) => Promise<number>

/** Makes a handler into an action of commander. */
export type Act = <Options extends object>(
  handler: Handler<Options>,
) => (...received: unknown[]) => Promise<void>

/** What the file of a verb exports. */
export interface VerbModule {
  /** Adds arguments, options, examples and the action. */
  configure(command: Command, act: Act): void
}

/** Examples at the end of a verb's help. */
export function examples(...lines: string[]): string {
  const title = lines.length === 1 ? 'Example' : 'Examples'
  return `\n${title}:\n${lines.map((line) => `  ${line}`).join('\n')}\n`
}

import { Command, CommanderError } from 'commander'
import { EXIT_CODES, KvarError } from '../errors.ts'
import type { Platform } from '../platform/platform.ts'
import { VERSION } from '../settings/version.ts'
import { explainError } from './explain-error.ts'
import { addGlobalOptions, type GlobalOptions, settingsOf } from './global-options.ts'
import { Output, type TextSink } from './output.ts'
import { type Act, examples } from './verb.ts'
import { findVerb, VERBS } from './verbs.ts'

/** What of the process a command line needs. */
export interface CommandLineWorld {
  platform: Platform
  stdout: TextSink
  stderr: TextSink
  colour: boolean
  /** Aborted when somebody wants the work to end; handlers are installed by the first call. */
  cancelSignal(): AbortSignal
}

/**
 * Reads an argument list and does what it says.
 *
 * @returns the exit code
 */
export async function runProgram(commandLine: string[], world: CommandLineWorld): Promise<number> {
  let exitCode = 0
  // Before options are read, errors already have to know whether a program is listening.
  let out = outputFor({ json: beforeCommand(commandLine).includes('--json') }, world)
  const act: Act =
    (handler) =>
    async (...received) => {
      const command = received.at(-1) as Command
      const options: GlobalOptions = { ...program.opts<GlobalOptions>(), ...command.opts<GlobalOptions>() }
      out = outputFor(options, world)
      exitCode = await handler({
        // Each verb declares the options that it reads, and adds them to the command.
        options: options as never,
        operands: command.args,
        out,
        platform: world.platform,
        settings: () => settingsOf(options, world.platform.files),
        get signal() {
          return world.cancelSignal()
        },
      })
    }
  const program = await buildProgram(commandLine, act, world)
  try {
    if (commandLine.length === 0) program.help({ error: true })
    await program.parseAsync(commandLine, { from: 'user' })
    return exitCode
  } catch (thrown) {
    if (thrown instanceof CommanderError && thrown.exitCode === 0) return 0
    if (thrown instanceof CommanderError && thrown.code === 'commander.help') return EXIT_CODES.USAGE
    const error = thrown instanceof CommanderError ? usageError(thrown, commandLine) : explainError(thrown)
    out.error(error)
    return EXIT_CODES[error.code]
  }
}

function outputFor(options: GlobalOptions, { stdout, stderr, colour }: CommandLineWorld): Output {
  return new Output({ json: options.json === true, quiet: options.quiet === true, colour, stdout, stderr })
}

/** Behind `--` the words belong to somebody else's command. */
function beforeCommand(commandLine: string[]): string[] {
  const end = commandLine.indexOf('--')
  return end < 0 ? commandLine : commandLine.slice(0, end)
}

async function buildProgram(commandLine: string[], act: Act, world: CommandLineWorld): Promise<Command> {
  const program = new Command('kvar')
    .description('Keeps a SQLite database alive on hosts that throw their disk away.')
    .version(VERSION)
    .enablePositionalOptions()
    .exitOverride()
    .configureOutput({
      writeOut: (text) => world.stdout.write(text),
      writeErr: (text) => world.stderr.write(text),
      // Thrown errors are printed in one place, in one form.
      outputError: () => undefined,
    })
    .addHelpText(
      'after',
      examples('KVAR_DB=app.db KVAR_TARGETS=folder:/mnt/nas/app kvar run -- python3 app.py'),
    )
    .addHelpText('after', EXIT_CODE_HELP)
  addGlobalOptions(program)
  const named = findVerb(commandLine)
  for (const verb of VERBS) {
    const command = program.command(verb.name).description(verb.summary)
    if (verb.name !== named) continue
    ;(await verb.load()).configure(command, act)
    addGlobalOptions(command)
  }
  return program
}

const EXIT_CODE_HELP = `
Exit codes:
  0 all is well · 1 error · 2 usage or setting · 3 partly done · 4 not found · 5 temporary, try again
  7 needs you · 10 no backup there · 11 held by another process · 20 damage found · 130 cancelled
`

/** Commander's words in our form; values are left out, because one of them may be a mistyped secret. */
function usageError(thrown: CommanderError, commandLine: string[]): KvarError {
  const [first = '', ...rest] = thrown.message.replace(/^error: /, '').split('\n')
  const sentence = first.replaceAll(/'(--[\w-]+)=[^']*'/g, "'$1'").replaceAll(/\/\/[^\s'@]*@/g, '//…@')
  const near = /^\(Did you mean (.*)\?\)$/.exec(rest.join(' '))?.[1]
  const verb = findVerb(commandLine)
  const isVerb = VERBS.some(({ name }) => name === verb)
  const help = isVerb ? `kvar ${verb} --help` : 'kvar --help'
  const hint = near === undefined ? `see ${help}` : `did you mean ${near}? See ${help}`
  return new KvarError('USAGE', sentence.charAt(0).toUpperCase() + sentence.slice(1), { hint })
}

import type { Command } from 'commander'
import { EXIT_CODES, KvarError } from '../errors.ts'
import { KeeperClient } from '../keeper/client.ts'
import { sleep } from '../platform/clock.ts'
import { exitCodeOfSignal, type RunningCommand, runCommand } from '../platform/processes.ts'
import { explainError } from './explain-error.ts'
import type { Output } from './output.ts'
import { Progress } from './progress.ts'
import { SignalRelay } from './signal-relay.ts'
import { type Act, examples, type Invocation } from './verb.ts'

/** A command that was told to end because another keeper took over gets this long. */
const FENCED_KILL_MS = 10_000
/** The keeper itself gives up after 8 s (hosts kill after 10); this only guards against one that hangs. */
const CLOSE_LIMIT_MS = 9000
const PARTLY_DONE = 3

export function configure(command: Command, act: Act): void {
  command
    .usage('[options] -- COMMAND [ARGUMENTS…]')
    .argument('<command...>', 'the app and its arguments')
    .passThroughOptions()
    .addHelpText(
      'after',
      examples(
        'kvar run --db app.db --target folder:/mnt/nas/app -- python3 app.py',
        'exec kvar run -- node server.js      # as the first process of a container',
      ),
    )
    .addHelpText('after', EXIT_HELP)
    .action(act(run))
}

const EXIT_HELP = `
The exit code is the command's own (128 + the signal if it died of one). If it was 0 and the last
commits could not be stored: 3. If another keeper took the database over: 11. If the database was not
ready, the command is not started, and the error has its own code.
`

async function run(invocation: Invocation): Promise<number> {
  const relay = new SignalRelay()
  try {
    return await new ProtectedRun(invocation, relay).run()
  } catch (thrown) {
    // Said here and not by whoever called us: standard output is the app's, in every form.
    const error = explainError(thrown)
    invocation.out.onStderr().error(error)
    return EXIT_CODES[error.code]
  } finally {
    relay.stop()
  }
}

/** One app under protection, from the restore before its start to the flush after its end. */
class ProtectedRun {
  readonly #invocation: Invocation
  /** Standard output is the app's. */
  readonly #out: Output
  readonly #relay: SignalRelay
  #command: RunningCommand | undefined
  #fencedBy: KvarError | undefined
  #isOnlyHere = false

  constructor(invocation: Invocation, relay: SignalRelay) {
    this.#invocation = invocation
    this.#out = invocation.out.onStderr()
    this.#relay = relay
  }

  async run(): Promise<number> {
    const opened = await Promise.race([this.#open(), this.#relay.askedToEnd])
    // Nothing has begun yet: the keeper finishes or drops what it was doing by itself.
    if (typeof opened === 'string') return exitCodeOfSignal(opened)
    const exitCode = await this.#runCommand(opened)
    const left = await this.#close(opened)
    return this.#report(exitCode, left)
  }

  async #open(): Promise<KeeperClient> {
    const { platform } = this.#invocation
    const progress = new Progress(this.#out, platform.clock, 'kvar: restoring')
    const told: string[] = []
    const tell = (sentence: string) => {
      progress.end()
      if (!told.includes(sentence)) this.#out.tell(this.#out.json ? sentence : `kvar: ${sentence}`)
      told.push(sentence)
    }
    let isOpening = true
    const client = await KeeperClient.open({
      settings: await this.#invocation.settings(),
      platform,
      role: 'app',
      onTell: (sentence) => isOpening && tell(sentence),
      onProgress: progress.update,
      onFenced: (error) => this.#onFenced(error),
    })
    isOpening = false
    if (client.report !== undefined) tell(client.report.sentence)
    this.#isOnlyHere = (await client.call('status', {})).targets.every(({ sameDisk }) => sameDisk)
    return client
  }

  async #runCommand(client: KeeperClient): Promise<number> {
    const [name = '', ...commandArguments] = this.#invocation.operands
    try {
      this.#command = await runCommand(name, commandArguments)
    } catch (thrown) {
      await this.#close(client)
      throw thrown
    }
    this.#relay.to(this.#command)
    if (this.#fencedBy !== undefined) this.#end(this.#command)
    return this.#command.ended
  }

  #onFenced(error: KvarError): void {
    if (this.#fencedBy !== undefined) return
    this.#fencedBy = error
    if (this.#command !== undefined) this.#end(this.#command)
  }

  /** What the app writes from here on would be lost. */
  #end(command: RunningCommand): void {
    command.signal('SIGTERM')
    this.#invocation.platform.clock.startTimer(FENCED_KILL_MS, () => command.signal('SIGKILL'))
  }

  /** The last flush. Answers what could not be stored, or null. */
  async #close(client: KeeperClient): Promise<string | null> {
    const late = sleep(this.#invocation.platform.clock, CLOSE_LIMIT_MS).then(() => LATE)
    return Promise.race([client.close(), late]).catch((thrown) => explainError(thrown).message)
  }

  #report(exitCode: number, left: string | null): number {
    const result = this.#fencedBy !== undefined ? EXIT_CODES.FENCED : withLeft(exitCode, left)
    if (this.#fencedBy !== undefined) this.#out.error(this.#fencedBy)
    else if (left !== null) this.#out.error(notStored(left))
    else if (!this.#out.json) this.#out.tell(this.#isOnlyHere ? STORED_ONLY_HERE : STORED)
    this.#out.summary({ exitCode: result, commandExitCode: exitCode, stored: left === null, left })
    return result
  }
}

const STORED = 'kvar: everything is stored.'
const STORED_ONLY_HERE = 'kvar: everything is stored, but only on this machine: name a target elsewhere.'
const LATE = `the keeper did not answer within ${CLOSE_LIMIT_MS / 1000} s`

function withLeft(exitCode: number, left: string | null): number {
  return exitCode === 0 && left !== null ? PARTLY_DONE : exitCode
}

function notStored(left: string): KvarError {
  return new KvarError('UNREACHABLE', `The last changes are not stored away from here: ${left}`, {
    hint: 'keep this disk: they are stored at the next start on it',
  })
}

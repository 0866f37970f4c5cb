import { systemPlatform } from '../platform/system.ts'
import { runProgram } from './program.ts'

/*
 * The program `kvar`: hands the process's own things to the command line and leaves with its exit
 * code. bin/kvar.js loads the compiled form of this file.
 */
const cancel = new AbortController()
let isListening = false

/** The first signal asks the work to end in order; the second one has its usual effect. */
function cancelSignal(): AbortSignal {
  if (!isListening)
    for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => cancel.abort())
  isListening = true
  return cancel.signal
}

// Whoever reads our output may have read enough (`kvar versions | head`).
process.stdout.on('error', () => process.exit(0))

const { NO_COLOR, TERM } = process.env
const exitCode = await runProgram(process.argv.slice(2), {
  platform: systemPlatform,
  stdout: process.stdout,
  stderr: process.stderr,
  colour: (NO_COLOR === undefined || NO_COLOR === '') && TERM !== 'dumb',
  cancelSignal,
})
// A keeper that is still being asked must not hold us back; what was printed has to be out.
process.stdout.write('', () => process.stderr.write('', () => process.exit(exitCode)))

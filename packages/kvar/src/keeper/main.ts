import { systemPlatform } from '../platform/system.ts'
import { KeeperProcess } from './keeper-process.ts'

/*
 * The keeper's own program: `node main.js DATABASE`. It is started by the library or the command
 * line, never by hand. Everything but the path comes over the socket.
 */
const databasePath = process.argv[2]
if (databasePath === undefined) {
  process.stderr.write('error: the keeper is started by kvar, with the path of a database\n')
  process.exit(2)
}

const ends = { exit: (code: number) => process.exit(code) }
const keeperProcess = await KeeperProcess.open(databasePath, systemPlatform, ends)
if (keeperProcess === undefined) process.exit(11)

for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => keeperProcess.onSignal())
process.on('SIGHUP', () => undefined)
process.on('uncaughtExceptionMonitor', (thrown) => keeperProcess.onCrash(thrown))

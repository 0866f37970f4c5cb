import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { startCluster } from './ceph.ts'

/*
 * Runs a command, and gives all test files in it one Ceph instead of one each: it starts when the first of them asks
 * at `KVAR_TEST_CEPH`, and is stopped when the command has ended. The exit code is the command's.
 *
 *   node tests/servers/shared-ceph.ts PROGRAM ARGUMENTS…
 */

let starting: ReturnType<typeof startCluster> | undefined

const door = createServer((_request, response) => {
  starting ??= startCluster()
  starting.then(
    ({ cluster }) => response.end(JSON.stringify(cluster)),
    (thrown) => response.writeHead(500).end(String(thrown)),
  )
})
door.listen(0, '127.0.0.1')
await once(door, 'listening')

const [program = '', ...words] = process.argv.slice(2)
const { port } = door.address() as AddressInfo
const env = { ...process.env, KVAR_TEST_CEPH: `http://127.0.0.1:${port}/` }
const child = spawn(program, words, { stdio: 'inherit', env })
// A terminal sends Ctrl-C to the command as well: what was started is stopped after it.
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => child.kill(signal))
const [code] = (await once(child, 'exit')) as [number | null]
door.close()
door.closeAllConnections()
await starting?.then(({ stop }) => stop()).catch(() => undefined)
process.exitCode = code ?? 1

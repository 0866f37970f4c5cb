// A proxy before a server that can be shut, for as long as a test wants: it then refuses connections, as a
// machine without the server does, or takes them and says nothing, as a lame network does.

import { once } from 'node:events'
import * as net from 'node:net'

export type Gate = 'open' | 'refusing' | 'silent'

export interface GateProxy {
  port: number
  /** Holds for present and later connections. */
  set(gate: Gate): void
  /** Connections that were met while it was shut. */
  readonly turnedAway: number
  stop(): Promise<void>
}

/** Passes everything on to a port of the loopback while it is open. */
export async function startGateProxy(targetPort: number, first: Gate = 'open'): Promise<GateProxy> {
  const sockets = new Set<net.Socket>()
  let gate = first
  let turnedAway = 0
  const join = (near: net.Socket) => {
    const far = net.connect(targetPort, '127.0.0.1')
    for (const socket of [near, far]) keep(socket, () => [near, far].forEach((one) => void one.destroy()))
    near.on('data', (bytes) => gate === 'open' && far.write(bytes))
    far.on('data', (bytes) => gate === 'open' && near.write(bytes))
  }
  const keep = (socket: net.Socket, end: () => void) => {
    sockets.add(socket)
    socket.setNoDelay(true).on('error', end).on('close', end)
    socket.on('close', () => sockets.delete(socket))
  }
  const server = net.createServer((near) => {
    if (gate === 'open') return join(near)
    turnedAway += 1
    if (gate === 'refusing') near.destroy()
    else keep(near.resume(), () => near.destroy())
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const cut = () => {
    for (const socket of sockets) socket.destroy()
  }
  return {
    port: (server.address() as net.AddressInfo).port,
    set(next) {
      // What was said through a shut gate is lost, so those connections cannot go on.
      if (next === 'refusing' || (next === 'open' && gate === 'silent')) cut()
      gate = next
    },
    get turnedAway() {
      return turnedAway
    },
    async stop() {
      cut()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

// A proxy that keeps answers back and then cuts the connection: the server has done what it was asked,
// and whoever asked cannot know. For protocols whose content the proxy does not understand.

import { once } from 'node:events'
import * as net from 'node:net'

export interface HoldingProxy {
  port: number
  /** From now on nothing that the server says on the present connections arrives. */
  hold(): void
  /** Ends the present connections without a word. Later ones work as usual. */
  cut(): void
  stop(): Promise<void>
}

/** Passes everything on to a port of the loopback. */
export async function startHoldingProxy(targetPort: number): Promise<HoldingProxy> {
  const pairs = new Set<{ near: net.Socket; far: net.Socket; isHeld: boolean }>()
  const server = net.createServer((near) => {
    const far = net.connect(targetPort, '127.0.0.1')
    const pair = { near, far, isHeld: false }
    pairs.add(pair)
    const end = () => {
      near.destroy()
      far.destroy()
      pairs.delete(pair)
    }
    for (const socket of [near, far]) socket.setNoDelay(true).on('error', end).on('close', end)
    near.on('data', (bytes) => far.write(bytes))
    far.on('data', (bytes) => pair.isHeld || near.write(bytes))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const cut = () => {
    for (const { near, far } of pairs) {
      near.destroy()
      far.destroy()
    }
  }
  return {
    port: (server.address() as net.AddressInfo).port,
    hold() {
      for (const pair of pairs) pair.isHeld = true
    },
    cut,
    async stop() {
      cut()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

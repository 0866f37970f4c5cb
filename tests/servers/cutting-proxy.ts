// A proxy that cuts connections at the worst moment: when the server has done what it was asked and its
// answer is on the way. Whoever asked cannot know then whether it was done.

import { once } from 'node:events'
import * as net from 'node:net'

export interface CuttingProxy {
  /** `http://127.0.0.1:port` */
  url: string
  port: number
  /** How many answers were cut so far. */
  readonly cuts: number
  /** Cuts the next answers to requests whose first line matches. */
  cutAnswersTo(pattern: RegExp, count?: number): void
  stop(): Promise<void>
}

/** Passes everything on to a port of the loopback. */
export async function startCuttingProxy(targetPort: number): Promise<CuttingProxy> {
  const sockets = new Set<net.Socket>()
  let plan = { pattern: /^$/, count: 0 }
  let cuts = 0
  const server = net.createServer((near) => {
    const far = net.connect(targetPort, '127.0.0.1')
    let firstLine = ''
    for (const socket of [near, far]) {
      sockets.add(socket)
      const end = () => {
        near.destroy()
        far.destroy()
        sockets.delete(socket)
      }
      socket.on('error', end).on('close', end)
    }
    near.on('data', (bytes) => {
      // Requests begin in a packet of their own: the next one is sent when the last was answered.
      const head = /^[A-Z]+ \S+ HTTP\/1\.1\r\n/.exec(bytes.subarray(0, 4096).toString('latin1'))
      if (head !== null) firstLine = head[0]
      far.write(bytes)
    })
    far.on('data', (bytes) => {
      if (plan.count === 0 || !plan.pattern.test(firstLine)) near.write(bytes)
      else {
        plan = { ...plan, count: plan.count - 1 }
        cuts += 1
        near.destroy()
      }
    })
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as net.AddressInfo
  return {
    url: `http://127.0.0.1:${port}`,
    port,
    get cuts() {
      return cuts
    },
    cutAnswersTo(pattern, count = 1) {
      plan = { pattern, count }
    },
    async stop() {
      for (const socket of sockets) socket.destroy()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

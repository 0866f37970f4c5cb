// A small HTTP server that answers as a test says: for providers that lie, refuse or break off.

import { once } from 'node:events'
import * as http from 'node:http'
import type { AddressInfo } from 'node:net'

export interface Asked {
  method: string
  /** Path and query as they came. */
  path: string
  headers: http.IncomingHttpHeaders
  body: Buffer
}

export interface Reply {
  status?: number
  headers?: Record<string, string>
  body?: string | Uint8Array
  /** Sends only so many bytes of the body and then cuts the connection. */
  cutAfterBytes?: number
  /** Ends the connection where the body ends, and does not say how long it is. */
  isUnmeasured?: boolean
}

export interface ScriptedServer {
  /** `http://127.0.0.1:port` */
  url: string
  asked: Asked[]
  /** Decides about the requests from now on; undefined cuts the connection without an answer. */
  answer: (asked: Asked) => Reply | undefined | Promise<Reply | undefined>
  stop(): Promise<void>
}

export async function startScripted(answer: ScriptedServer['answer']): Promise<ScriptedServer> {
  const server = http.createServer((request, response) => {
    handle(request, response, scripted).catch(() => request.socket.destroy())
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const scripted: ScriptedServer = {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    asked: [],
    answer,
    async stop() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
  return scripted
}

async function handle(
  request: http.IncomingMessage,
  response: http.ServerResponse,
  scripted: ScriptedServer,
): Promise<void> {
  const chunks: Buffer[] = []
  for await (const chunk of request) chunks.push(chunk as Buffer)
  const { method = '', url: path = '', headers } = request
  const asked = { method, path, headers, body: Buffer.concat(chunks) }
  scripted.asked.push(asked)
  const reply = await scripted.answer(asked)
  if (reply === undefined) {
    request.socket.destroy()
    return
  }
  const body = Buffer.from(reply.body ?? '')
  const length = reply.isUnmeasured ? {} : { 'content-length': String(body.length) }
  if (reply.isUnmeasured) {
    response.useChunkedEncodingByDefault = false
    response.shouldKeepAlive = false
  }
  response.writeHead(reply.status ?? 200, { ...length, ...reply.headers })
  if (reply.cutAfterBytes === undefined) response.end(method === 'HEAD' ? undefined : body)
  else response.write(body.subarray(0, reply.cutAfterBytes), () => request.socket.destroy())
}

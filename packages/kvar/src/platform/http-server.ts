import type { IncomingMessage, Server, ServerResponse } from 'node:http'

/** The only address there is: whoever wants the answers elsewhere puts a proxy in front. */
const LOOPBACK = '127.0.0.1'
/** A monitor asks now and then; more connections than this are somebody's mistake. */
const CONNECTION_LIMIT = 16
const REQUEST_MS = 5000
const HEADER_LIMIT_BYTES = 8192

export interface PageAnswer {
  status: number
  contentType: string
  body: string
}

export type Answerer = (path: string, query: URLSearchParams) => PageAnswer | undefined

export interface HttpServer {
  port: number
  /** Resolves when the port is free again; open connections are cut. */
  close(): Promise<void>
}

/**
 * A small server for questions (GET and HEAD) from this machine.
 *
 * @param answer called for every question with its path and its query; undefined: there is no such page
 * @throws what `listen` gives: `EADDRINUSE`, `EACCES`
 * @example
 * const server = await serveLoopback(9187, (path) =>
 *   path === '/healthz' ? { status: 200, contentType: 'text/plain', body: 'fine\n' } : undefined)
 */
export async function serveLoopback(port: number, answer: Answerer): Promise<HttpServer> {
  // Loaded when it is needed: most keepers never serve anybody.
  const { createServer } = await import('node:http')
  const options = {
    maxHeaderSize: HEADER_LIMIT_BYTES,
    requestTimeout: REQUEST_MS,
    headersTimeout: REQUEST_MS,
  }
  const server = createServer(options, (request, response) => respond(request, response, answer))
  server.maxConnections = CONNECTION_LIMIT
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(port, LOOPBACK, resolve)
  })
  // A connection that could not be taken (too many open files) is its caller's trouble, not ours.
  server.on('error', () => undefined)
  return { port: portOf(server), close: () => closeNow(server) }
}

function respond(request: IncomingMessage, response: ServerResponse, answer: Answerer): void {
  const { status, contentType, body } = judge(request, answer)
  response.writeHead(status, {
    'content-type': contentType,
    'content-length': Buffer.byteLength(body),
    'cache-control': 'no-store',
  })
  response.end(request.method === 'HEAD' ? undefined : body)
}

function judge(request: IncomingMessage, answer: Answerer): PageAnswer {
  if (request.method !== 'GET' && request.method !== 'HEAD') return plain(405, 'Only questions are answered.')
  // A web page could have its own name point here (DNS rebinding) and read the answers.
  if (!isLoopbackName(request.headers.host)) return plain(403, 'Only this machine is answered.')
  const [path = '/', query] = (request.url ?? '/').split('?')
  return answer(path, new URLSearchParams(query)) ?? plain(404, 'There is no such page.')
}

function isLoopbackName(host: string | undefined): boolean {
  return host !== undefined && /^(127\.0\.0\.1|localhost)(:\d+)?$/i.test(host)
}

function plain(status: number, sentence: string): PageAnswer {
  return { status, contentType: 'text/plain; charset=utf-8', body: `${sentence}\n` }
}

function portOf(server: Server): number {
  const address = server.address()
  return typeof address === 'object' && address !== null ? address.port : 0
}

function closeNow(server: Server): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()))
  server.closeAllConnections()
  return closed
}

import { toKvarError } from '../errors.ts'
import type { Timer } from '../platform/clock.ts'
import { systemErrorCode } from '../platform/files.ts'
import { type HttpServer, type PageAnswer, serveLoopback } from '../platform/http-server.ts'
import type { Platform } from '../platform/platform.ts'
import { ownUsage } from '../platform/processes.ts'
import { METRICS_TYPE, metricsText } from './metrics.ts'
import type { KeeperStatus, Safety } from './status.ts'

/** A port that is taken is tried again: a keeper before us may just be leaving. */
const FIRST_PAUSE_MS = 2000
const LONGEST_PAUSE_MS = 60_000

/** 503 only for what a person has to look at. *Late* passes by itself, or becomes *Not safe*. */
const HEALTHY: Record<Safety, boolean> = { safe: true, late: true, 'only-here': true, 'not-safe': false }

export interface HealthDoorOptions {
  port: number
  platform: Platform
  status: () => KeeperStatus
  /** It began to listen, or could not. */
  told: (problem: string | undefined) => void
}

/** `/metrics` and `/healthz` on 127.0.0.1. It never stands in the way of anything: without its port the keeper goes on. */
export class HealthDoor {
  readonly #options: HealthDoorOptions
  #server: HttpServer | undefined
  #retry: Timer | undefined
  #closed = false
  #problem: string | undefined

  constructor(options: HealthDoorOptions) {
    this.#options = options
  }

  async open(pauseMs = FIRST_PAUSE_MS): Promise<void> {
    const { port, platform, told } = this.#options
    try {
      const server = await serveLoopback(port, (path) => this.#answer(path))
      if (this.#closed) return await server.close()
      this.#server = server
      this.#problem = undefined
      told(undefined)
    } catch (thrown) {
      if (this.#closed) return
      this.#problem = reasonOf(thrown)
      told(this.#problem)
      const nextMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS)
      this.#retry = platform.clock.startTimer(pauseMs, () => void this.open(nextMs))
    }
  }

  notes(): string[] {
    if (this.#problem === undefined) return []
    return [`Metrics are not served on port ${this.#options.port}: ${this.#problem}.`]
  }

  async close(): Promise<void> {
    this.#closed = true
    this.#retry?.cancel()
    await this.#server?.close()
  }

  #answer(path: string): PageAnswer | undefined {
    if (path === '/healthz') return healthAnswer(this.#options.status())
    if (path !== '/metrics') return undefined
    return { status: 200, contentType: METRICS_TYPE, body: metricsText(this.#options.status(), ownUsage()) }
  }
}

/** The status sentence, and whether somebody has to look. */
export function healthAnswer({ safety, sentence }: KeeperStatus): PageAnswer {
  const status = HEALTHY[safety] ? 200 : 503
  return { status, contentType: 'text/plain; charset=utf-8', body: `${sentence}\n` }
}

function reasonOf(thrown: unknown): string {
  const code = systemErrorCode(thrown)
  if (code === 'EADDRINUSE') return 'another program listens there'
  if (code === 'EACCES') return 'this user may not use that port'
  return code ?? toKvarError(thrown).code
}

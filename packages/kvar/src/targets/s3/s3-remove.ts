import { createHash } from 'node:crypto'
import { discard, readText } from '../http/http-caller.ts'
import { children, childText, escapeXml, parseXml } from '../http/xml.ts'
import { NAMESPACE } from './s3-multipart.ts'
import type { S3Requests } from './s3-requests.ts'

/** S3 takes no more keys in one request (S3 API Reference, "DeleteObjects"). */
const BATCH_LIMIT = 1000
/**
 * Statuses with which servers refuse batches that they do not know, or (403, Ceph) for which they want
 * rights on the whole bucket: then one by one, and each answer counts.
 */
const WITHOUT_BATCHES = new Set([400, 403, 404, 405, 411, 501])
const SINGLES_AT_ONCE = 8

/** Removes keys, many with one request where the server can. */
export class S3Remover {
  readonly #requests: S3Requests
  #hasBatches = true

  constructor(requests: S3Requests) {
    this.#requests = requests
  }

  async remove(keys: string[], signal: AbortSignal | undefined): Promise<void> {
    for (let start = 0; start < keys.length; start += BATCH_LIMIT) {
      const batch = keys.slice(start, start + BATCH_LIMIT)
      if (batch.length === 1 || !this.#hasBatches || !(await this.#removeBatch(batch, signal))) {
        await this.#removeSingly(batch, signal)
      }
    }
  }

  /** False when the server does not know how: nothing was removed then. */
  async #removeBatch(keys: string[], signal: AbortSignal | undefined): Promise<boolean> {
    const doing = `remove ${keys.length} objects`
    const objects = keys.map((key) => `<Object><Key>${escapeXml(this.#requests.fullKey(key))}</Key></Object>`)
    const body = new TextEncoder().encode(
      `<Delete xmlns="${NAMESPACE}"><Quiet>true</Quiet>${objects.join('')}</Delete>`,
    )
    const headers = { 'content-md5': createHash('md5').update(body).digest('base64') }
    const answer = await this.#requests.send({
      method: 'POST',
      query: { delete: '' },
      headers,
      body,
      signal,
      doing,
    })
    if (WITHOUT_BATCHES.has(answer.status) && answer.code !== 'NoSuchBucket') {
      this.#hasBatches = false
      return false
    }
    if (answer.status >= 300) throw this.#requests.failure(answer, doing)
    const { url } = this.#requests.settings
    const [code] = removalFailures(await readText(answer, url), url)
    // The status of a single refused removal inside a batch that went through as a whole.
    if (code !== undefined) throw this.#requests.failure({ ...answer, status: statusOf(code), code }, doing)
    return true
  }

  async #removeSingly(keys: string[], signal: AbortSignal | undefined): Promise<void> {
    for (let start = 0; start < keys.length; start += SINGLES_AT_ONCE) {
      const some = keys.slice(start, start + SINGLES_AT_ONCE)
      const removed = await Promise.allSettled(some.map((key) => this.#removeOne(key, signal)))
      for (const one of removed) if (one.status === 'rejected') throw one.reason
    }
  }

  async #removeOne(key: string, signal: AbortSignal | undefined): Promise<void> {
    const doing = `remove "${key}"`
    const answer = await this.#requests.send({ method: 'DELETE', key, signal, doing })
    if (answer.status < 300) return discard(answer)
    if (answer.status !== 404 || answer.code === 'NoSuchBucket') throw this.#requests.failure(answer, doing)
  }
}

/** What a quiet answer to a batch names is what was not removed. Some servers answer nothing at all. */
function removalFailures(text: string, url: string): string[] {
  if (text.trim() === '') return []
  return children(parseXml(text, url), 'Error').map((error) => childText(error, 'Code') ?? 'InternalError')
}

function statusOf(code: string): number {
  return code === 'AccessDenied' ? 403 : 500
}

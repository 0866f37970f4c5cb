import type { HttpAnswer } from '../../platform/http-client.ts'
import { TargetError } from '../target.ts'
import type { FailedCall } from './http-errors.ts'

/**
 * Refuses an object whose answer does not say how long it is: a connection that was cut would then look
 * like a short object. With a length, or in chunks, the platform notices.
 */
export async function assertMeasured(answer: HttpAnswer, { doing, url }: FailedCall): Promise<void> {
  const { headers, body } = answer
  if (headers['content-length'] !== undefined || headers['transfer-encoding'] !== undefined) return
  await body.return?.()
  throw new TargetError('temporary', `Cannot ${doing} on ${url}: the server does not say how long it is`, {
    hint: 'is there a proxy between? It is tried again',
    data: { url },
  })
}

import type { HttpBodySource } from '../../platform/http-client.ts'
import { bodyBytes } from '../checked-body.ts'
import { type ObjectBody, openBody, TargetError } from '../target.ts'

/** A body whose source is held to what it promised: the server has been told the size before. */
export function checkedBody(body: ObjectBody): HttpBodySource {
  return { sizeBytes: bodyBytes(body), open: () => checkedChunks(body) }
}

/** A body's bytes; fails before the last one is handed out when they are more or fewer than promised. */
export async function* checkedChunks(body: ObjectBody): AsyncIterable<Uint8Array> {
  const expectedBytes = bodyBytes(body)
  let givenBytes = 0
  for await (const chunk of openBody(body)) {
    givenBytes += chunk.length
    if (givenBytes > expectedBytes) throw wrongSize(expectedBytes, `at least ${givenBytes}`)
    // A copy, because it waits to be sent while the source may use its buffer again for the next chunk.
    if (chunk.length > 0) yield body instanceof Uint8Array ? chunk : Buffer.from(chunk)
  }
  if (givenBytes < expectedBytes) throw wrongSize(expectedBytes, String(givenBytes))
}

/** Bodies up to this size are read before the first byte is sent: a source that fails then costs no request. */
const WHOLE_BYTES = 4 * 1024 * 1024

export async function sendableBody(
  body: ObjectBody,
  wholeBytes = WHOLE_BYTES,
): Promise<Uint8Array | HttpBodySource> {
  return bodyBytes(body) > wholeBytes && !(body instanceof Uint8Array) ? checkedBody(body) : wholeBody(body)
}

/** All bytes at once: only for bodies known to be small. */
export async function wholeBody(body: ObjectBody): Promise<Uint8Array> {
  if (body instanceof Uint8Array) return body
  const chunks: Uint8Array[] = []
  for await (const chunk of checkedChunks(body)) chunks.push(chunk)
  return Buffer.concat(chunks)
}

function wrongSize(expectedBytes: number, given: string): TargetError {
  return new TargetError('permanent', `A body of ${expectedBytes} bytes gave ${given}: nothing was stored`, {
    data: { expectedBytes },
  })
}

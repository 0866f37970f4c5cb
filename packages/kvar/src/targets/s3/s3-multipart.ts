import { checkedChunks } from '../http/http-body.ts'
import { discard } from '../http/http-caller.ts'
import { childText, escapeXml } from '../http/xml.ts'
import { type ObjectBody, TargetError, throwIfCancelled } from '../target.ts'
import { readWhole } from './s3-answer.ts'
import type { S3Answer, S3Requests } from './s3-requests.ts'

const MIB = 1024 * 1024
/** Larger bodies go in parts, of which one is in memory at a time. */
export const PART_BYTES = 16 * MIB
/** S3 takes no more (Amazon S3 User Guide, "Amazon S3 multipart upload limits"). */
const PARTS_LIMIT = 10_000

export interface MultipartUpload {
  key: string
  body: ObjectBody
  sizeBytes: number
  headers: Record<string, string>
  /** `*`: only if the key is free. */
  ifNoneMatch?: '*'
  signal?: AbortSignal | undefined
  doing: string
}

/**
 * Stores a body in parts; the object appears when the last request puts them together. Parts of an
 * upload that failed are given up at once: they are listed nowhere and cost all the same.
 */
export async function uploadInParts(requests: S3Requests, upload: MultipartUpload): Promise<S3Answer> {
  const { key, headers, signal, doing } = upload
  const begun = await requests.sendForXml({
    method: 'POST',
    key,
    query: { uploads: '' },
    headers,
    signal,
    doing,
  })
  const uploadId = childText(begun, 'UploadId')
  if (!uploadId) throw new TargetError('temporary', `Cannot ${doing}: the server named no upload`)
  try {
    const tags = await sendParts(requests, upload, uploadId)
    const answer = await complete(requests, upload, { uploadId, tags })
    if (answer.status >= 300) await abandon(requests, upload, uploadId)
    return answer
  } catch (thrown) {
    await abandon(requests, upload, uploadId)
    throw thrown
  }
}

async function sendParts(requests: S3Requests, upload: MultipartUpload, uploadId: string): Promise<string[]> {
  const tags: string[] = []
  for await (const part of partsOf(upload)) {
    throwIfCancelled(upload.signal)
    const answer = await requests.send({
      method: 'PUT',
      key: upload.key,
      query: { partNumber: String(tags.length + 1), uploadId },
      body: part,
      signal: upload.signal,
      doing: upload.doing,
    })
    if (answer.status >= 300 || answer.headers.etag === undefined)
      throw requests.failure(answer, upload.doing)
    await discard(answer)
    tags.push(answer.headers.etag)
  }
  return tags
}

/** Pieces of one size but the last, cut out of chunks of any size. */
async function* partsOf({ body, sizeBytes }: MultipartUpload): AsyncIterable<Uint8Array> {
  const partBytes = Math.max(PART_BYTES, Math.ceil(sizeBytes / PARTS_LIMIT / MIB) * MIB)
  let waiting: Uint8Array[] = []
  let waitingBytes = 0
  for await (const chunk of checkedChunks(body)) {
    for (let offset = 0; offset < chunk.length; ) {
      const piece = chunk.subarray(offset, offset + partBytes - waitingBytes)
      waiting.push(piece)
      waitingBytes += piece.length
      offset += piece.length
      if (waitingBytes < partBytes) continue
      yield Buffer.concat(waiting)
      waiting = []
      waitingBytes = 0
    }
  }
  if (waitingBytes > 0) yield Buffer.concat(waiting)
}

/** May answer 200 and still say in the body that it failed (S3 API Reference, "CompleteMultipartUpload"). */
async function complete(
  requests: S3Requests,
  { key, ifNoneMatch, signal, doing }: MultipartUpload,
  { uploadId, tags }: { uploadId: string; tags: string[] },
): Promise<S3Answer> {
  const parts = tags.map(
    (tag, index) => `<Part><PartNumber>${index + 1}</PartNumber><ETag>${escapeXml(tag)}</ETag></Part>`,
  )
  const text = `<CompleteMultipartUpload xmlns="${NAMESPACE}">${parts.join('')}</CompleteMultipartUpload>`
  const answer = await requests.send({
    method: 'POST',
    key,
    query: { uploadId },
    headers: ifNoneMatch === undefined ? {} : { 'if-none-match': ifNoneMatch },
    body: new TextEncoder().encode(text),
    signal,
    doing,
  })
  return answer.status < 300 ? readWhole(answer, requests) : answer
}

export const NAMESPACE = 'http://s3.amazonaws.com/doc/2006-03-01/'

/** Not part of the outcome: what stays behind is removed by a rule of the bucket (docs/providers/s3.md). */
async function abandon(requests: S3Requests, { key }: MultipartUpload, uploadId: string): Promise<void> {
  const doing = `give up an upload of "${key}"`
  const answer = await requests
    .send({ method: 'DELETE', key, query: { uploadId }, doing })
    .catch(() => undefined)
  if (answer !== undefined && answer.status < 300) await discard(answer).catch(() => undefined)
}

import { children, childText, type XmlElement } from '../http/xml.ts'
import { isKey, type ListOptions, type ObjectEntry, TargetError, throwIfCancelled } from '../target.ts'
import type { S3Requests } from './s3-requests.ts'

/** Pages without a single key in a row before a listing counts as endless. */
const EMPTY_PAGES_LIMIT = 100

/**
 * Lists with ListObjectsV2, page by page. The server's word is checked: keys outside the prefix and
 * names that are no keys are left out, and the order has to be the order of bytes (S3 API Reference,
 * "ListObjectsV2"), because a listing that jumps back would hide what it jumped over.
 */
export async function* listObjects(
  requests: S3Requests,
  prefix: string,
  options: ListOptions,
): AsyncIterable<ObjectEntry> {
  const { url } = requests.settings
  let last = options.startAfter ?? ''
  let token: string | undefined
  let emptyPages = 0
  do {
    const page = await readPage(requests, prefix, { ...options, token })
    for (const entry of page.entries) {
      throwIfCancelled(options.signal)
      if (entry.key < last) throw outOfOrder(url)
      if (entry.key === last) continue
      last = entry.key
      yield entry
    }
    emptyPages = page.entries.length === 0 ? emptyPages + 1 : 0
    if (page.token === token && token !== undefined) throw outOfOrder(url)
    if (emptyPages > EMPTY_PAGES_LIMIT) throw outOfOrder(url)
    token = page.token
  } while (token !== undefined)
}

interface Page {
  entries: ObjectEntry[]
  /** How to ask for the next page; none after the last. */
  token: string | undefined
}

async function readPage(
  requests: S3Requests,
  prefix: string,
  options: ListOptions & { token: string | undefined },
): Promise<Page> {
  const { startAfter, token, signal } = options
  const place =
    token !== undefined
      ? { 'continuation-token': token }
      : startAfter !== undefined
        ? { 'start-after': requests.fullKey(startAfter) }
        : {}
  const result = await requests.sendForXml({
    method: 'GET',
    query: { 'list-type': '2', 'encoding-type': 'url', prefix: requests.fullKey(prefix), ...place },
    doing: `list "${prefix}"`,
    signal,
  })
  return readResult(result, requests, prefix)
}

function readResult(result: XmlElement, requests: S3Requests, prefix: string): Page {
  if (result.name !== 'ListBucketResult') throw notAListing(requests.settings.url)
  const isEncoded = childText(result, 'EncodingType')?.trim() === 'url'
  const root = requests.fullKey('')
  const entries = children(result, 'Contents').flatMap((element) => {
    const name = childText(element, 'Key') ?? ''
    const fullKey = isEncoded ? decodeKey(name) : name
    if (!fullKey.startsWith(root)) return []
    const key = fullKey.slice(root.length)
    return key.startsWith(prefix) && isKey(key) ? [entryOf(key, element)] : []
  })
  const isTruncated = childText(result, 'IsTruncated')?.trim() === 'true'
  const token = childText(result, 'NextContinuationToken')
  // A list that says it is not the whole and does not say how it goes on must not pass for the whole.
  if (isTruncated && !token) throw notAListing(requests.settings.url)
  return { entries, token: isTruncated ? token : undefined }
}

function entryOf(key: string, element: XmlElement): ObjectEntry {
  const modifiedAtMs = Date.parse(childText(element, 'LastModified') ?? '')
  return {
    key,
    sizeBytes: Number(childText(element, 'Size')) || 0,
    modifiedAtMs: Number.isNaN(modifiedAtMs) ? 0 : modifiedAtMs,
  }
}

/** A name that cannot be decoded is none of ours. */
function decodeKey(name: string): string {
  try {
    return decodeURIComponent(name.replaceAll('+', '%20'))
  } catch {
    return ''
  }
}

function outOfOrder(url: string): TargetError {
  return new TargetError('temporary', `${url} lists its objects out of order`, {
    hint: 'the listing cannot be trusted; it is tried again',
    data: { url },
  })
}

function notAListing(url: string): TargetError {
  return new TargetError('temporary', `${url} answered something that is no listing`, {
    hint: 'is there a proxy between? It is tried again',
    data: { url },
  })
}

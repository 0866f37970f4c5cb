import { createHash } from 'node:crypto'
import { asObjects, asText, type JsonObject } from '../http/json.ts'
import { TargetError } from '../target.ts'
import type { GoogleDriveRequests } from './google-drive-requests.ts'

/** A file as Google Drive knows it: names are not unique, identities are. */
export interface DriveFile {
  id: string
  name: string
  sizeBytes: number
  modifiedAtMs: number
  createdAtMs: number
  /** It lies in the bin, or its folder does. */
  isTrashed: boolean
}

/** Google gives no more in one answer (Drive API reference, "files.list"). */
const PAGE_LIMIT = 1000
/** Pages without a single file in a row before a listing counts as endless. */
const EMPTY_PAGES_LIMIT = 100
export const FILE_FIELDS = 'id,name,size,modifiedTime,createdTime,trashed'

/** All files that match a query (Drive API, "Search query terms and operators"), in no order. */
export async function findFiles(
  requests: GoogleDriveRequests,
  query: string,
  options: { signal: AbortSignal | undefined; doing: string },
): Promise<DriveFile[]> {
  const { addresses, sharedDrive, url } = requests.settings
  const corpus = sharedDrive === undefined ? {} : { corpora: 'drive', driveId: sharedDrive }
  const found: DriveFile[] = []
  let emptyPages = 0
  for (let pageToken: string | undefined; ; ) {
    const page = await requests.sendForJson({
      method: 'GET',
      url: `${addresses.api}/files`,
      query: {
        q: `${query} and trashed = false`,
        fields: `nextPageToken,incompleteSearch,files(${FILE_FIELDS})`,
        pageSize: String(PAGE_LIMIT),
        includeItemsFromAllDrives: 'true',
        ...corpus,
        ...(pageToken === undefined ? {} : { pageToken }),
      },
      ...options,
    })
    const files = asObjects(page.files).flatMap((one) => readFile(one) ?? [])
    found.push(...files)
    emptyPages = files.length === 0 ? emptyPages + 1 : 0
    const next = asText(page.nextPageToken)
    if (page.incompleteSearch === true || (next !== undefined && next === pageToken)) throw notWhole(url)
    if (emptyPages > EMPTY_PAGES_LIMIT) throw notWhole(url)
    if (next === undefined) return found
    pageToken = next
  }
}

/** What Google says of a file; undefined when it does not say which. */
export function readFile(one: JsonObject): DriveFile | undefined {
  const [id, name] = [asText(one.id), asText(one.name)]
  if (!id || name === undefined) return undefined
  return {
    id,
    name,
    sizeBytes: Number(one.size) || 0,
    modifiedAtMs: timeOf(one.modifiedTime),
    createdAtMs: timeOf(one.createdTime),
    isTrashed: one.trashed === true,
  }
}

/** The one of several files of a name that counts: everybody who sees the same ones picks the same. */
export function oldest(files: DriveFile[]): DriveFile | undefined {
  return files.toSorted((a, b) => a.createdAtMs - b.createdAtMs || (a.id < b.id ? -1 : 1))[0]
}

/** `'text'` in a query. */
export function quoted(text: string): string {
  return `'${text.replaceAll(/[\\']/g, (one) => `\\${one}`)}'`
}

/** Deeper folders are found by listing a higher one (Google: at most 30 properties of one app on a file). */
const DEPTH_LIMIT = 20

/**
 * Properties that let a listing of `ltx/0/` ask for just that: one for each folder above a key, with a
 * hash, because property and value together may have 124 bytes (Drive API, "Add custom file properties").
 */
export function folderProperties(key: string): Record<string, string> {
  const parts = key.split('/').slice(0, -1).slice(0, DEPTH_LIMIT)
  return Object.fromEntries(
    parts.map((_, depth) => [`in${depth + 1}`, folderHash(parts.slice(0, depth + 1))]),
  )
}

/** The query for all keys in a prefix's folder, at any depth; undefined for a prefix without one. */
export function folderQuery(prefix: string): string | undefined {
  const parts = prefix.split('/').slice(0, -1).slice(0, DEPTH_LIMIT)
  if (parts.length === 0) return undefined
  return `appProperties has { key=${quoted(`in${parts.length}`)} and value=${quoted(folderHash(parts))} }`
}

function folderHash(parts: string[]): string {
  return createHash('sha256').update(parts.join('/')).digest('hex').slice(0, 32)
}

function timeOf(value: unknown): number {
  const timeMs = Date.parse(asText(value) ?? '')
  return Number.isNaN(timeMs) ? 0 : timeMs
}

function notWhole(url: string): TargetError {
  return new TargetError('temporary', `${url} did not list everything`, {
    hint: 'the listing cannot be trusted; it is tried again',
    data: { url },
  })
}

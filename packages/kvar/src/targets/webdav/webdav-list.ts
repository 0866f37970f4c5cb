import { readText } from '../http/http-caller.ts'
import { child, children, childText, parseXml, type XmlElement } from '../http/xml.ts'
import { isKey, type ListOptions, type ObjectEntry, TargetError, throwIfCancelled } from '../target.ts'
import { parentOf } from './webdav-folders.ts'
import type { WebdavRequests } from './webdav-requests.ts'

/** One thing in a folder, as the server told it. */
interface Child {
  /** Decoded, without slashes. */
  name: string
  isFolder: boolean
  sizeBytes: number
  modifiedAtMs: number
}

/**
 * Walks a folder in the order of full keys, one PROPFIND of depth 1 for each folder that can hold a
 * wanted key (servers refuse deeper ones). A folder sorts as its name with a slash behind it, because
 * `a-b` and `a.b` come before `a/b`.
 */
export async function* listTree(
  requests: WebdavRequests,
  prefix: string,
  options: ListOptions,
): AsyncIterable<ObjectEntry> {
  yield* walk(prefix.slice(0, prefix.lastIndexOf('/') + 1))

  async function* walk(folder: string): AsyncIterable<ObjectEntry> {
    const found = new Map<string, Child>()
    for (const one of await listFolder(requests, folder, options.signal)) {
      const key = folder + one.name
      const name = one.isFolder ? `${key}/` : key
      if (isKey(key) && isWanted(name, prefix, options.startAfter)) found.set(name, one)
    }
    for (const [name, one] of [...found].sort(([a], [b]) => (a < b ? -1 : 1))) {
      throwIfCancelled(options.signal)
      if (one.isFolder) yield* walk(name)
      else yield { key: name, sizeBytes: one.sizeBytes, modifiedAtMs: one.modifiedAtMs }
    }
  }
}

/** Whether a key is wanted, or (name with a slash at its end) whether a folder may hold a wanted key. */
function isWanted(name: string, prefix: string, startAfter: string | undefined): boolean {
  const isFolder = name.endsWith('/')
  const fitsPrefix = name.startsWith(prefix) || (isFolder && prefix.startsWith(name))
  if (startAfter === undefined) return fitsPrefix
  return fitsPrefix && (name > startAfter || (isFolder && startAfter.startsWith(name)))
}

const WANTED =
  '<?xml version="1.0" encoding="utf-8"?><propfind xmlns="DAV:"><prop><resourcetype/><getcontentlength/><getlastmodified/></prop></propfind>'

/** What lies directly in a folder; nothing when it does not exist. */
export async function listFolder(
  requests: WebdavRequests,
  folder: string,
  signal: AbortSignal | undefined,
): Promise<Child[]> {
  const doing = `list "${folder}"`
  const answer = await requests.send({
    method: 'PROPFIND',
    path: folder,
    headers: { depth: '1', 'content-type': 'application/xml' },
    body: new TextEncoder().encode(WANTED),
    signal,
    doing,
  })
  const text = await readText(answer, requests.settings.url)
  if (answer.status === 404) return []
  if (answer.status === 207) return readMultistatus(parseXml(text, requests.settings.url), requests, folder)
  if (answer.status === 400 && (await isObject(requests, folder, signal))) return []
  throw requests.failure(answer, doing)
}

/** Apache says "bad request" when the name of an object is asked for as if it were a folder. */
async function isObject(
  requests: WebdavRequests,
  folder: string,
  signal: AbortSignal | undefined,
): Promise<boolean> {
  if (folder === '') return false
  const found = await listFolder(requests, parentOf(folder), signal)
  return found.some((one) => `${parentOf(folder)}${one.name}/` === folder && !one.isFolder)
}

/**
 * Only direct children of the folder that was asked for are believed, by their decoded path: an answer
 * may hold whole addresses, other hosts, `..` or folders that nobody asked for.
 */
function readMultistatus(multistatus: XmlElement, requests: WebdavRequests, folder: string): Child[] {
  const own = requests.settings.folder + folder
  const found = children(multistatus, 'response').map((response) => ({
    response,
    path: decodedPath(childText(response, 'href') ?? '') ?? '',
  }))
  // The folder's own entry is always part of the answer (RFC 4918 section 9.1). Without it these are not its children.
  const isOwn = found.some(({ path }) => path === own || `${path}/` === own)
  if (multistatus.name !== 'multistatus' || !isOwn) throw notAListing(requests.settings.url)
  return found.flatMap(({ response, path }) => {
    const name = path.startsWith(own) ? path.slice(own.length).replace(/\/$/, '') : ''
    const facts = factsOf(response)
    return name === '' || name.includes('/') || facts === undefined ? [] : [{ name, ...facts }]
  })
}

/** The decoded path of an address, whole or without its host; undefined for what cannot be one. */
export function decodedPath(address: string): string | undefined {
  const path = address
    .trim()
    .replace(/^https?:\/\/[^/]*/i, '')
    .replace(/[?#].*$/s, '')
  try {
    return decodeURIComponent(path)
  } catch {
    return undefined
  }
}

function factsOf(response: XmlElement) {
  // Properties that were found stand under a status of their own; the others under 404.
  const found = children(response, 'propstat').find((one) => / 200 /.test(`${childText(one, 'status')} `))
  const properties = child(found, 'prop')
  if (properties === undefined) return undefined
  const isFolder = child(child(properties, 'resourcetype'), 'collection') !== undefined
  const modifiedAtMs = Date.parse(childText(properties, 'getlastmodified') ?? '')
  return {
    isFolder,
    sizeBytes: Number(childText(properties, 'getcontentlength')) || 0,
    modifiedAtMs: Number.isNaN(modifiedAtMs) ? 0 : modifiedAtMs,
  }
}

function notAListing(url: string): TargetError {
  return new TargetError('temporary', `${url} answered something that is no listing`, {
    hint: 'is there a proxy between? It is tried again',
    data: { url },
  })
}

import { asObjects, asText, type JsonObject } from '../http/json.ts'
import { type ListOptions, type ObjectEntry, TargetError, throwIfCancelled } from '../target.ts'
import { keyOfPath, pathOfFolder } from './dropbox-names.ts'
import type { DropboxRequests } from './dropbox-requests.ts'

/** Dropbox gives no more in one answer (HTTP documentation, "files/list_folder"). */
const PAGE_LIMIT = 2000
/** Pages without a new file in a row before a listing counts as endless. */
const EMPTY_PAGES_LIMIT = 100

/** Lists a tree of files. Dropbox gives them in no order, so all of them are fetched before the first is given on. */
export async function* listTree(
  requests: DropboxRequests,
  prefix: string,
  options: ListOptions,
): AsyncIterable<ObjectEntry> {
  const found = await fetchTree(requests, prefix, options.signal)
  const entries = [...found.values()].filter(
    ({ key }) => key.startsWith(prefix) && (options.startAfter === undefined || key > options.startAfter),
  )
  for (const entry of entries.sort((a, b) => (a.key < b.key ? -1 : 1))) {
    throwIfCancelled(options.signal)
    yield entry
  }
}

async function fetchTree(
  requests: DropboxRequests,
  prefix: string,
  signal: AbortSignal | undefined,
): Promise<Map<string, ObjectEntry>> {
  const { folder, url } = requests.settings
  const doing = `list "${prefix}"`
  const path = [...folder.map((name) => `/${name}`), pathOfFolder(prefix.split('/').slice(0, -1))].join('')
  const first = { path, recursive: true, include_deleted: false, limit: PAGE_LIMIT }
  const found = new Map<string, ObjectEntry>()
  let emptyPages = 0
  for (let cursor: string | undefined; ; ) {
    const answer =
      cursor === undefined
        ? await requests.call('files/list_folder', first, { signal, doing })
        : await requests.call('files/list_folder/continue', { cursor }, { signal, doing })
    if (isMissing(answer.tags)) return found
    if (answer.status >= 300) throw requests.failure(answer, doing)
    const before = found.size
    collect(found, answer.json, folder.length)
    if (answer.json.has_more !== true) return found
    cursor = asText(answer.json.cursor)
    emptyPages = found.size === before ? emptyPages + 1 : 0
    // A list that says it is not the whole and does not go on must not pass for the whole.
    if (!cursor || emptyPages > EMPTY_PAGES_LIMIT) throw endless(url)
  }
}

/** A later page may say again, or take back, what an earlier one said. */
function collect(found: Map<string, ObjectEntry>, page: JsonObject, folderDepth: number): void {
  for (const one of asObjects(page.entries)) {
    // By the number of names: Dropbox has its own idea of which letter is another one's small form.
    const names = (asText(one.path_lower) ?? '').split('/').slice(folderDepth + 1)
    const key = keyOfPath(`/${names.join('/')}`)
    if (key === undefined) continue
    if (one['.tag'] === 'file') found.set(key, entryOf(key, one))
    else found.delete(key)
  }
}

function entryOf(key: string, file: JsonObject): ObjectEntry {
  const modifiedAtMs = Date.parse(asText(file.client_modified) ?? '')
  return {
    key,
    sizeBytes: Number(file.size) || 0,
    modifiedAtMs: Number.isNaN(modifiedAtMs) ? 0 : modifiedAtMs,
  }
}

export function isMissing(tags: string[]): boolean {
  return tags.at(-1) === 'not_found'
}

function endless(url: string): TargetError {
  return new TargetError('temporary', `${url} gives a listing that comes to no end`, {
    hint: 'the listing cannot be trusted; it is tried again',
    data: { url },
  })
}

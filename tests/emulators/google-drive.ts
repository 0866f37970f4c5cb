// A Google Drive of ours on loopback, written from the public reference (Drive API v3: "files.list",
// "files.create", "files.update", "files.delete", "Search query terms and operators", "Upload file data",
// "Add custom file properties"; errors and their reasons from "Resolve errors"). Names are not unique, a
// search takes capital letters for small ones, and a file may be found a little later than it was stored.

import { randomBytes } from 'node:crypto'
import { type Asked, type Reply, type ScriptedServer, startScripted } from '../servers/scripted-http.ts'
import { ranged } from './dropbox.ts'
import { OAuthEmulator } from './oauth.ts'

export interface DriveItem {
  id: string
  name: string
  parents: string[]
  mimeType: string
  appProperties: Record<string, string>
  createdTime: string
  modifiedTime: string
  trashed: boolean
  body: Buffer
  /** Searches do not find it for so many questions. */
  hiddenFor: number
}

type Json = Record<string, unknown>

export class GoogleDriveEmulator {
  readonly server: ScriptedServer
  readonly oauth = new OAuthEmulator({ id: 'client-of-ours', secret: 'client-secret-of-ours' })
  readonly items = new Map<string, DriveItem>()
  quotaBytes = Number.POSITIVE_INFINITY
  pageSize = 400
  /** One request may hold no more; larger ones have to be sent in pieces. */
  multipartLimitBytes = 5_000_000
  storm: { count: number; reply: Reply } = { count: 0, reply: {} }
  /** New files are not found by so many searches. */
  hideFor = 0
  isIncomplete = false
  /** Called before a file is stored: a test lets somebody else be quicker. */
  beforeCreate: (name: string) => void = () => undefined
  /** Requests by kind: `list`, `create`, `update`, `read`, `delete`, `begin`, `piece`. */
  readonly counts = new Map<string, number>()
  readonly #sessions = new Map<string, { id: string | undefined; metadata: Json; parts: Buffer[] }>()
  readonly #byName = new Map<string, Set<DriveItem>>()
  readonly #pages = new Map<string, DriveItem[]>()
  #lastTimeMs = 0

  static async start(): Promise<GoogleDriveEmulator> {
    const server = await startScripted(() => undefined)
    const emulator = new GoogleDriveEmulator(server)
    server.answer = (asked) => {
      server.asked.length = 0
      return emulator.#answer(asked)
    }
    return emulator
  }

  private constructor(server: ScriptedServer) {
    this.server = server
  }

  get url(): string {
    return this.server.url
  }

  stop(): Promise<void> {
    return this.server.stop()
  }

  /** Another writer's file, or a person's. */
  put(metadata: Json, body: Buffer): DriveItem {
    const time = this.#now()
    const item: DriveItem = {
      id: `f${randomBytes(12).toString('hex')}`,
      name: String(metadata.name ?? 'Untitled'),
      parents: (metadata.parents as string[] | undefined) ?? ['root'],
      mimeType: String(metadata.mimeType ?? 'application/octet-stream'),
      appProperties: (metadata.appProperties as Record<string, string> | undefined) ?? {},
      createdTime: time,
      modifiedTime: String(metadata.modifiedTime ?? time),
      trashed: false,
      body,
      hiddenFor: this.hideFor,
    }
    this.items.set(item.id, item)
    const sameName = this.#byName.get(item.name.toLowerCase()) ?? new Set()
    this.#byName.set(item.name.toLowerCase(), sameName.add(item))
    return item
  }

  /** The person empties the drive, bin and all. */
  clear(): void {
    this.items.clear()
    this.#byName.clear()
  }

  named(name: string): DriveItem[] {
    return [...this.items.values()].filter((item) => item.name === name)
  }

  #answer(asked: Asked): Reply {
    const url = new URL(asked.path, this.url)
    if (url.pathname === '/token') return this.oauth.token(asked.body)
    if (!this.oauth.accepts(asked.headers.authorization)) return refusal(401, 'authError')
    if (this.storm.count > 0) {
      this.storm.count -= 1
      return this.storm.reply
    }
    const id = /\/files\/([^/]+)$/.exec(url.pathname)?.[1]
    if (url.pathname.startsWith('/upload/session/')) return this.#piece(url, asked)
    if (url.pathname.startsWith('/upload/')) return this.#upload(url, asked, id)
    if (id === undefined) return asked.method === 'GET' ? this.#list(url) : this.#makeFolder(asked)
    return asked.method === 'DELETE' ? this.#delete(id) : this.#read(id, asked)
  }

  #list(url: URL): Reply {
    this.#count('list')
    const token = url.searchParams.get('pageToken')
    const found = token === null ? this.#search(url.searchParams.get('q') ?? '') : this.#pages.get(token)
    if (found === undefined) return refusal(400, 'invalid')
    if (typeof found === 'string') return refusal(found === 'notFound' ? 404 : 400, found)
    const rest = found.slice(this.pageSize)
    const nextPageToken = rest.length === 0 ? undefined : randomBytes(8).toString('hex')
    if (nextPageToken !== undefined) this.#pages.set(nextPageToken, rest)
    const files = found.slice(0, this.pageSize).map((item) => this.#shown(item))
    return json({ files, nextPageToken, incompleteSearch: this.isIncomplete })
  }

  /** Only the forms that the reference has for what we ask; anything else is refused as it would be. */
  #search(query: string): DriveItem[] | string {
    const names = [...query.matchAll(/name = '((?:[^'\\]|\\.)*)'/g)].map((match) =>
      unquoted(match[1] as string),
    )
    const parent = /'([^']*)' in parents/.exec(query)?.[1]
    const type = /mimeType = '([^']*)'/.exec(query)?.[1]
    const property = /appProperties has \{ key='(\w+)' and value='(\w+)' \}/.exec(query)
    if (parent === undefined || !query.includes('trashed = false')) return 'invalid'
    if (parent !== 'root' && !parent.startsWith('shared-') && !this.items.has(parent)) return 'notFound'
    const pool =
      names.length === 0
        ? [...this.items.values()]
        : names.flatMap((name) => [...(this.#byName.get(name.toLowerCase()) ?? [])])
    return pool.filter(
      (item) =>
        item.parents.includes(parent) &&
        !this.#isTrashed(item) &&
        (type === undefined || item.mimeType === type) &&
        (property === null || item.appProperties[property[1] as string] === property[2]) &&
        item.hiddenFor-- <= 0,
    )
  }

  #makeFolder({ body }: Asked): Reply {
    this.#count('create')
    return json(this.#shown(this.put(JSON.parse(body.toString()) as Json, Buffer.alloc(0))))
  }

  #upload(url: URL, asked: Asked, id: string | undefined): Reply {
    if (id !== undefined && !this.items.has(id)) return refusal(404, 'notFound')
    if (url.searchParams.get('uploadType') === 'resumable') {
      this.#count('begin')
      const session = randomBytes(12).toString('hex')
      this.#sessions.set(session, { id, metadata: JSON.parse(asked.body.toString()) as Json, parts: [] })
      return { headers: { location: `${this.url}/upload/session/${session}` } }
    }
    const parts = multipart(asked)
    if (parts === undefined) return refusal(400, 'badContent')
    if (parts.body.length > this.multipartLimitBytes) return refusal(413, 'uploadTooLarge')
    return this.#store(id, parts.metadata, parts.body)
  }

  #piece({ pathname }: URL, { headers, body }: Asked): Reply {
    this.#count('piece')
    const name = pathname.split('/').at(-1) as string
    const session = this.#sessions.get(name)
    if (session === undefined) return refusal(404, 'notFound')
    const match = /^bytes (\d+)-(\d+)\/(\d+)$/.exec(headers['content-range'] ?? '')
    const have = session.parts.reduce((sum, part) => sum + part.length, 0)
    const [first, last, total] = (match?.slice(1) ?? []).map(Number)
    if (first !== have || last !== have + body.length - 1) return refusal(400, 'badRequest')
    const isLast = last + 1 === total
    // All pieces but the last are multiples of 256 KiB.
    if (!isLast && body.length % 262_144 !== 0) return refusal(400, 'badRequest')
    session.parts.push(body)
    if (!isLast) return { status: 308, headers: { range: `bytes=0-${last}` } }
    this.#sessions.delete(name)
    return this.#store(session.id, session.metadata, Buffer.concat(session.parts))
  }

  #store(id: string | undefined, metadata: Json, body: Buffer): Reply {
    if (this.#usedBytes() + body.length > this.quotaBytes) return refusal(403, 'storageQuotaExceeded')
    const bad = Object.entries((metadata.appProperties ?? {}) as Json).find(
      ([key, value]) => Buffer.byteLength(key + String(value)) > 124,
    )
    if (bad !== undefined) return refusal(400, 'propertyTooLarge')
    this.#count(id === undefined ? 'create' : 'update')
    const there = id === undefined ? undefined : this.items.get(id)
    if (there === undefined) {
      this.beforeCreate(String(metadata.name))
      return json(this.#shown(this.put(metadata, body)))
    }
    there.body = body
    there.modifiedTime = this.#now()
    return json(this.#shown(there))
  }

  #shown(item: DriveItem): Json {
    const { id, name, createdTime, modifiedTime, body, mimeType } = item
    const size = mimeType.endsWith('.folder') ? {} : { size: String(body.length) }
    return { id, name, createdTime, modifiedTime, ...size, trashed: this.#isTrashed(item) }
  }

  /** By itself or because a folder above it is. */
  #isTrashed({ trashed, parents }: DriveItem): boolean {
    return trashed || parents.some((id) => this.items.get(id)?.trashed === true)
  }

  #usedBytes(): number {
    if (this.quotaBytes === Number.POSITIVE_INFINITY) return 0
    return [...this.items.values()].reduce((sum, item) => sum + item.body.length, 0)
  }

  #read(id: string, { headers }: Asked): Reply {
    this.#count('read')
    const item = this.items.get(id)
    return item === undefined ? refusal(404, 'notFound') : ranged(item.body, headers.range)
  }

  #delete(id: string): Reply {
    this.#count('delete')
    const item = this.items.get(id)
    if (item === undefined) return refusal(404, 'notFound')
    this.#byName.get(item.name.toLowerCase())?.delete(item)
    this.items.delete(id)
    for (const other of this.items.values()) if (other.parents.includes(id)) this.#delete(other.id)
    return { status: 204 }
  }

  #count(kind: string): void {
    this.counts.set(kind, (this.counts.get(kind) ?? 0) + 1)
  }

  /** Google's times never stand still, or two files could be equally old. */
  #now(): string {
    this.#lastTimeMs = Math.max(Date.now(), this.#lastTimeMs + 1)
    return new Date(this.#lastTimeMs).toISOString()
  }
}

/** An error as "Resolve errors" shows it. */
export function refusal(status: number, reason: string, headers: Record<string, string> = {}): Reply {
  const errors = [{ domain: 'global', reason, message: 'a sentence with refresh-… in it' }]
  return {
    status,
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify({ error: { code: status, errors, message: 'a sentence' } }),
  }
}

function multipart({ headers, body }: Asked): { metadata: Json; body: Buffer } | undefined {
  const boundary = /boundary=(\S+)$/.exec(headers['content-type'] ?? '')?.[1]
  if (boundary === undefined) return undefined
  const firstEnd = body.indexOf(`\r\n--${boundary}\r\n`)
  const head = body.subarray(0, firstEnd).toString()
  const contentStart = body.indexOf('\r\n\r\n', firstEnd + 2) + 4
  const end = body.lastIndexOf(`\r\n--${boundary}--`)
  if (firstEnd < 0 || end < contentStart) return undefined
  const metadata = JSON.parse(head.slice(head.indexOf('\r\n\r\n') + 4)) as Json
  return { metadata, body: Buffer.from(body.subarray(contentStart, end)) }
}

function unquoted(text: string): string {
  return text.replaceAll(/\\(.)/g, '$1')
}

function json(content: unknown): Reply {
  return { headers: { 'content-type': 'application/json' }, body: JSON.stringify(content) }
}

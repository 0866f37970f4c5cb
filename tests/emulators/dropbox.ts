// A Dropbox of ours on loopback, written from the public reference (Dropbox HTTP API documentation: "Errors",
// "files/upload", "files/upload_session", "files/download", "files/list_folder", "files/delete_batch"; the
// Error Handling Guide; the Data Ingress Guide for 429). Where the reference names a status or tag, this
// says the same: 409 with a tagged union for errors of a call, 401 for tokens, 400 with plain text for
// arguments that are wrong, 429 with a reason and Retry-After. Paths are compared without case.

import { randomBytes } from 'node:crypto'
import { type Asked, type Reply, type ScriptedServer, startScripted } from '../servers/scripted-http.ts'
import { OAuthEmulator } from './oauth.ts'

interface StoredFile {
  display: string
  body: Buffer
  clientModified: string
}

type Json = Record<string, unknown>

export class DropboxEmulator {
  readonly server: ScriptedServer
  readonly oauth = new OAuthEmulator({ id: 'app-key-of-ours' })
  /** By path in small letters. */
  readonly files = new Map<string, StoredFile>()
  /** Every folder that was ever made, in small letters; they stay when they become empty. */
  readonly folders = new Set<string>()
  quotaBytes = Number.POSITIVE_INFINITY
  pageSize = 500
  /** files/upload takes no more in one request. */
  uploadLimitBytes = 150 * 1024 * 1024
  /** Answers so many calls of files with this first. */
  storm: { count: number; reply: Reply } = { count: 0, reply: {} }
  /** How often a batch says that it is still at work. */
  busyLooks = 1
  /** Calls by name, such as `files/upload`. */
  readonly calls = new Map<string, number>()
  /** The arguments of the last call of each name. */
  readonly lastArgument = new Map<string, Json>()
  readonly #sessions = new Map<string, Buffer[]>()
  readonly #cursors = new Map<string, string[]>()
  readonly #jobs = new Map<string, { looksLeft: number; paths: string[] }>()

  static async start(): Promise<DropboxEmulator> {
    const server = await startScripted(() => undefined)
    const emulator = new DropboxEmulator(server)
    server.answer = (asked) => {
      // Not kept: a test may send hundreds of megabytes.
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

  /** Forgets running upload sessions and listings, as after a week. */
  forgetSessions(): void {
    this.#sessions.clear()
    this.#cursors.clear()
  }

  stop(): Promise<void> {
    return this.server.stop()
  }

  #answer(asked: Asked): Reply {
    const { pathname } = new URL(asked.path, this.url)
    if (pathname === '/oauth2/token') return this.oauth.token(asked.body)
    if (!this.oauth.accepts(asked.headers.authorization)) return this.#unauthorized(asked)
    if (this.storm.count > 0) {
      this.storm.count -= 1
      return this.storm.reply
    }
    const call = pathname.replace(/^\/2\//, '')
    this.calls.set(call, (this.calls.get(call) ?? 0) + 1)
    const header = asked.headers['dropbox-api-arg']
    const argument = parse(typeof header === 'string' ? header : asked.body.toString())
    if (argument === undefined) return plain(400, 'Error in call: could not decode input as JSON')
    this.lastArgument.set(call, argument)
    return this.#calls[call]?.(argument, asked) ?? plain(404, 'Unknown call')
  }

  #unauthorized({ headers }: Asked): Reply {
    const tag = headers.authorization?.startsWith('Bearer access-')
      ? 'expired_access_token'
      : 'invalid_access_token'
    return union(401, { '.tag': tag })
  }

  readonly #calls: Record<string, (argument: Json, asked: Asked) => Reply> = {
    'files/upload': (argument, { body }) => {
      if (body.length > this.uploadLimitBytes) return union(409, { '.tag': 'payload_too_large' })
      return this.#commit(argument, body, 'upload')
    },
    'files/upload_session/start': (_, { body }) => {
      const id = `pid_${randomBytes(8).toString('hex')}`
      this.#sessions.set(id, [body])
      return json({ session_id: id })
    },
    'files/upload_session/append_v2': (argument, { body }) => {
      const parts = this.#sessionAt(argument.cursor as Json)
      if (!Array.isArray(parts)) return union(409, parts)
      parts.push(body)
      return { body: 'null' }
    },
    'files/upload_session/finish': (argument, { body }) => {
      const cursor = argument.cursor as Json
      const parts = this.#sessionAt(cursor)
      if (!Array.isArray(parts)) return union(409, { '.tag': 'lookup_failed', lookup_failed: parts })
      this.#sessions.delete(String(cursor.session_id))
      return this.#commit(argument.commit as Json, Buffer.concat([...parts, body]), 'session')
    },
    'files/download': ({ path }, { headers }) => this.#download(String(path), headers.range),
    'files/list_folder': (argument) => this.#list(argument),
    'files/list_folder/continue': ({ cursor }) => {
      const rest = this.#cursors.get(String(cursor))
      this.#cursors.delete(String(cursor))
      return rest === undefined ? union(409, { '.tag': 'reset' }) : this.#page(rest)
    },
    'files/delete_v2': ({ path }) => {
      const lower = String(path).toLowerCase()
      return this.#remove(lower) ? json({ metadata: {} }) : union(409, MISSING)
    },
    'files/delete_batch': ({ entries }) => {
      const id = `dbjid:${randomBytes(8).toString('hex')}`
      const paths = (entries as Array<{ path: string }>).map(({ path }) => path.toLowerCase())
      if (paths.length > 1000) return plain(400, 'Error in call: too many entries')
      this.#jobs.set(id, { looksLeft: this.busyLooks, paths })
      return json({ '.tag': 'async_job_id', async_job_id: id })
    },
    'files/delete_batch/check': ({ async_job_id: id }) => {
      const job = this.#jobs.get(String(id))
      if (job === undefined) return union(409, { '.tag': 'invalid_async_job_id' })
      job.looksLeft -= 1
      if (job.looksLeft >= 0) return json({ '.tag': 'in_progress' })
      const entries = job.paths.map((path) =>
        this.#remove(path) ? { '.tag': 'success' } : { '.tag': 'failure', failure: MISSING },
      )
      return json({ '.tag': 'complete', entries })
    },
  }

  /** The parts of a session, or the error that a wrong cursor gets. */
  #sessionAt(cursor: Json): Buffer[] | Json {
    const parts = this.#sessions.get(String(cursor.session_id))
    if (parts === undefined) return { '.tag': 'not_found' }
    const correct = parts.reduce((sum, part) => sum + part.length, 0)
    return cursor.offset === correct ? parts : { '.tag': 'incorrect_offset', correct_offset: correct }
  }

  #commit(commit: Json, body: Buffer, call: 'upload' | 'session'): Reply {
    const error = this.#writeError(commit, body)
    // files/upload wraps the reason, files/upload_session/finish names it by its tag.
    const wrapped = call === 'upload' ? { '.tag': 'path', reason: error } : { '.tag': 'path', path: error }
    if (error !== undefined) return union(409, wrapped)
    const path = String(commit.path)
    const parents = path.toLowerCase().split('/').slice(1, -1)
    parents.forEach((_, depth) => {
      this.folders.add(`/${parents.slice(0, depth + 1).join('/')}`)
    })
    const clientModified = String(commit.client_modified ?? wholeSeconds(Date.now()))
    this.files.set(path.toLowerCase(), { display: path, body, clientModified })
    return json({ name: path.split('/').at(-1), path_display: path, size: body.length })
  }

  #writeError(commit: Json, body: Buffer): Json | undefined {
    const lower = String(commit.path).toLowerCase()
    if (!/^(\/[^/]{1,255})+$/.test(lower)) return { '.tag': 'malformed_path' }
    const conflict = (kind: string) => ({ '.tag': 'conflict', conflict: { '.tag': kind } })
    if (this.folders.has(lower)) return conflict('folder')
    const parents = lower.split('/').slice(1, -1)
    if (parents.some((_, depth) => this.files.has(`/${parents.slice(0, depth + 1).join('/')}`))) {
      return conflict('file_ancestor')
    }
    const there = this.files.get(lower)
    // Without strict_conflict the same bytes are no conflict.
    const isSame = commit.strict_conflict !== true && there?.body.equals(body)
    if (there !== undefined && commit.mode !== 'overwrite' && !isSame) return conflict('file')
    return this.#isFull(body.length) ? { '.tag': 'insufficient_space' } : undefined
  }

  #isFull(moreBytes: number): boolean {
    if (this.quotaBytes === Number.POSITIVE_INFINITY) return false
    const usedBytes = [...this.files.values()].reduce((sum, file) => sum + file.body.length, 0)
    return usedBytes + moreBytes > this.quotaBytes
  }

  #download(path: string, range: string | undefined): Reply {
    const lower = path.toLowerCase()
    const file = this.files.get(lower)
    if (file === undefined) {
      const tag = this.folders.has(lower) ? 'not_file' : 'not_found'
      return union(409, { '.tag': 'path', path: { '.tag': tag } })
    }
    return ranged(file.body, range)
  }

  #list(argument: Json): Reply {
    const folder = String(argument.path).toLowerCase()
    if (this.files.has(folder)) return union(409, { '.tag': 'path', path: { '.tag': 'not_folder' } })
    if (folder !== '' && !this.folders.has(folder)) {
      return union(409, { '.tag': 'path', path: { '.tag': 'not_found' } })
    }
    const inside = [...this.files.keys(), ...this.folders].filter((path) => path.startsWith(`${folder}/`))
    // No order is promised: here it is the reverse of the one that would be convenient.
    return this.#page(inside.sort().reverse())
  }

  #page(paths: string[]): Reply {
    const entries = paths.slice(0, this.pageSize).map((path) => this.#metadata(path))
    const cursor = randomBytes(8).toString('hex')
    this.#cursors.set(cursor, paths.slice(this.pageSize))
    return json({ entries, cursor, has_more: paths.length > this.pageSize })
  }

  #metadata(path: string): Json {
    const file = this.files.get(path)
    const common = { name: path.split('/').at(-1), path_lower: path }
    if (file === undefined) return { '.tag': 'folder', ...common, path_display: path }
    return {
      '.tag': 'file',
      ...common,
      path_display: file.display,
      client_modified: file.clientModified,
      server_modified: wholeSeconds(Date.now()),
      size: file.body.length,
    }
  }

  /** A folder goes with everything in it. */
  #remove(path: string): boolean {
    const all = [...this.files.keys(), ...this.folders]
    const gone = all.filter((one) => one === path || one.startsWith(`${path}/`))
    for (const one of gone) {
      this.files.delete(one)
      this.folders.delete(one)
    }
    return gone.length > 0
  }
}

const MISSING = { '.tag': 'path_lookup', path_lookup: { '.tag': 'not_found' } }

/** 429 of two kinds (Data Ingress Guide): asked too often, and writing to one Dropbox at the same moment. */
export function tooMany(reason: 'too_many_requests' | 'too_many_write_operations', seconds: number): Reply {
  const error = { reason: { '.tag': reason }, retry_after: seconds }
  return { ...union(429, error), headers: { 'retry-after': String(seconds) } }
}

export function union(status: number, error: object): Reply {
  const body = JSON.stringify({ error_summary: 'a_summary/...', error })
  return { status, headers: { 'content-type': 'application/json' }, body }
}

/** A part of a file as RFC 9110 section 14 has it. */
export function ranged(body: Buffer, range: string | undefined): Reply {
  const match = /^bytes=(\d+)-(\d*)$/.exec(range ?? '')
  if (match === null) return { body }
  const first = Number(match[1])
  if (first >= body.length) return { status: 416, headers: { 'content-range': `bytes */${body.length}` } }
  const part = body.subarray(first, match[2] === '' ? body.length : Number(match[2]) + 1)
  const place = `bytes ${first}-${first + part.length - 1}/${body.length}`
  return { status: 206, headers: { 'content-range': place }, body: part }
}

function parse(text: string): Json | undefined {
  try {
    return JSON.parse(text) as Json
  } catch {
    return undefined
  }
}

function json(content: unknown): Reply {
  return { headers: { 'content-type': 'application/json' }, body: JSON.stringify(content) }
}

function plain(status: number, sentence: string): Reply {
  return { status, headers: { 'content-type': 'text/plain' }, body: sentence }
}

function wholeSeconds(timeMs: number): string {
  return new Date(timeMs).toISOString().replace(/\.\d{3}Z$/, 'Z')
}

import { BodyFailure, bodyBytes, bodyPieces } from '../checked-body.ts'
import { sendableBody } from '../http/http-body.ts'
import { discard } from '../http/http-caller.ts'
import { asText, type JsonObject, readJson } from '../http/json.ts'
import { type ObjectBody, TargetError } from '../target.ts'
import { SESSION_GONE } from './dropbox-errors.ts'
import type { DropboxAnswer, DropboxRequests } from './dropbox-requests.ts'

const MIB = 1024 * 1024

export interface UploadLimits {
  /** Larger bodies go in a session (HTTP documentation, "files/upload": not above 150 MiB). */
  sessionAboveBytes: number
  /** What one request of a session holds; this much is in memory. */
  pieceBytes: number
}

export const UPLOAD_LIMITS: UploadLimits = { sessionAboveBytes: 150 * MIB, pieceBytes: 16 * MIB }

export interface Upload {
  path: string
  body: ObjectBody
  /** `add`: only if the name is free. */
  mode: 'add' | 'overwrite'
  /** Kept in whole seconds; Dropbox takes its own time where it is left out. */
  modifiedAtMs?: number
  signal: AbortSignal | undefined
  doing: string
}

/** Stores files. The name appears with the last request, whole; until then nothing is there. */
export class DropboxUploads {
  readonly #requests: DropboxRequests
  readonly #limits: UploadLimits
  #lastWrite: Promise<unknown> = Promise.resolve()

  constructor(requests: DropboxRequests, limits: UploadLimits) {
    this.#requests = requests
    this.#limits = limits
  }

  /** Answers what Dropbox said to the request that decides. */
  async store(upload: Upload): Promise<DropboxAnswer> {
    const sizeBytes = bodyBytes(upload.body)
    const answer =
      sizeBytes > this.#limits.sessionAboveBytes
        ? await this.#inSession(upload, sizeBytes)
        : await this.#inTurn(async () =>
            this.#requests.content({
              call: 'files/upload',
              argument: commitOf(upload),
              body: await sendableBody(upload.body),
              signal: upload.signal,
              doing: upload.doing,
            }),
          )
    if (answer.status < 300) await discard(answer)
    return answer
  }

  /** A session that fails is left alone: Dropbox forgets it after a week, and it takes no room. */
  async #inSession(upload: Upload, sizeBytes: number): Promise<DropboxAnswer> {
    const sessionId = await this.#beginSession(upload)
    let offset = 0
    try {
      for await (const body of bodyPieces(upload.body, this.#limits.pieceBytes, upload.signal)) {
        const cursor = { session_id: sessionId, offset }
        offset += body.length
        if (offset === sizeBytes) return await this.#finish(upload, cursor, body)
        await this.#append(upload, cursor, body)
      }
    } catch (thrown) {
      throw thrown instanceof BodyFailure ? thrown.cause : thrown
    }
    throw new TargetError('temporary', `Cannot ${upload.doing}: the upload came to no end`)
  }

  async #beginSession({ signal, doing }: Upload): Promise<string> {
    const argument = { close: false }
    const body = new Uint8Array(0)
    const answer = await this.#requests.content({
      call: 'files/upload_session/start',
      argument,
      body,
      signal,
      doing,
    })
    if (answer.status >= 300) throw this.#requests.failure(answer, doing)
    const sessionId = asText((await readJson(answer, this.#requests.settings.url)).session_id)
    if (sessionId) return sessionId
    throw new TargetError('temporary', `Cannot ${doing}: Dropbox named no upload session`)
  }

  async #append({ signal, doing }: Upload, cursor: JsonObject, body: Uint8Array): Promise<void> {
    const argument = { cursor, close: false }
    const call = 'files/upload_session/append_v2'
    const answer = await this.#requests.content({ call, argument, body, signal, doing })
    if (answer.status >= 300) throw this.#sessionFailure(answer, doing)
    await discard(answer)
  }

  async #finish(upload: Upload, cursor: JsonObject, body: Uint8Array): Promise<DropboxAnswer> {
    const { signal, doing } = upload
    const argument = { cursor, commit: commitOf(upload) }
    const call = 'files/upload_session/finish'
    const answer = await this.#inTurn(() => this.#requests.content({ call, argument, body, signal, doing }))
    if (answer.tags[0] === 'lookup_failed') throw this.#sessionFailure(answer, doing)
    return answer
  }

  #sessionFailure(answer: DropboxAnswer, doing: string): TargetError {
    if (answer.tags.at(-1) === 'not_found') return this.#requests.failure(answer, doing, SESSION_GONE)
    return this.#requests.failure(answer, doing)
  }

  /**
   * Writes of one Dropbox wait for each other there, and those that wait too long are refused (Data
   * Ingress Guide, "Namespace lock contention"): so ours stand in line here.
   */
  #inTurn<T>(write: () => Promise<T>): Promise<T> {
    const mine = this.#lastWrite.then(write)
    this.#lastWrite = mine.catch(() => undefined)
    return mine
  }
}

function commitOf({ path, mode, modifiedAtMs }: Upload): JsonObject {
  const time = modifiedAtMs === undefined ? {} : { client_modified: wholeSeconds(modifiedAtMs) }
  // Without `strict_conflict` a second create with the same bytes would be told that it stored them.
  return { path, mode, autorename: false, mute: true, strict_conflict: mode === 'add', ...time }
}

function wholeSeconds(timeMs: number): string {
  return new Date(timeMs).toISOString().replace(/\.\d{3}Z$/, 'Z')
}

import { bodyPieces } from '../checked-body.ts'
import { type ObjectBody, throwIfCancelled } from '../target.ts'
import { STATUS, statusOf } from './sftp-errors.ts'
import { syncAndClose } from './sftp-root.ts'
import type { SftpHandle, SftpSession } from './sftp-session.ts'

/** What every server must take in one piece (draft-ietf-secsh-filexfer-02, section 3). */
const CHUNK_BYTES = 32 * 1024
/** Requests under way at once: bounds the memory of a large object, and hides the way to the server. */
const WRITES_AHEAD = 32

export interface WriteOptions {
  modifiedAtMs?: number
  signal?: AbortSignal
}

/**
 * Writes a new file, whole, with its time, on the server's disk where the server can say so.
 *
 * Requests are sent without waiting for each other: a server has to do those about one file in the order
 * in which they came (section 6.1 of the draft).
 */
export async function writeFile(
  session: SftpSession,
  path: string,
  body: ObjectBody,
  options: WriteOptions,
): Promise<void> {
  const handle = await session.open(path, 'createNew')
  let isClosed = false
  try {
    const writing = await sendPieces(session, handle, body, options.signal)
    const timing =
      options.modifiedAtMs === undefined ? undefined : setTime(session, handle, options.modifiedAtMs)
    isClosed = true
    await allDone([...writing, timing, syncAndClose(session, handle)])
  } finally {
    if (!isClosed) session.close(handle).catch(() => undefined)
  }
}

/** Sends all pieces and answers those that are not confirmed yet. */
async function sendPieces(
  session: SftpSession,
  handle: SftpHandle,
  body: ObjectBody,
  signal: AbortSignal | undefined,
): Promise<Array<Promise<void>>> {
  const writing: Array<Promise<void>> = []
  let offset = 0
  for await (const piece of bodyPieces(body, CHUNK_BYTES, signal)) {
    throwIfCancelled(signal)
    if (writing.length >= WRITES_AHEAD) await writing.shift()
    if (piece.length === 0) continue
    const one = session.write(handle, piece, offset)
    // A failure is looked at when its turn comes; until then it must not count as unhandled.
    one.catch(() => undefined)
    writing.push(one)
    offset += piece.length
  }
  return writing
}

/** A server that keeps no times loses nothing but a convenience. */
async function setTime(session: SftpSession, handle: SftpHandle, modifiedAtMs: number): Promise<void> {
  try {
    await session.setModifiedAt(handle, modifiedAtMs)
  } catch (thrown) {
    const status = statusOf(thrown)
    if (status !== STATUS.UNSUPPORTED && status !== STATUS.PERMISSION_DENIED) throw thrown
  }
}

/** Waits for everything, and fails with the first failure: what comes after must not begin before all has ended. */
async function allDone(work: Array<Promise<void> | undefined>): Promise<void> {
  const outcomes = await Promise.allSettled(work)
  const failed = outcomes.find((outcome) => outcome.status === 'rejected')
  if (failed !== undefined) throw failed.reason
}
